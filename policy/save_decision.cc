#include "milepost/policy/save_decision.h"

namespace milepost {

SaveDecision decide_save(std::int64_t step, std::optional<std::int64_t> latest_step, std::int64_t interval_steps) {
  const std::string name = "step " + std::to_string(step);
  if (!latest_step) return {true, name + " is the first"};
  if (step <= *latest_step) return {false, name + " is not later than step " + std::to_string(*latest_step)};
  if (step % interval_steps == 0) return {true, name + " is a multiple of " + std::to_string(interval_steps)};
  return {false, name + " is not a multiple of " + std::to_string(interval_steps)};
}

}  // namespace milepost
