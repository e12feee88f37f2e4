// The version of the format, as every JSON file of a checkpoint carries it: {"major":1,"minor":0}.
// Internal to engine/format.
#pragma once

#include "milepost/engine/format/json_reader.h"

#include <string>

namespace milepost {

// `minor` is the oldest version that knows every field of the file.
void append_format_version(std::string& out, int minor = 0);

// Reads the field "format" of a file's outermost object. failed_precondition for an unknown major
// version. Returns whether the minor version is newer than ours, so that the file may hold fields
// that this reader does not know; only outermost ones.
Result<bool> read_format_version(JsonFields& fields);

}  // namespace milepost
