#include "milepost/policy/preservation.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <utility>

namespace milepost {
namespace {

using Decisions = std::vector<PreservationDecision>;

// One decision a step; `decide` returns {keep, reason} for the step at an index.
template <class Decide> Decisions for_each_step(std::span<const StepInfo> steps, const Decide& decide) {
  Decisions decisions;
  decisions.reserve(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    std::pair<bool, std::string> decision = decide(i);
    decisions.push_back({steps[i].step, decision.first, std::move(decision.second)});
  }
  return decisions;
}

Decisions keep_all(std::span<const StepInfo> steps, const std::string& reason) {
  return for_each_step(steps, [&](std::size_t) { return std::pair(true, reason); });
}

std::string number_text(double number) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", number);
  return text;
}

// "90 s", "2.5 h".
std::string duration_text(double seconds) {
  if (seconds >= 2 * 86400) return number_text(seconds / 86400) + " days";
  if (seconds >= 2 * 3600) return number_text(seconds / 3600) + " h";
  if (seconds >= 2 * 60) return number_text(seconds / 60) + " min";
  return number_text(seconds) + " s";
}

double seconds_between(const StepInfo& from, const StepInfo& to) {
  // Unsigned: the times are of files that anybody may have written.
  const auto distance_ns = [](std::int64_t begin, std::int64_t end) {
    return static_cast<double>(static_cast<std::uint64_t>(end) - static_cast<std::uint64_t>(begin));
  };
  if (to.time_unix_ns < from.time_unix_ns) return -distance_ns(to.time_unix_ns, from.time_unix_ns) / 1e9;
  return distance_ns(from.time_unix_ns, to.time_unix_ns) / 1e9;
}

// The first step, and then each that is far enough from the last one kept.
template <class IsFar>
Decisions keep_spaced(std::span<const StepInfo> steps, const std::string& distance, const IsFar& is_far) {
  const StepInfo* last = nullptr;
  return for_each_step(steps, [&](std::size_t i) {
    if (last != nullptr && !is_far(*last, steps[i])) {
      return std::pair(false, "less than " + distance + " after step " + std::to_string(last->step));
    }
    const bool is_first = last == nullptr;
    last = &steps[i];
    return std::pair(true, is_first ? "the first, one every " + distance : "one every " + distance);
  });
}

// The decisions of a policy, which may be anybody's, as they have to be: one a step, in order.
Decisions checked_decisions(const PreservationPolicy& policy, std::span<const StepInfo> steps) {
  if (!policy) return keep_all(steps, "there is no policy");
  Decisions given;
  try {
    given = policy(steps);
  } catch (const std::exception& error) {
    return keep_all(steps, std::string("the policy failed: ") + error.what());
  } catch (...) {
    return keep_all(steps, "the policy failed");
  }
  Decisions decisions = keep_all(steps, "the policy does not decide about it");
  std::vector<bool> is_decided(steps.size(), false);
  for (PreservationDecision& decision : given) {
    const auto at = std::lower_bound(steps.begin(), steps.end(), decision.step,
                                     [](const StepInfo& info, std::int64_t step) { return info.step < step; });
    const std::string step = std::to_string(decision.step);
    if (at == steps.end() || at->step != decision.step) {
      return keep_all(steps, "the policy decides about step " + step + ", which is not there");
    }
    const auto i = static_cast<std::size_t>(at - steps.begin());
    if (is_decided[i]) return keep_all(steps, "the policy decides twice about step " + step);
    is_decided[i] = true;
    if (decision.reason.empty()) decision.reason = "the policy gives no reason";
    decisions[i] = std::move(decision);
  }
  return decisions;
}

}  // namespace

Decisions PreserveAll::operator()(std::span<const StepInfo> steps) const {
  return keep_all(steps, "all steps are kept");
}

Decisions LatestN::operator()(std::span<const StepInfo> steps) const {
  if (n < 0) return keep_all(steps, "the latest " + std::to_string(n) + ": makes no sense, so all are kept");
  const std::string latest = "the latest " + std::to_string(n);
  return for_each_step(steps, [&](std::size_t i) {
    const bool keep = steps.size() - i <= static_cast<std::uint64_t>(n);
    return std::pair(keep, (keep ? "among " : "older than ") + latest);
  });
}

Decisions CustomSteps::operator()(std::span<const StepInfo> steps) const {
  return for_each_step(steps, [&](std::size_t i) {
    const bool keep = steps_to_keep.contains(steps[i].step);
    return std::pair<bool, std::string>(keep, keep ? "one of the steps to keep" : "not one of the steps to keep");
  });
}

