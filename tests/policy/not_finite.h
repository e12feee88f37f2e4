// Numbers that are not finite.
#pragma once

#include <limits>

namespace milepost {

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

}  // namespace milepost
