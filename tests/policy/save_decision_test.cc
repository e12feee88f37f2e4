#include "milepost/policy/save_decision.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

namespace milepost {
namespace {

TEST(FixedInterval, SavesMultiples) {
  const FixedIntervalPolicy policy{100};
  EXPECT_TRUE(policy({.step = 200}).save);
  EXPECT_EQ(policy({.step = 200}).reason, "step 200 is a multiple of 100");
  EXPECT_FALSE(policy({.step = 150}).save);
  EXPECT_EQ(policy({.step = 150}).reason, "step 150 is not a multiple of 100");
  EXPECT_TRUE(FixedIntervalPolicy{0}({.step = 7}).save);
}

TEST(SpecificSteps, SavesThose) {
  const SpecificStepsPolicy policy{{3, 5}};
  EXPECT_TRUE(policy({.step = 5}).save);
  EXPECT_FALSE(policy({.step = 4}).save);
}

TEST(Continuous, SavesWhenNoneIsInFlightAndTheIntervalIsOver) {
  const ContinuousCheckpointingPolicy policy{60};
  EXPECT_TRUE(policy({.step = 1, .now_s = 0}).save);
  EXPECT_TRUE(policy({.step = 1, .now_s = 160, .last_save_s = 100}).save);
  EXPECT_FALSE(policy({.step = 1, .now_s = 159, .last_save_s = 100}).save);
  EXPECT_FALSE(policy({.step = 1, .is_saving_in_progress = true, .now_s = 999, .last_save_s = 100}).save);
  EXPECT_EQ(policy({.step = 1, .now_s = 159, .last_save_s = 100}).reason,
            "the last save began 59 s ago, of at least 60 s");
  EXPECT_TRUE(policy({.step = 1, .now_s = 50, .last_save_s = 100}).save) << "a clock that was set back";
}

TEST(Preemption, SavesTheStepAtWhichTheJobIsToldToStop) {
  EXPECT_TRUE(PreemptionCheckpointingPolicy{}({.step = 7, .reached_preemption = true}).save);
  EXPECT_FALSE(PreemptionCheckpointingPolicy{}({.step = 7}).save);
}

TEST(InitialSave, SavesWhileThereIsNone) {
  EXPECT_TRUE(InitialSavePolicy{}({.step = 7}).save);
  EXPECT_FALSE(InitialSavePolicy{}({.step = 7, .latest_step = 3}).save);
}

TEST(AnySave, SavesIfOneDoesAndSaysWhich) {
  const AnySavePolicy policy{{SpecificStepsPolicy{{5}}, SaveDecisionPolicy{}, FixedIntervalPolicy{4}}};
  EXPECT_EQ(policy({.step = 8}).reason, "step 8 is a multiple of 4");
  EXPECT_TRUE(policy({.step = 5}).save);
  EXPECT_FALSE(policy({.step = 6}).save);
  EXPECT_EQ(policy({.step = 6}).reason, "step 6 is not listed; step 6 is not a multiple of 4");
  EXPECT_FALSE(AnySavePolicy{}({.step = 6}).save);
  EXPECT_EQ(AnySavePolicy{}({.step = 6}).reason, "no policy asks for it");
}

TEST(SaveRule, SavesMultiplesListedStepsTheFirstAndTheLast) {
  const SaveDecisionPolicy policy = save_policy_of({.save_interval_steps = 100, .save_on_steps = {42}});
  const auto saves = [&](SaveDecisionContext context) { return decide_save(policy, context).save; };
  EXPECT_TRUE(saves({.step = 7}));
  EXPECT_TRUE(saves({.step = 200, .latest_step = 100}));
  EXPECT_TRUE(saves({.step = 42, .latest_step = 0}));
  EXPECT_TRUE(saves({.step = 150, .latest_step = 100, .reached_preemption = true}));
  EXPECT_FALSE(saves({.step = 150, .latest_step = 100}));
  EXPECT_FALSE(saves({.step = 42, .latest_step = 42}));
  EXPECT_EQ(decide_save(policy, {.step = 150, .latest_step = 100}).reason,
            "there is a checkpoint: step 100; the job is not told to stop; step 150 is not listed; "
            "step 150 is not a multiple of 100");
}

TEST(SaveRule, AFunctionDecidesAloneButForPreemption) {
  std::optional<std::int64_t> seen;
  const SaveDecisionPolicy policy = save_policy_of(
      {.save_on_steps = {42}, .should_save_fn = [&](std::int64_t step, std::optional<std::int64_t> latest) {
         seen = latest;
         return step == 9;
       }});
  EXPECT_TRUE(decide_save(policy, {.step = 9, .latest_step = 8}).save);
  EXPECT_EQ(seen, 8);
  EXPECT_FALSE(decide_save(policy, {.step = 10, .latest_step = 8}).save);
  EXPECT_FALSE(decide_save(policy, {.step = 42}).save);
  EXPECT_EQ(seen, std::nullopt);
  EXPECT_TRUE(decide_save(policy, {.step = 10, .latest_step = 8, .reached_preemption = true}).save);
}

TEST(DecideSave, NeverSavesAStepThatIsNotLater) {
  const SaveDecisionPolicy always = [](const SaveDecisionContext&) { return SaveDecision{true, "always"}; };
  EXPECT_EQ(decide_save(always, {.step = 101, .latest_step = 100}).reason, "always");
  EXPECT_FALSE(decide_save(always, {.step = 100, .latest_step = 100}).save);
  EXPECT_FALSE(decide_save(always, {.step = 100, .latest_step = 200, .reached_preemption = true}).save);
  EXPECT_EQ(decide_save(always, {.step = 100, .latest_step = 200}).reason, "step 100 is not later than step 200");
}

TEST(DecideSave, WithoutAPolicyNothingIsSaved) {
  EXPECT_FALSE(decide_save({}, {.step = 1}).save);
  EXPECT_EQ(decide_save({}, {.step = 1}).reason, "there is no policy");
}

TEST(DecideSave, WhatAUsersPolicyThrowsReachesTheCaller) {
  const SaveDecisionPolicy throws = [](const SaveDecisionContext&) -> SaveDecision {
    throw std::runtime_error("oops");
  };
  EXPECT_THROW(decide_save(throws, {.step = 1}), std::runtime_error);
}

}  // namespace
}  // namespace milepost
