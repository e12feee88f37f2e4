#include "milepost/policy/preservation.h"

namespace milepost {

std::vector<PreservationDecision> plan_preservation(std::span<const std::int64_t> steps,
                                                    std::optional<int> max_to_keep) {
  std::vector<PreservationDecision> plan;
  plan.reserve(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::size_t newer = steps.size() - 1 - i;
    if (!max_to_keep) {
      plan.push_back({steps[i], true, "all steps are kept"});
    } else if (newer < static_cast<std::size_t>(*max_to_keep)) {
      plan.push_back({steps[i], true, "among the latest " + std::to_string(*max_to_keep)});
    } else if (newer == 0) {
      plan.push_back({steps[i], true, "the newest step"});
    } else {
      plan.push_back({steps[i], false, "older than the latest " + std::to_string(*max_to_keep)});
    }
  }
  return plan;
}

}  // namespace milepost
