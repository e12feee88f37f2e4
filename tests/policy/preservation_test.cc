#include "milepost/policy/preservation.h"

#include "tests/policy/not_finite.h"
#include "tests/policy/steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

namespace milepost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<StepInfo> five = steps_of({0, 1, 2, 3, 4});
const std::vector<StepInfo> measured = {{1, 0, {{"loss", 0.4}}}, {2, 0, {}},
                                        {3, 0, {{"loss", 0.2}}}, {4, 0, {{"loss", nan}}},
                                        {5, 0, {{"loss", 0.2}}}, {6, 0, {{"loss", 0.9}}}};

TEST(Preservation, PreservesAll) { EXPECT_THAT(kept(PreserveAll{}, five), ElementsAre(0, 1, 2, 3, 4)); }

TEST(Preservation, KeepsTheLatest) {
  EXPECT_THAT(kept(LatestN{2}, five), ElementsAre(3, 4));
  EXPECT_THAT(kept(LatestN{9}, five), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(kept(LatestN{2}, {}), IsEmpty());
}

TEST(Preservation, KeepsCustomSteps) { EXPECT_THAT(kept(CustomSteps{{1, 3, 7}}, five), ElementsAre(1, 3, 4)); }

TEST(Preservation, KeepsTheLatestDuration) {
  EXPECT_THAT(kept(LatestDuration{2}, five), ElementsAre(2, 3, 4));
  EXPECT_THAT(kept(LatestDuration{0.5}, five), ElementsAre(4));
  EXPECT_THAT(kept(LatestDuration{0}, five), ElementsAre(4));
}

TEST(Preservation, KeepsOneEveryFewSeconds) {
  EXPECT_THAT(kept(EveryNSeconds{10}, steps_of({3, 12, 13, 14, 22, 23, 50, 51})), ElementsAre(3, 13, 23, 50, 51));
  EXPECT_THAT(kept(EveryNSeconds{0}, five), ElementsAre(0, 1, 2, 3, 4));
}

TEST(Preservation, CountsNanosecondsOfAnyTime) {
  const std::int64_t now = 1'790'000'000'123'456'789;
  const std::int64_t minute = 60'000'000'000;
  EXPECT_THAT(kept(LatestDuration{60}, {{1, now - minute - 1, {}}, {2, now - minute, {}}, {3, now, {}}}),
              ElementsAre(2, 3));
  EXPECT_THAT(kept(EveryNSeconds{60}, {{1, now, {}}, {2, now + minute - 1, {}}, {3, now + minute, {}}, {4, now, {}}}),
              ElementsAre(1, 3, 4));
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_THAT(kept(EveryNSeconds{60}, {{1, least, {}}, {2, most, {}}, {3, least, {}}}), ElementsAre(1, 2, 3));
}

TEST(Preservation, AClockSetBackIsNoReasonToRemove) {
  const std::int64_t second = 1'000'000'000;
  const std::vector<StepInfo> steps = {{1, 100 * second, {}}, {2, 105 * second, {}}, {3, 40 * second, {}},
                                       {4, 45 * second, {}},  {5, 50 * second, {}},  {6, 51 * second, {}}};
  EXPECT_THAT(kept(EveryNSeconds{10}, steps), ElementsAre(1, 3, 5, 6));
  EXPECT_THAT(kept(LatestDuration{10}, steps), ElementsAre(1, 2, 4, 5, 6));
}

TEST(Preservation, KeepsMultiples) {
  const auto steps = steps_of({0, 2, 4, 6, 8, 10, 11});
  EXPECT_THAT(kept(EveryNSteps{4}, steps), ElementsAre(0, 4, 8, 11));
  EXPECT_THAT(kept(EveryNSteps{1}, steps), ElementsAre(0, 2, 4, 6, 8, 10, 11));
}

TEST(Preservation, KeepsOneEveryFewSteps) {
  EXPECT_THAT(kept(EveryNSteps{.n = 4, .exact = false}, steps_of({3, 5, 6, 7, 10, 12, 16, 17})),
              ElementsAre(3, 7, 12, 16, 17));
}

TEST(Preservation, KeepsTheBest) {
  EXPECT_THAT(kept(BestN{by("loss"), BestMode::min, 2}, measured), ElementsAre(2, 3, 5, 6));
  EXPECT_THAT(kept(BestN{by("loss"), BestMode::min, 1}, measured), ElementsAre(2, 5, 6));
  EXPECT_THAT(kept(BestN{by("loss"), BestMode::max, 2, false}, measured), ElementsAre(1, 6));
  EXPECT_THAT(kept(BestN{by("loss"), BestMode::max, 5, false}, measured), ElementsAre(1, 3, 4, 5, 6));
  EXPECT_THAT(kept(BestN{by("typo"), BestMode::max, 1}, measured), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(Preservation, UnitesPolicies) {
  const AnyPreservationPolicy any{{EveryNSteps{4}, LatestN{2}, CustomSteps{{3}}}};
  EXPECT_THAT(kept(any, steps_of({0, 1, 2, 3, 4, 5, 6, 7})), ElementsAre(0, 3, 4, 6, 7));
}

TEST(Preservation, AlwaysKeepsTheNewest) {
  for (const PreservationPolicy& policy : std::vector<PreservationPolicy>{
           LatestN{0}, CustomSteps{}, EveryNSteps{100}, BestN{by("loss"), BestMode::min, 0, false},
           AnyPreservationPolicy{{LatestN{0}, CustomSteps{}}}}) {
    EXPECT_THAT(kept(policy, steps_of({7, 9})), ElementsAre(9));
    EXPECT_EQ(reasons(policy, steps_of({7, 9})).back(), "the newest step");
    EXPECT_THAT(kept(policy, {}), IsEmpty());
  }
}

TEST(Preservation, SaysWhy) {
  EXPECT_THAT(reasons(LatestN{1}, steps_of({10, 20})), ElementsAre("older than the latest 1", "among the latest 1"));
  EXPECT_THAT(reasons(EveryNSteps{20}, steps_of({10, 20})), ElementsAre("not a multiple of 20", "a multiple of 20"));
  EXPECT_THAT(reasons(EveryNSteps{5, false}, steps_of({10, 12, 15})),
              ElementsAre("the first, one every 5 steps", "less than 5 steps after step 10", "one every 5 steps"));
  EXPECT_THAT(reasons(LatestDuration{7200}, steps_of({0, 7000, 8000})),
              ElementsAre("more than 2 h before the newest", "within 2 h of the newest", "within 2 h of the newest"));
  EXPECT_THAT(reasons(BestN{by("loss"), BestMode::min, 2, false}, measured),
              ElementsAre("number 3, beyond the best 2 (0.4)", "it has no metric", "number 2 of the best 2 (0.2)",
                          "number 5, beyond the best 2 (nan)", "number 1 of the best 2 (0.2)", "the newest step"));
}

TEST(Preservation, AUnionNamesThePoliciesThatDecide) {
  EXPECT_THAT(reasons(AnyPreservationPolicy{{LatestN{2}, EveryNSteps{2}}}, steps_of({0, 1, 2, 3})),
              ElementsAre("a multiple of 2", "older than the latest 2; not a multiple of 2",
                          "among the latest 2; a multiple of 2", "among the latest 2"));
}

// --- What makes no sense removes nothing.

TEST(Preservation, SenselessPoliciesRemoveNothing) {
  for (const PreservationPolicy& policy :
       std::vector<PreservationPolicy>{{},
                                       LatestN{-1},
                                       LatestDuration{-1},
                                       LatestDuration{nan},
                                       EveryNSeconds{-1},
                                       EveryNSeconds{nan},
                                       EveryNSteps{0},
                                       EveryNSteps{-4, false},
                                       BestN{{}, BestMode::max, 1, false},
                                       BestN{by("loss"), BestMode::max, -1, false},
                                       AnyPreservationPolicy{},
                                       AnyPreservationPolicy{{LatestN{1}, PreservationPolicy{}}}}) {
    EXPECT_THAT(kept(policy, five), ElementsAre(0, 1, 2, 3, 4));
  }
}

TEST(Preservation, WhatAPolicyForgetsIsKept) {
  const auto forgetful = [](std::span<const StepInfo>) {
    return std::vector<PreservationDecision>{{3, false, "three"}, {0, false, ""}};
  };
  EXPECT_THAT(kept(forgetful, five), ElementsAre(1, 2, 4));
  EXPECT_THAT(reasons(forgetful, five),
              ElementsAre("the policy gives no reason", "the policy does not decide about it",
                          "the policy does not decide about it", "three", "the policy does not decide about it"));
}

TEST(Preservation, AWrongPolicyRemovesNothing) {
  const auto of_another_step = [](std::span<const StepInfo>) {
    return std::vector<PreservationDecision>{{0, false, "zero"}, {17, false, "?"}};
  };
  EXPECT_THAT(kept(of_another_step, five), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(reasons(of_another_step, five)[0], "the policy decides about step 17, which is not there");

  const auto twice = [](std::span<const StepInfo>) {
    return std::vector<PreservationDecision>{{1, false, "no"}, {1, false, "no"}};
  };
  EXPECT_THAT(kept(twice, five), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(reasons(twice, five)[1], "the policy decides twice about step 1");

  const auto throws = [](std::span<const StepInfo>) -> std::vector<PreservationDecision> {
    throw std::runtime_error("oops");
  };
  EXPECT_THAT(kept(throws, five), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(reasons(throws, five)[0], "the policy failed: oops");
  EXPECT_THAT(kept(AnyPreservationPolicy{{LatestN{1}, throws}}, five), ElementsAre(0, 1, 2, 3, 4));
}

// --- What a manager's options say.

TEST(PreservationRule, KeepsAllUnlessToldHowMany) {
  EXPECT_THAT(kept(preservation_policy_of({}), five), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(kept(preservation_policy_of({.keep_period = 4}), five), ElementsAre(0, 1, 2, 3, 4));
}

TEST(PreservationRule, UnitesTheOptions) {
  EXPECT_THAT(kept(preservation_policy_of({.max_to_keep = 2}), five), ElementsAre(3, 4));
  EXPECT_THAT(kept(preservation_policy_of({.max_to_keep = 0}), five), ElementsAre(4));
  EXPECT_THAT(kept(preservation_policy_of({.max_to_keep = 1, .keep_period = 2}), five), ElementsAre(0, 2, 4));
  EXPECT_THAT(kept(preservation_policy_of({.max_to_keep = 1, .keep_time_interval_s = 3.0}), five),
              ElementsAre(0, 3, 4));
}

TEST(PreservationRule, KeepsTheBestAndTheLatest) {
  PreservationRule rule{.max_to_keep = 1, .best_fn = by("loss"), .best_mode = BestMode::min};
  EXPECT_THAT(kept(preservation_policy_of(rule), measured), ElementsAre(2, 5, 6));
  rule.keep_checkpoints_without_metrics = false;
  EXPECT_THAT(kept(preservation_policy_of(rule), measured), ElementsAre(5, 6));
  rule.keep_latest = 3;
  EXPECT_THAT(kept(preservation_policy_of(rule), measured), ElementsAre(4, 5, 6));
}

}  // namespace
}  // namespace milepost
