// The moment at which waiting for so long ends.
#pragma once

#include <algorithm>
#include <chrono>

namespace milepost {

// The end of time, when that is later.
inline std::chrono::steady_clock::time_point deadline_after(std::chrono::nanoseconds wait) {
  using Clock = std::chrono::steady_clock;
  const auto now = Clock::now();
  if (wait >= Clock::time_point::max() - now) return Clock::time_point::max();
  return now + std::max(wait, std::chrono::nanoseconds::zero());
}

}  // namespace milepost
