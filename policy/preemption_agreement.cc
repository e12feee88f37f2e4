#include "milepost/policy/preemption_agreement.h"

#include <algorithm>

namespace milepost {

std::int64_t agree_on_last_step(std::span<const std::int64_t> current_steps) {
  return *std::max_element(current_steps.begin(), current_steps.end()) + 1;
}

bool PreemptionAgreement::reached(std::int64_t step, bool told) {
  if (told && !last_step_) last_step_ = current_step_ ? agree_on_last_step({&*current_step_, 1}) : step;
  current_step_ = step;
  return last_step_ && step >= *last_step_;
}

}  // namespace milepost
