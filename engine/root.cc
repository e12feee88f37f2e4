#include "milepost/engine/root.h"

#include "milepost/engine/format/names.h"
#include "milepost/engine/format/step_record.h"
#include "milepost/engine/save/attempt.h"
#include "milepost/io/try.h"

#include <chrono>
#include <span>
#include <string>
#include <utility>

namespace milepost {

Result<RootRecord> read_root_record(Store& store) {
  const std::string name(root_record_name);
  MILEPOST_ASSIGN(const auto bytes, read_file(store, name, step_record_bytes_max));
  auto record = decode_root_record({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (record.has_error()) return record.error().within(store.description() + "/" + name);
  return record;
}

Result<void> ensure_root_record(Store& store, bool read_only, const std::string& custom_metadata_json) {
  const std::string name(root_record_name);
  const auto found = read_root_record(store);
  if (found.has_value()) return {};
  if (found.error().code() == ErrorCode::corruption) {
    if (read_only) return {};  // steps stand for themselves
    return Error(ErrorCode::corruption,
                 found.error().to_string() + " (no step depends on it: remove it, and it is written anew)");
  }
  if (found.error().code() != ErrorCode::not_found) return found.error();
  if (read_only) return {};
  // Written in an attempt of its own, which is swept should this process die.
  MILEPOST_ASSIGN(Attempt attempt, Attempt::begin(store, 0));
  RootRecord record;
  record.uuid = attempt.uuid();
  record.created_unix_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  record.custom_metadata_json = custom_metadata_json;
  const std::string text = encode_root_record(record);
  const auto publish = [&]() -> Result<void> {
    const std::string path = attempt.path(name, "");
    MILEPOST_TRY(write_file(store, path, std::as_bytes(std::span(text))));
    const auto renamed = store.rename_no_replace(path, name);
    if (renamed.has_error() && renamed.error().code() != ErrorCode::already_exists) return renamed.error();
    return store.sync_directory("");  // also of the one that was faster
  };
  if (auto published = publish(); published.has_error()) return attempt.abandon(published.error());
  return attempt.discard();
}

}  // namespace milepost
