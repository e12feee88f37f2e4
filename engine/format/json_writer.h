// Appends JSON to a string: the encoders of the formats. Internal to engine/format.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

namespace milepost {

// In quotes; `text` is valid UTF-8. Escapes what JSON must escape and nothing else.
void append_json_string(std::string& out, std::string_view text);

template <class Integer> void append_json_integer(std::string& out, Integer value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

}  // namespace milepost
