#include "milepost/engine/format/format_version.h"

#include "milepost/engine/format/json_writer.h"
#include "milepost/engine/format/manifest.h"
#include "milepost/io/try.h"

namespace milepost {

void append_format_version(std::string& out, int minor) {
  out += "{\"major\":";
  append_json_integer(out, format_major);
  out += ",\"minor\":";
  append_json_integer(out, minor);
  out += '}';
}

Result<bool> read_format_version(JsonFields& fields) {
  MILEPOST_ASSIGN(const JsonValue format, fields.object("format"));
  MILEPOST_ASSIGN(JsonFields version, JsonFields::of(format, "format"));
  MILEPOST_ASSIGN(const std::uint32_t major, version.u32("major"));
  MILEPOST_ASSIGN(const std::uint32_t minor, version.u32("minor"));
  if (major != static_cast<std::uint32_t>(format_major)) {
    return Error(ErrorCode::failed_precondition, "written in format version " + std::to_string(major) + "." +
                                                     std::to_string(minor) + "; this reader supports " +
                                                     std::to_string(format_major) + ".x");
  }
  MILEPOST_TRY(version.finish());
  return minor > static_cast<std::uint32_t>(format_minor);
}

}  // namespace milepost
