#include "milepost/policy/best_steps.h"

#include <algorithm>
#include <cmath>
#include <new>

namespace milepost {
namespace {

std::optional<double> value_of(const StepInfo& step, const BestFn& best_fn) {
  if (step.metrics.empty()) return std::nullopt;
  try {
    return best_fn(step.metrics);
  } catch (const std::bad_alloc&) {
    throw;  // not an answer
  } catch (...) {
    return std::nullopt;
  }
}

}  // namespace

std::vector<RankedStep> rank_steps(std::span<const StepInfo> steps, const BestFn& best_fn, BestMode mode) {
  std::vector<RankedStep> ranked;
  if (!best_fn) return ranked;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (const auto value = value_of(steps[i], best_fn)) ranked.push_back({i, *value});
  }
  std::sort(ranked.begin(), ranked.end(), [&](const RankedStep& a, const RankedStep& b) {
    const bool a_is_nan = std::isnan(a.value);
    const bool b_is_nan = std::isnan(b.value);
    if (a_is_nan != b_is_nan) return b_is_nan;
    if (!a_is_nan && a.value != b.value) return (a.value > b.value) == (mode == BestMode::max);
    return a.index > b.index;
  });
  return ranked;
}

std::optional<std::int64_t> best_step(std::span<const StepInfo> steps, const BestFn& best_fn, BestMode mode) {
  if (steps.empty()) return std::nullopt;
  if (!best_fn) return steps.back().step;
  const auto ranked = rank_steps(steps, best_fn, mode);
  if (ranked.empty()) return std::nullopt;
  return steps[ranked.front().index].step;
}

}  // namespace milepost