Decisions LatestDuration::operator()(std::span<const StepInfo> steps) const {
  const std::string limit = duration_text(seconds);
  if (!(seconds >= 0)) return keep_all(steps, "the last " + limit + ": makes no sense, so all are kept");
  return for_each_step(steps, [&](std::size_t i) {
    const bool keep = seconds_between(steps[i], steps.back()) <= seconds;
    return std::pair(keep, (keep ? "within " : "more than ") + limit + (keep ? " of" : " before") + " the newest");
  });
}

Decisions EveryNSeconds::operator()(std::span<const StepInfo> steps) const {
  const std::string distance = duration_text(seconds);
  if (!(seconds >= 0)) return keep_all(steps, "one every " + distance + ": makes no sense, so all are kept");
  return keep_spaced(steps, distance, [&](const StepInfo& last, const StepInfo& step) {
    const double gap_s = seconds_between(last, step);
    return gap_s >= seconds || gap_s < 0;
  });
}

Decisions EveryNSteps::operator()(std::span<const StepInfo> steps) const {
  const std::string interval = std::to_string(n);
  if (n < 1) return keep_all(steps, "one every " + interval + " steps: makes no sense, so all are kept");
  if (exact) {
    return for_each_step(steps, [&](std::size_t i) {
      const bool keep = steps[i].step % n == 0;
      return std::pair(keep, (keep ? "a multiple of " : "not a multiple of ") + interval);
    });
  }
  return keep_spaced(steps, interval + " steps", [&](const StepInfo& last, const StepInfo& step) {
    return static_cast<std::uint64_t>(step.step) - static_cast<std::uint64_t>(last.step) >=
           static_cast<std::uint64_t>(n);
  });
}

Decisions BestN::operator()(std::span<const StepInfo> steps) const {
  const std::string best = "the best " + std::to_string(n);
  if (n < 0) return keep_all(steps, best + ": makes no sense, so all are kept");
  if (!best_fn) return keep_all(steps, best + ": by no metric, so all are kept");
  const auto ranked = rank_steps(steps, best_fn, mode);
  std::vector<std::size_t> rank_of(steps.size(), 0);  // 0: without metrics
  for (std::size_t i = 0; i < ranked.size(); ++i) rank_of[ranked[i].index] = i + 1;
  return for_each_step(steps, [&](std::size_t i) {
    const std::size_t rank = rank_of[i];
    if (rank == 0) return std::pair<bool, std::string>(keep_without_metrics, "it has no metric");
    const bool keep = rank <= static_cast<std::uint64_t>(n);
    return std::pair(keep, "number " + std::to_string(rank) + (keep ? " of " : ", beyond ") + best + " (" +
                               number_text(ranked[rank - 1].value) + ")");
  });
}

Decisions AnyPreservationPolicy::operator()(std::span<const StepInfo> steps) const {
  if (policies.empty()) return keep_all(steps, "there is no policy");
  std::vector<Decisions> all;
  all.reserve(policies.size());
  for (const PreservationPolicy& policy : policies) all.push_back(checked_decisions(policy, steps));
  return for_each_step(steps, [&](std::size_t i) {
    const bool keep = std::any_of(all.begin(), all.end(), [&](const Decisions& one) { return one[i].keep; });
    std::string reasons;
    for (const Decisions& one : all) {
      if (one[i].keep == keep) reasons += (reasons.empty() ? "" : "; ") + one[i].reason;
    }
    return std::pair(keep, std::move(reasons));
  });
}

PreservationPolicy preservation_policy_of(PreservationRule rule) {
  if (!rule.max_to_keep) return PreserveAll{};
  AnyPreservationPolicy any;
  if (rule.best_fn) {
    any.policies.emplace_back(
        BestN{std::move(rule.best_fn), rule.best_mode, *rule.max_to_keep, rule.keep_checkpoints_without_metrics});
  } else {
    any.policies.emplace_back(LatestN{*rule.max_to_keep});
  }
  if (rule.keep_latest) any.policies.emplace_back(LatestN{*rule.keep_latest});
  if (rule.keep_period) any.policies.emplace_back(EveryNSteps{*rule.keep_period});
  if (rule.keep_time_interval_s) any.policies.emplace_back(EveryNSeconds{*rule.keep_time_interval_s});
  return any;
}

Decisions plan_preservation(const PreservationPolicy& policy, std::span<const StepInfo> steps) {
  Decisions plan = checked_decisions(policy, steps);
  if (!plan.empty() && !plan.back().keep) plan.back() = {plan.back().step, true, "the newest step"};
  return plan;
}

}  // namespace milepost
