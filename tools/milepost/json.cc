#include "tools/milepost/json.h"

#include <cmath>
#include <cstdio>

namespace milepost::tool {

Json json_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

Json json_error(const Error& error) {
  return {{"code", std::string(to_string(error.code()))}, {"message", error.to_string()}};
}

void print_json(const Json& document) {
  // Names come from files: what is not UTF-8 is replaced, not a reason to fail.
  const std::string text = document.dump(2, ' ', false, Json::error_handler_t::replace);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
}

}  // namespace milepost::tool
