#include "milepost/engine/format/step_naming.h"

#include "milepost/engine/format/names.h"
#include "milepost/io/refusal.h"

#include <limits>
#include <new>

namespace milepost {
namespace {

Result<void> check_prefix(const std::string& prefix) {
  if (prefix.empty()) return {};
  if (auto fault = check_file_name(prefix); fault.has_error()) return fault.error().within("step prefix");
  if (prefix.size() > name_bytes_max - step_digits_max)
    return invalid("a step prefix must not be longer than 236 bytes");
  if (is_digit(prefix.back())) return invalid("a step prefix must not end in a digit");
  return {};
}

}  // namespace

Result<void> StepNaming::check() const {
  if (!is_custom_) {
    if (fixed_length_ < 0 || fixed_length_ > static_cast<int>(step_digits_max)) {
      return invalid("step_format_fixed_length is " + std::to_string(fixed_length_) + ": it must be 0 to 19");
    }
    return check_prefix(prefix_);
  }
  if (!format_.name || !format_.parse) return invalid("step_name_format: a function is missing");
  for (const std::int64_t step : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1234567}}) {
    const std::string directory = name(step);
    if (auto fault = check_file_name(directory); fault.has_error()) {
      return fault.error().within("step_name_format: the name of step " + std::to_string(step));
    }
    if (parse(directory) != step) {
      return invalid("step_name_format: " + directory + " is its name for step " + std::to_string(step) +
                     ", but it does not parse it as that");
    }
  }
  return {};
}

std::string StepNaming::name(std::int64_t step) const {
  if (is_custom_) {
    try {
      return format_.name(step);
    } catch (const std::bad_alloc&) {
      throw;  // not an answer
    } catch (...) {
      return {};
    }
  }
  const std::string digits = std::to_string(step);
  const auto length = static_cast<std::size_t>(fixed_length_);
  return prefix_ + std::string(length > digits.size() ? length - digits.size() : 0, '0') + digits;
}

std::optional<std::int64_t> StepNaming::parse(std::string_view directory) const {
  std::optional<std::int64_t> step;
  if (is_custom_) {
    try {
      step = format_.parse(directory);
    } catch (const std::bad_alloc&) {
      throw;  // not an answer
    } catch (...) {
      return std::nullopt;
    }
    if (step && *step < 0) return std::nullopt;
  } else {
    if (!directory.starts_with(prefix_)) return std::nullopt;
    step = parse_decimal(directory.substr(prefix_.size()));
  }
  // Other spellings of a step are somebody else's.
  return step && name(*step) == directory ? step : std::nullopt;
}

}  // namespace milepost
