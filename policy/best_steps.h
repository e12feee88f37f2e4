// Which steps are best by a metric. Pure: no I/O, no clock, no threads.
#pragma once

#include "milepost/policy/metrics.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace milepost {

// What is known of a committed step where it is decided which survive.
struct StepInfo {
  std::int64_t step = 0;
  std::int64_t time_unix_ns = 0;  // of the commit
  Metrics metrics = {};
};

enum class BestMode { max, min };
// The value that steps are ranked by. A step for which it throws, as metrics.at("loss") does where there is no such
// metric, is one without metrics.
using BestFn = std::function<double(const Metrics&)>;

struct RankedStep {
  std::size_t index = 0;  // of the step, in what was ranked
  double value = 0;
};

// The steps that have metrics, the best first: ties go to the later step, NaN comes last. Without best_fn there are
// none.
std::vector<RankedStep> rank_steps(std::span<const StepInfo> steps, const BestFn& best_fn, BestMode mode);

// The first of them. Without best_fn the latest step.
std::optional<std::int64_t> best_step(std::span<const StepInfo> steps, const BestFn& best_fn, BestMode mode);

}  // namespace milepost
