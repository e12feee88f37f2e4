#include "milepost/policy/save_decision.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace milepost {
namespace {

std::string name_of(std::int64_t step) { return "step " + std::to_string(step); }

std::string rounded_seconds(double seconds) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3g s", seconds);
  return text;
}

}  // namespace

SaveDecision FixedIntervalPolicy::operator()(const SaveDecisionContext& context) const {
  const std::int64_t steps = std::max<std::int64_t>(1, interval);
  const bool is_multiple = context.step % steps == 0;
  return {is_multiple, name_of(context.step) + (is_multiple ? " is a multiple of " : " is not a multiple of ") +
                           std::to_string(steps)};
}

SaveDecision SpecificStepsPolicy::operator()(const SaveDecisionContext& context) const {
  const bool is_listed = steps.contains(context.step);
  return {is_listed, name_of(context.step) + (is_listed ? " is one of the steps to save" : " is not listed")};
}

SaveDecision ContinuousCheckpointingPolicy::operator()(const SaveDecisionContext& context) const {
  if (context.is_saving_in_progress) return {false, "a save is in flight"};
  if (!context.last_save_s) return {true, "nothing was saved yet"};
  const double elapsed_s = context.now_s - *context.last_save_s;
  // A clock that runs backwards is no reason to stop saving.
  const bool is_over = !(elapsed_s >= 0 && elapsed_s < minimum_interval_s);
  return {is_over, "the last save began " + rounded_seconds(elapsed_s) + " ago, of at least " +
                       rounded_seconds(minimum_interval_s)};
}

SaveDecision PreemptionCheckpointingPolicy::operator()(const SaveDecisionContext& context) const {
  if (context.reached_preemption) return {true, "the job is told to stop at " + name_of(context.step)};
  return {false, "the job is not told to stop"};
}

SaveDecision InitialSavePolicy::operator()(const SaveDecisionContext& context) const {
  if (!context.latest_step) return {true, name_of(context.step) + " is the first"};
  return {false, "there is a checkpoint: " + name_of(*context.latest_step)};
}

SaveDecision AnySavePolicy::operator()(const SaveDecisionContext& context) const {
  SaveDecision none;
  for (const SaveDecisionPolicy& policy : policies) {
    if (!policy) continue;
    SaveDecision decision = policy(context);
    if (decision.save) return decision;
    none.reason += (none.reason.empty() ? "" : "; ") + decision.reason;
  }
  if (none.reason.empty()) none.reason = "no policy asks for it";
  return none;
}

SaveDecisionPolicy save_policy_of(SaveRule rule) {
  if (rule.should_save_fn) {
    const auto ask = [asked = std::move(rule.should_save_fn)](const SaveDecisionContext& context) {
      const bool wanted = asked(context.step, context.latest_step);
      return SaveDecision{wanted, wanted ? "should_save_fn asks for it" : "should_save_fn declines"};
    };
    return AnySavePolicy{{PreemptionCheckpointingPolicy{}, ask}};
  }
  AnySavePolicy any{{InitialSavePolicy{}, PreemptionCheckpointingPolicy{}}};
  if (!rule.save_on_steps.empty()) any.policies.emplace_back(SpecificStepsPolicy{std::move(rule.save_on_steps)});
  any.policies.emplace_back(FixedIntervalPolicy{rule.save_interval_steps});
  return any;
}

SaveDecision decide_save(const SaveDecisionPolicy& policy, const SaveDecisionContext& context) {
  if (context.latest_step && context.step <= *context.latest_step) {
    return {false, name_of(context.step) + " is not later than " + name_of(*context.latest_step)};
  }
  if (!policy) return {false, "there is no policy"};
  return policy(context);
}

}  // namespace milepost
