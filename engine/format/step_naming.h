// How the directories of steps are called. Pure functions.
#pragma once

#include "milepost/io/error.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace milepost {

// Names of the user's own making. `parse` is asked about every directory under the root, foreign ones too; a
// directory counts only if name(parse(its name)) is its name again. Either may throw: that means no step.
struct StepNameFormat {
  std::function<std::string(std::int64_t step)> name;
  std::function<std::optional<std::int64_t>(std::string_view name)> parse;
};

class StepNaming {
 public:
  // <prefix><step>; steps are 0 to 2^63 - 1, in decimal, padded with zeros to at least `fixed_length` digits
  // (0: not padded).
  StepNaming(std::string prefix = "", int fixed_length = 0)  // NOLINT(google-explicit-constructor)
      : prefix_(std::move(prefix)), fixed_length_(fixed_length) {}
  StepNaming(const char* prefix) : StepNaming(std::string(prefix)) {}
  explicit StepNaming(StepNameFormat format) : is_custom_(true), format_(std::move(format)) {}

  // invalid_argument unless the prefix is empty or could begin a name and does not end in a digit, the length is
  // 0 to 19, and a format of the user's own names some steps as it parses them.
  Result<void> check() const;

  // Of a custom format, the name may be one that no file can have: see is_file_name.
  std::string name(std::int64_t step) const;
  std::optional<std::int64_t> parse(std::string_view name) const;

 private:
  std::string prefix_;
  int fixed_length_ = 0;
  bool is_custom_ = false;
  StepNameFormat format_;
};

}  // namespace milepost
