#include "milepost/engine/catalog.h"

#include "milepost/engine/format/names.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace milepost {

namespace {

// The steps of one listing; none if a step was removed while it was looked at.
Result<std::optional<std::vector<std::int64_t>>> list_once(Store& store, const StepNaming& naming) {
  MILEPOST_ASSIGN(const auto entries, store.list_directory(""));
  std::vector<std::int64_t> steps;
  for (const DirectoryEntry& entry : entries) {
    if (entry.type != EntryType::directory) continue;
    const auto step = naming.parse(entry.name);
    if (!step) continue;
    const auto record = store.stat(entry.name + '/' + std::string(step_record_name));
    if (record.has_value()) {
      if (record->type == EntryType::file) steps.push_back(*step);
      continue;
    }
    if (record.error().code() != ErrorCode::not_found) return record.error();
    const auto directory = store.stat(entry.name);
    if (directory.has_value()) continue;  // somebody else's
    if (directory.error().code() != ErrorCode::not_found) return directory.error();
    return std::optional<std::vector<std::int64_t>>();
  }
  std::sort(steps.begin(), steps.end());
  return std::optional(std::move(steps));
}

}  // namespace

// A step that retention removes meanwhile has a newer one in its place, which the listing may not have seen:
// without another look, a directory that always has a step could seem to have none.
Result<std::vector<std::int64_t>> list_steps(Store& store, const StepNaming& naming) {
  for (;;) {
    MILEPOST_ASSIGN(auto steps, list_once(store, naming));
    if (steps) return std::move(*steps);
  }
}

Result<StepRecord> read_step_record(Store& store, const std::string& directory) {
  const std::string path = directory + '/' + std::string(step_record_name);
  auto bytes = read_file(store, path, step_record_bytes_max);
  if (bytes.has_error()) {
    if (bytes.error().code() != ErrorCode::not_found) return bytes.error();
    const auto info = store.stat(directory);
    if (info.has_error() && info.error().code() == ErrorCode::not_found) {
      return Error(ErrorCode::not_found, directory + ": no such step in " + store.description());
    }
    return Error(ErrorCode::not_found,
                 directory + ": not a committed step: it has no " + std::string(step_record_name));
  }
  auto record = decode_step_record({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
  if (record.has_error()) return record.error().within(path);
  return record;
}

}  // namespace milepost
