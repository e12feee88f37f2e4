// A CSV file of releases, compressed or not: refused, or rewritten with a row more.
#include "milepost/engine/federated/csv_table.h"

#include "tests/fuzz/target.h"
#include "tests/support/simulated_store.h"

#include <limits>

namespace milepost::fuzz {
namespace {

const Target csv_table_target("csv_table", [](std::span<const std::byte> input) {
  testing::SimulatedStore store;
  const CsvPlace place{&store, "file", "key", static_cast<Compression>(take<std::uint8_t>(input) % 5)};
  expect(write_file(store, place.name, input).has_value(), "the simulated disk fails");
  const auto table = read_csv_table(place);
  if (table.has_error()) return;
  std::vector<std::string> row(table->columns.size(), "1");
  const auto rewritten = rewrite_csv(place, *table, table->columns, std::numeric_limits<std::int64_t>::max(), row);
  expect(rewritten.has_value(), "a table that was read cannot be rewritten");
  const auto again = read_csv_table(place);
  expect(again.has_value() && again->columns == table->columns, "a table that was written is refused");
  expect(again->least_key && *again->least_key <= 1 && *again->greatest_key >= 1, "a row is lost");
});

}  // namespace
}  // namespace milepost::fuzz
