// Rows of CSV: the same in pieces of any size, and they come back when they are written.
#include "milepost/engine/federated/csv_format.h"

#include "tests/fuzz/target.h"

#include <algorithm>
#include <optional>

namespace milepost::fuzz {
namespace {

using Rows = std::vector<std::vector<std::string>>;

class PieceSource final : public ByteSource {
 public:
  PieceSource(std::span<const std::byte> bytes, std::size_t piece) : bytes_(bytes), piece_(piece) {}
  Result<std::size_t> read(std::span<std::byte> into) override {
    const std::size_t count = std::min({piece_, into.size(), bytes_.size()});
    std::copy_n(bytes_.begin(), count, into.begin());
    bytes_ = bytes_.subspan(count);
    return count;
  }

 private:
  std::span<const std::byte> bytes_;
  const std::size_t piece_;
};

// None if they are refused.
std::optional<Rows> read(std::span<const std::byte> bytes, std::size_t piece) {
  PieceSource source(bytes, piece);
  CsvReader reader(source);
  Rows rows;
  std::vector<std::string> cells;
  for (;;) {
    const auto more = reader.next(cells);
    if (more.has_error()) return std::nullopt;
    if (!*more) return rows;
    rows.push_back(cells);
  }
}

const Target csv_rows_target("csv_rows", [](std::span<const std::byte> input) {
  const std::size_t piece = 1 + take<std::uint8_t>(input);
  const auto rows = read(input, input.size() + 1);
  expect(read(input, piece) == rows, "rows depend on how they are read");
  if (!rows) return;
  std::string text;
  for (const auto& cells : *rows) append_csv_row(text, cells);
  expect(read(std::as_bytes(std::span(text)), piece) == rows, "rows change when they are written and read");
});

}  // namespace
}  // namespace milepost::fuzz
