#include "milepost/engine/root.h"

#include "milepost/engine/format/names.h"
#include "milepost/engine/format/step_record.h"
#include "milepost/engine/save/publish_file.h"
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
  RootRecord record;
  record.uuid = make_uuid();
  record.created_unix_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  record.custom_metadata_json = custom_metadata_json;
  const std::string text = encode_root_record(record);
  // Whoever was faster has written one that is as good.
  MILEPOST_TRY(publish_file(store, name, IfThere::keep,
                            [&](WriteFile& file) { return write_at(file, 0, std::as_bytes(std::span(text))); }));
  return {};
}

}  // namespace milepost
