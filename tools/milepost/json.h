// JSON documents of the command: one a run, with stable field names.
#pragma once

#include "milepost/io/error.h"

#include <nlohmann/json.hpp>

#include <string>

namespace milepost::tool {

using Json = nlohmann::ordered_json;

// JSON has no NaN and no infinities: they are the strings "nan", "inf" and "-inf".
Json json_number(double value);
Json json_error(const Error& error);
// On standard output, indented.
void print_json(const Json& document);

}  // namespace milepost::tool
