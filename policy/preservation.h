// Which steps survive. Pure: no I/O, no clock, no threads.
//
// A policy is any callable that decides about every step it is given, ascending; the ones here are plain structs, and
// AnyPreservationPolicy joins several. All plans pass through plan_preservation(), which keeps the newest step whatever
// the policy says: a job must be able to resume.
//
// Each of these policies, and so each union of them, chooses the same steps from all as from any part that holds its
// choice and the newest step. Therefore a plan depends on nothing but the steps that are there, carrying it out a
// second time removes nothing more, and it makes no difference whether it is carried out after every save or now and
// then (clocks that run backwards apart, for LatestDuration). What makes no sense (a negative number, NaN, no policy at
// all) removes nothing.
#pragma once

#include "milepost/policy/best_steps.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace milepost {

struct PreservationDecision {
  std::int64_t step = 0;
  bool keep = true;
  std::string reason;  // "among the latest 3", "older than the latest 3"
};

using PreservationPolicy = std::function<std::vector<PreservationDecision>(std::span<const StepInfo>)>;

struct PreserveAll {
  std::vector<PreservationDecision> operator()(std::span<const StepInfo> steps) const;
};

struct LatestN {
  std::int64_t n = 1;
  std::vector<PreservationDecision> operator()(std::span<const StepInfo> steps) const;
};

struct CustomSteps {
  std::set<std::int64_t> steps_to_keep;
  std::vector<PreservationDecision> operator()(std::span<const StepInfo> steps) const;
};

// Steps committed at most so many seconds before the newest one.
struct LatestDuration {
  double seconds = 0;
  std::vector<PreservationDecision> operator()(std::span<const StepInfo> steps) const;
};

// The first step, then each one committed at least so many seconds after the last that was kept. A step committed
// before that one by its clock was saved after the clock was set back: it is kept, and time counts from there.
struct EveryNSeconds {
  double seconds = 0;
  std::vector<PreservationDecision> operator()(std::span<const StepInfo> steps) const;
};

// exact: the multiples of n. Otherwise the first step, then each that is at least n after the last that was kept.
struct EveryNSteps {
  std::int64_t n = 1;
  bool exact = true;
  std::vector<PreservationDecision> operator()(std::span<const StepInfo> steps) const;
};

// The n best, ranked as rank_steps() does, and, unless told otherwise, the steps without metrics.
struct BestN {
  BestFn best_fn;
  BestMode mode = BestMode::max;
  std::int64_t n = 1;
  bool keep_without_metrics = true;
  std::vector<PreservationDecision> operator()(std::span<const StepInfo> steps) const;
};

// What at least one of them keeps, with the reasons of all that do.
struct AnyPreservationPolicy {
  std::vector<PreservationPolicy> policies;
  std::vector<PreservationDecision> operator()(std::span<const StepInfo> steps) const;
};

// What a manager's options say where they name no policy.
struct PreservationRule {
  std::optional<std::int64_t> max_to_keep = std::nullopt;  // the latest, or with best_fn the best; none: all
  std::optional<double> keep_time_interval_s = std::nullopt;
  std::optional<std::int64_t> keep_period = std::nullopt;  // keeps its multiples, in steps
  BestFn best_fn = {};
  BestMode best_mode = BestMode::max;
  bool keep_checkpoints_without_metrics = true;
  std::optional<std::int64_t> keep_latest = std::nullopt;  // beside the best
};
PreservationPolicy preservation_policy_of(PreservationRule rule);

// Exactly one decision for each of `steps` (ascending, each once), in their order, with a reason. The newest is kept. A
// policy that throws, or answers about a step twice or about one that it was not asked about, removes nothing; a step
// that it forgets is kept.
std::vector<PreservationDecision> plan_preservation(const PreservationPolicy& policy, std::span<const StepInfo> steps);

}  // namespace milepost
