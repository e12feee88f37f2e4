#include "examples/federated/digits.h"

#include <cerrno>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>

namespace federated {
namespace {

std::optional<Digit> parse(std::string_view line) {
  const char* at = line.data();
  const char* const end = at + line.size();
  // A number from 0 to `max`, and the comma behind it unless it is the last.
  const auto next = [&](std::size_t max, bool is_last) -> std::optional<std::size_t> {
    std::size_t number = 0;
    const auto [stopped, error] = std::from_chars(at, end, number);
    if (error != std::errc() || number > max) return std::nullopt;
    if (is_last ? stopped != end : (stopped == end || *stopped != ',')) return std::nullopt;
    at = is_last ? stopped : stopped + 1;
    return number;
  };
  Digit digit;
  for (float& pixel : digit.pixels) {
    const auto value = next(16, false);
    if (!value) return std::nullopt;
    pixel = static_cast<float>(*value) / 16;
  }
  const auto label = next(class_count - 1, true);
  if (!label) return std::nullopt;
  digit.label = *label;
  return digit;
}

}  // namespace

milepost::Result<std::vector<Digit>> read_digits(const std::string& path) {
  std::ifstream file(path);
  if (!file) return milepost::Error::from_errno(errno, "open " + path);
  std::vector<Digit> digits;
  for (std::string line; std::getline(file, line);) {
    const auto digit = parse(line);
    if (!digit) {
      return milepost::Error(milepost::ErrorCode::corruption,
                             path + ": line " + std::to_string(digits.size() + 1) + " is not a digit");
    }
    digits.push_back(*digit);
  }
  if (file.bad()) return milepost::Error::from_errno(errno, "read " + path);
  return digits;
}

}  // namespace federated
