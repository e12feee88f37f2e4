// When to save. Pure: no I/O, no clock, no threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace milepost {

struct SaveDecision {
  bool save = false;
  std::string reason;  // "step 200 is a multiple of 100", "step 7 is not later than step 7"
};

// True on multiples of `interval_steps` (at least 1), and when there is no checkpoint yet; never for
// a step that is not later than the latest.
SaveDecision decide_save(std::int64_t step, std::optional<std::int64_t> latest_step, std::int64_t interval_steps);

}  // namespace milepost
