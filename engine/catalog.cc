#include "milepost/engine/catalog.h"

#include "milepost/engine/format/names.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <set>
#include <utility>

namespace milepost {

namespace {

struct Look {
  std::vector<std::int64_t> steps;
  std::vector<std::int64_t> gone;  // in the listing, but not in the directory any more
};

Result<Look> look(Store& store, const StepNaming& naming) {
  MILEPOST_ASSIGN(const auto entries, store.list_directory(""));
  Look found;
  for (const DirectoryEntry& entry : entries) {
    if (entry.type != EntryType::directory) continue;
    const auto step = naming.parse(entry.name);
    if (!step) continue;
    MILEPOST_ASSIGN(const bool committed, store.has_file(entry.name + '/' + std::string(step_record_name)));
    if (committed) {
      found.steps.push_back(*step);
      continue;
    }
    const auto directory = store.stat(entry.name);
    if (directory.has_value()) continue;  // somebody else's
    if (directory.error().code() != ErrorCode::not_found) return directory.error();
    found.gone.push_back(*step);
  }
  std::sort(found.steps.begin(), found.steps.end());
  return found;
}

}  // namespace

// A step that retention removes meanwhile has a newer one in its place, which the listing may not have seen:
// without another look, a directory that always has a step could seem to have none. Where the other look shows
// nothing new, the listing is remembered by a network file system, and will be for a while.
Result<std::vector<std::int64_t>> list_steps(Store& store, const StepNaming& naming) {
  std::set<std::int64_t> known_gone;
  for (;;) {
    MILEPOST_ASSIGN(Look found, look(store, naming));
    const std::size_t before = known_gone.size();
    known_gone.insert(found.gone.begin(), found.gone.end());
    if (known_gone.size() > before) continue;
    if (found.steps.empty() && !found.gone.empty()) {
      return Error(ErrorCode::unavailable,
                   "the listing of " + store.description() + " is out of date: all the steps that it shows are gone");
    }
    return std::move(found.steps);
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
