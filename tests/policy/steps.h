// Steps and plans, as tests write them.
#pragma once

#include "milepost/policy/preservation.h"

#include <cstdint>
#include <vector>

namespace milepost {

// One a second, without metrics.
inline std::vector<StepInfo> steps_of(const std::vector<std::int64_t>& numbers) {
  std::vector<StepInfo> steps;
  for (const std::int64_t number : numbers) steps.push_back({.step = number, .time_unix_ns = number * 1'000'000'000});
  return steps;
}

inline std::vector<StepInfo> survivors(const std::vector<PreservationDecision>& plan,
                                       const std::vector<StepInfo>& steps) {
  std::vector<StepInfo> result;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (plan[i].keep) result.push_back(steps[i]);
  }
  return result;
}

inline std::vector<std::int64_t> kept(const PreservationPolicy& policy, const std::vector<StepInfo>& steps) {
  std::vector<std::int64_t> result;
  for (const PreservationDecision& decision : plan_preservation(policy, steps)) {
    if (decision.keep) result.push_back(decision.step);
  }
  return result;
}

inline std::vector<std::string> reasons(const PreservationPolicy& policy, const std::vector<StepInfo>& steps) {
  std::vector<std::string> result;
  for (const PreservationDecision& decision : plan_preservation(policy, steps)) result.push_back(decision.reason);
  return result;
}

inline BestFn by(std::string_view name) {
  return [key = std::string(name)](const Metrics& metrics) { return metrics.at(key); };
}

}  // namespace milepost
