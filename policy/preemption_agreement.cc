#include "milepost/policy/preemption_agreement.h"

#include <algorithm>

namespace milepost {

std::int64_t agree_on_last_step(std::span<const std::int64_t> current_steps) {
  return *std::max_element(current_steps.begin(), current_steps.end()) + 1;
}

bool PreemptionAgreement::reached(std::int64_t step, bool told) {
  if (told && !last_step_) {
    if (denied_.contains(step)) {
      current_step_ = step;
    } else if (current_step_ && step < *current_step_) {
      current_step_.reset();  // the job went back: its answers were for steps that it takes anew
    }
    last_step_ = current_step_ ? agree_on_last_step({&*current_step_, 1}) : step;
  }
  current_step_ = step;
  denied_.erase(denied_.begin(), denied_.upper_bound(step));
  return last_step_ && step >= *last_step_;
}

bool PreemptionAgreement::would_reach(std::int64_t step, bool told) {
  if (last_step_) return step >= *last_step_;
  if (told && (!current_step_ || step > *current_step_)) return !denied_.contains(step);
  denied_.insert(step);
  return false;
}

}  // namespace milepost
