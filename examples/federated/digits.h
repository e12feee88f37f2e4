// The digits that scikit-learn brings along: 1797 handwritten digits of 8 by 8 pixels (E. Alpaydin and C. Kaynak,
// Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998).
#pragma once

#include "milepost/io/error.h"

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace federated {

inline constexpr std::size_t pixel_count = 64;
inline constexpr std::size_t class_count = 10;

struct Digit {
  std::array<float, pixel_count> pixels;  // 0 to 1, row by row
  std::size_t label;                      // 0 to 9
};

// A line a digit: 64 pixels of 0 to 16 and the label, with commas between. io, corruption naming file and line.
milepost::Result<std::vector<Digit>> read_digits(const std::string& path);

}  // namespace federated
