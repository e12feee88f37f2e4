// When to save. Pure: no I/O, no clock, no threads.
//
// A policy is any callable that decides from a context; the ones here are plain structs, and AnySavePolicy joins
// several. All decisions of a manager pass through decide_save().
#pragma once

#include "milepost/policy/save_pace.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace milepost {

// All that a decision may depend on. The clock is the caller's, in seconds from any origin.
struct SaveDecisionContext {
  std::int64_t step = 0;
  std::optional<std::int64_t> latest_step = std::nullopt;  // saved, or being saved
  bool is_saving_in_progress = false;
  bool reached_preemption = false;  // at this step
  double now_s = 0;
  std::optional<double> last_save_s = std::nullopt;  // when the last save began
  SavePace pace = {};
};

struct SaveDecision {
  bool save = false;
  std::string reason;  // "step 200 is a multiple of 100", "step 7 is not later than step 7"
};

using SaveDecisionPolicy = std::function<SaveDecision(const SaveDecisionContext&)>;

// Multiples of `interval`; less than 1 stands for 1.
struct FixedIntervalPolicy {
  std::int64_t interval = 1;
  SaveDecision operator()(const SaveDecisionContext& context) const;
};

struct SpecificStepsPolicy {
  std::set<std::int64_t> steps;
  SaveDecision operator()(const SaveDecisionContext& context) const;
};

// Whenever no save is in flight and the last one began at least so many seconds ago.
struct ContinuousCheckpointingPolicy {
  double minimum_interval_s = 0;
  SaveDecision operator()(const SaveDecisionContext& context) const;
};

// The step at which the job is told to stop.
struct PreemptionCheckpointingPolicy {
  SaveDecision operator()(const SaveDecisionContext& context) const;
};

// The first step, while there is no checkpoint.
struct InitialSavePolicy {
  SaveDecision operator()(const SaveDecisionContext& context) const;
};

// Saves if one of them does, with the reason of the first that does. An empty one never saves.
struct AnySavePolicy {
  std::vector<SaveDecisionPolicy> policies;
  SaveDecision operator()(const SaveDecisionContext& context) const;
};

using ShouldSaveFn = std::function<bool(std::int64_t step, std::optional<std::int64_t> latest_step)>;

// What a manager's options say where they name no policy.
struct SaveRule {
  std::int64_t save_interval_steps = 1;
  std::set<std::int64_t> save_on_steps = {};
  ShouldSaveFn should_save_fn = {};
};

// Multiples of the interval, the steps listed, preemption, and the first step of all; with should_save_fn only what
// that says, or preemption.
SaveDecisionPolicy save_policy_of(SaveRule rule);

// What the policy decides, but never to save a step that is not later than the latest. An empty policy never saves.
// What a user's policy throws goes through to the caller.
SaveDecision decide_save(const SaveDecisionPolicy& policy, const SaveDecisionContext& context);

}  // namespace milepost
