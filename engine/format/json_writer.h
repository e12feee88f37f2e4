// Appends JSON to a string: the encoders of the formats. Internal to engine/format.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <type_traits>

namespace milepost {

// In quotes; `text` is valid UTF-8. Escapes what JSON must escape and nothing else.
void append_json_string(std::string& out, std::string_view text);

template <class Integer> void append_json_integer(std::string& out, Integer value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

// A field of an object: "name":value, with a comma before it unless it is the first.
template <class Value> void append_json_field(std::string& out, std::string_view name, const Value& value) {
  if (out.back() != '{') out += ',';
  append_json_string(out, name);
  out += ':';
  if constexpr (std::is_integral_v<Value>) {
    append_json_integer(out, value);
  } else {
    append_json_string(out, value);
  }
}

}  // namespace milepost
