// Random policies over random histories, beside a model that says the same without any cleverness.
#include "milepost/policy/preservation.h"

#include "tests/policy/not_finite.h"
#include "tests/policy/steps.h"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

namespace milepost {
namespace {

// A policy as plain data, for the model to read.
struct Spec {
  enum Kind { all, latest, custom, duration, seconds, multiples, gaps, best };
  Kind kind = all;
  std::int64_t n = 0;
  std::set<std::int64_t> steps;
  BestMode mode = BestMode::max;
  bool keep_without_metrics = true;
};

PreservationPolicy policy_of(const Spec& spec) {
  switch (spec.kind) {
    case Spec::all: return PreserveAll{};
    case Spec::latest: return LatestN{spec.n};
    case Spec::custom: return CustomSteps{spec.steps};
    case Spec::duration: return LatestDuration{static_cast<double>(spec.n)};
    case Spec::seconds: return EveryNSeconds{static_cast<double>(spec.n)};
    case Spec::multiples: return EveryNSteps{spec.n + 1};
    case Spec::gaps: return EveryNSteps{spec.n + 1, false};
    case Spec::best: return BestN{by("m"), spec.mode, spec.n, spec.keep_without_metrics};
  }
  return {};
}

PreservationPolicy policy_of(const std::vector<Spec>& specs) {
  AnyPreservationPolicy any;
  for (const Spec& spec : specs) any.policies.push_back(policy_of(spec));
  return any;
}

bool is_better(const StepInfo& a, const StepInfo& b, BestMode mode) {
  const double x = a.metrics.at("m");
  const double y = b.metrics.at("m");
  if (std::isnan(x)) return std::isnan(y) && a.step > b.step;
  if (std::isnan(y)) return true;
  if (x == y) return a.step > b.step;
  return mode == BestMode::max ? x > y : x < y;
}

std::int64_t gap_s(const StepInfo& from, const StepInfo& to) {
  return (to.time_unix_ns - from.time_unix_ns) / 1'000'000'000;
}

// From the first step, always on to the next one that is far enough away.
std::set<std::int64_t> chain(const std::vector<StepInfo>& steps,
                             const std::function<bool(const StepInfo&, const StepInfo&)>& is_far) {
  std::set<std::int64_t> result;
  for (auto at = steps.begin(); at != steps.end();) {
    result.insert(at->step);
    at = std::find_if(at + 1, steps.end(), [&](const StepInfo& later) { return is_far(*at, later); });
  }
  return result;
}

bool model_keeps(const Spec& spec, const std::vector<StepInfo>& steps, const StepInfo& step) {
  const auto count = [&](const auto& holds) { return std::count_if(steps.begin(), steps.end(), holds); };
  switch (spec.kind) {
    case Spec::all: return true;
    case Spec::latest: return count([&](const StepInfo& other) { return other.step > step.step; }) < spec.n;
    case Spec::custom: return spec.steps.contains(step.step);
    case Spec::duration: return gap_s(step, steps.back()) <= spec.n;
    case Spec::multiples: return step.step / (spec.n + 1) * (spec.n + 1) == step.step;
    case Spec::seconds:
      return chain(steps, [&](const StepInfo& last,
                              const StepInfo& later) { return gap_s(last, later) >= spec.n || gap_s(last, later) < 0; })
          .contains(step.step);
    case Spec::gaps:
      return chain(steps, [&](const StepInfo& last, const StepInfo& later) { return later.step - last.step > spec.n; })
          .contains(step.step);
    case Spec::best:
      if (!step.metrics.contains("m")) return spec.keep_without_metrics;
      return count([&](const StepInfo& other) {
               return other.metrics.contains("m") && is_better(other, step, spec.mode);
             }) < spec.n;
  }
  return false;
}

std::vector<std::int64_t> model(const std::vector<Spec>& specs, const std::vector<StepInfo>& steps) {
  std::vector<std::int64_t> result;
  for (const StepInfo& step : steps) {
    const bool keep =
        std::any_of(specs.begin(), specs.end(), [&](const Spec& spec) { return model_keeps(spec, steps, step); });
    if (keep || step.step == steps.back().step) result.push_back(step.step);
  }
  return result;
}

std::vector<std::int64_t> numbers(const std::vector<StepInfo>& steps) {
  std::vector<std::int64_t> result;
  for (const StepInfo& step : steps) result.push_back(step.step);
  return result;
}

rc::Gen<std::vector<Spec>> any_specs() {
  const auto spec = rc::gen::build<Spec>(
      rc::gen::set(&Spec::kind, rc::gen::element(Spec::all, Spec::latest, Spec::custom, Spec::duration, Spec::seconds,
                                                 Spec::multiples, Spec::gaps, Spec::best, Spec::best)),
      rc::gen::set(&Spec::n, rc::gen::inRange<std::int64_t>(0, 7)),
      rc::gen::set(&Spec::steps, rc::gen::container<std::set<std::int64_t>>(rc::gen::inRange<std::int64_t>(0, 30))),
      rc::gen::set(&Spec::mode, rc::gen::element(BestMode::max, BestMode::min)),
      rc::gen::set(&Spec::keep_without_metrics, rc::gen::arbitrary<bool>()));
  return rc::gen::suchThat(rc::gen::resize(3, rc::gen::container<std::vector<Spec>>(spec)),
                           [](const std::vector<Spec>& specs) { return !specs.empty(); });
}

// Few different values, so that there are ties.
rc::Gen<Metrics> any_metrics() {
  return rc::gen::map(rc::gen::inRange(0, 8), [](int value) -> Metrics {
    if (value == 0) return {};
    if (value == 1) return {{"other", 1.0}};
    if (value == 2) return {{"m", nan}};
    return {{"m", value}};
  });
}

// Up to 24 steps; `clock_may_jump`: their times need not ascend.
std::vector<StepInfo> any_history(bool clock_may_jump) {
  std::vector<StepInfo> steps;
  const int count = *rc::gen::inRange(0, 25);
  std::int64_t step = -1;
  std::int64_t second = 1000;
  for (int i = 0; i < count; ++i) {
    step += *rc::gen::inRange<std::int64_t>(1, 4);
    second += *rc::gen::inRange<std::int64_t>(clock_may_jump ? -9 : 0, 5);
    steps.push_back({step, second * 1'000'000'000, *any_metrics()});
  }
  return steps;
}

RC_GTEST_PROP(PreservationProperty, PlansWhatTheModelSays, ()) {
  const auto specs = *any_specs();
  const auto steps = any_history(true);
  RC_ASSERT(kept(policy_of(specs), steps) == model(specs, steps));
  if (specs.size() == 1) RC_ASSERT(kept(policy_of(specs.front()), steps) == model(specs, steps));
}

RC_GTEST_PROP(PreservationProperty, DecidesOnceAboutEveryStepAndSaysWhy, ()) {
  const auto steps = any_history(true);
  const auto plan = plan_preservation(policy_of(*any_specs()), steps);
  RC_ASSERT(plan.size() == steps.size());
  for (std::size_t i = 0; i < plan.size(); ++i) {
    RC_ASSERT(plan[i].step == steps[i].step);
    RC_ASSERT(!plan[i].reason.empty());
  }
  if (!plan.empty()) RC_ASSERT(plan.back().keep);
}

RC_GTEST_PROP(PreservationProperty, CarryingOutAPlanTwiceRemovesNothingMore, ()) {
  const auto policy = policy_of(*any_specs());
  const auto steps = any_history(true);
  const auto once = survivors(plan_preservation(policy, steps), steps);
  RC_ASSERT(kept(policy, once) == numbers(once));
}

// A job that plans after every save, and is killed now and then before it has removed all that it planned to, ends
// where planning once, over all that was ever saved, ends.
RC_GTEST_PROP(PreservationProperty, DoesNotDependOnRestarts, ()) {
  const auto policy = policy_of(*any_specs());
  const auto history = any_history(false);
  std::vector<StepInfo> on_disk;
  for (const StepInfo& saved : history) {
    on_disk.push_back(saved);
    const auto plan = plan_preservation(policy, on_disk);
    std::vector<StepInfo> left;
    for (std::size_t i = 0; i < plan.size(); ++i) {
      if (plan[i].keep || *rc::gen::inRange(0, 3) == 0) left.push_back(on_disk[i]);
    }
    on_disk = std::move(left);
  }
  RC_ASSERT(kept(policy, on_disk) == kept(policy, history));
}

// Whatever a user's policy answers: nothing but what it says is removed, once, goes, and never the newest.
RC_GTEST_PROP(PreservationProperty, NoPolicyCanDoHarm, ()) {
  const auto steps = any_history(false);
  std::vector<PreservationDecision> answer;
  for (const int step : *rc::gen::container<std::vector<int>>(rc::gen::inRange(-1, 60))) {
    answer.push_back({step, *rc::gen::arbitrary<bool>(), "because"});
  }
  const auto plan = plan_preservation([&](std::span<const StepInfo>) { return answer; }, steps);
  RC_ASSERT(plan.size() == steps.size());
  for (std::size_t i = 0; i < plan.size(); ++i) {
    RC_ASSERT(plan[i].step == steps[i].step);
    if (plan[i].keep) continue;
    RC_ASSERT(i + 1 < plan.size());
    RC_ASSERT(std::count_if(answer.begin(), answer.end(), [&](const PreservationDecision& decision) {
                return decision.step == plan[i].step && !decision.keep;
              }) == 1);
  }
}

}  // namespace
}  // namespace milepost
