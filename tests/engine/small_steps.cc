#include "tests/engine/small_steps.h"

#include "milepost/engine/catalog.h"
#include "milepost/engine/format/names.h"
#include "milepost/engine/save/attempt.h"
#include "milepost/io/try.h"
#include "tests/support/bytes.h"

#include <algorithm>

namespace milepost::testing {

Result<void> commit_step(Store& store, std::int64_t step, bool overwrite, std::int64_t commit_unix_ns) {
  MILEPOST_ASSIGN(Attempt attempt, Attempt::begin(store, step));
  const auto commit = [&]() -> Result<void> {
    MILEPOST_TRY(attempt.make_item("item"));
    for (const char* const file : {"a", "b"}) {
      MILEPOST_TRY(write_file(store, attempt.path("item", file), to_bytes(attempt.uuid())));
    }
    MILEPOST_TRY(attempt.sync_item("item"));
    StepRecord record;
    record.step = step;
    record.attempt = attempt.uuid();
    record.commit_unix_ns = commit_unix_ns;
    record.items.emplace_back().name = "item";
    MILEPOST_TRY(attempt.write_record(record));
    MILEPOST_TRY(attempt.publish(std::to_string(step), overwrite));
    return attempt.trash_replaced();
  };
  const auto committed = commit();
  return committed.has_error() ? attempt.abandon(committed.error()) : committed;
}

Result<std::string> attempt_of(Store& store, const std::string& directory) {
  MILEPOST_ASSIGN(const StepRecord record, read_step_record(store, directory));
  for (const char* const file : {"/item/a", "/item/b"}) {
    MILEPOST_ASSIGN(const auto bytes, read_file(store, directory + file, uuid_bytes));
    if (bytes != to_bytes(record.attempt)) return Error(ErrorCode::corruption, directory + file + ": is another's");
  }
  return record.attempt;
}

std::vector<std::string> names_in(Store& store, const std::string& directory) {
  std::vector<std::string> names;
  const auto entries = store.list_directory(directory);
  if (entries.has_error()) return {entries.error().to_string()};
  for (const DirectoryEntry& entry : *entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace milepost::testing
