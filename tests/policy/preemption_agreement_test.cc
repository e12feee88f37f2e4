#include "milepost/policy/preemption_agreement.h"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <vector>

namespace milepost {
namespace {

TEST(PreemptionAgreement, StopsAtTheFirstStepThatHadNoAnswerYet) {
  PreemptionAgreement agreement;
  EXPECT_FALSE(agreement.reached(6, false));
  EXPECT_FALSE(agreement.reached(7, false));
  EXPECT_FALSE(agreement.last_step());
  EXPECT_FALSE(agreement.reached(7, true)) << "it was said that step 7 is not the last";
  EXPECT_EQ(agreement.last_step(), 8);
  EXPECT_TRUE(agreement.reached(8, true));
  EXPECT_TRUE(agreement.reached(8, true));
  EXPECT_TRUE(agreement.reached(9, true));
  EXPECT_FALSE(agreement.reached(7, true));
}

TEST(PreemptionAgreement, WhoAsksSeldomStopsWhenHeAsks) {
  PreemptionAgreement agreement;
  EXPECT_FALSE(agreement.reached(100, false));
  EXPECT_TRUE(agreement.reached(200, true));
}

TEST(PreemptionAgreement, BeforeAnyAnswerAnyStepMayBeTheLast) {
  PreemptionAgreement agreement;
  EXPECT_TRUE(agreement.reached(0, true));
  EXPECT_EQ(agreement.last_step(), 0);
}

TEST(PreemptionAgreement, AJobThatWentBackStopsWhereItIs) {
  PreemptionAgreement agreement;
  EXPECT_FALSE(agreement.reached(1000, false));
  EXPECT_FALSE(agreement.reached(50, false));
  EXPECT_TRUE(agreement.reached(51, true));
}

TEST(PreemptionAgreement, AJobThatWentBackMayBeToldAtOnce) {
  PreemptionAgreement agreement;
  EXPECT_FALSE(agreement.reached(1000, false));
  EXPECT_TRUE(agreement.reached(51, true)) << "it may not live until step 1001";
  PreemptionAgreement denied;
  EXPECT_FALSE(denied.reached(1000, false));
  EXPECT_FALSE(denied.would_reach(51, true));
  EXPECT_FALSE(denied.reached(51, true)) << "it was said that step 51 is not the last";
  EXPECT_TRUE(denied.reached(52, true));
}

TEST(PreemptionAgreement, AQuestionAboutAnotherStepMovesNothing) {
  PreemptionAgreement agreement;
  EXPECT_FALSE(agreement.reached(6, false));
  EXPECT_FALSE(agreement.would_reach(1000, false));
  EXPECT_TRUE(agreement.would_reach(2000, true));
  EXPECT_FALSE(agreement.would_reach(1000, true)) << "it was said that step 1000 is not the last";
  EXPECT_FALSE(agreement.would_reach(6, true));
  EXPECT_FALSE(agreement.last_step());
  EXPECT_TRUE(agreement.reached(7, true));
  EXPECT_EQ(agreement.last_step(), 7);
  EXPECT_TRUE(agreement.would_reach(7, true));
  EXPECT_FALSE(agreement.would_reach(6, true));
}

TEST(PreemptionAgreement, WhoWasDeniedAStepDoesNotStopAtIt) {
  PreemptionAgreement agreement;
  EXPECT_FALSE(agreement.reached(6, false));
  EXPECT_FALSE(agreement.would_reach(7, false));
  EXPECT_FALSE(agreement.reached(7, true));
  EXPECT_TRUE(agreement.reached(8, true));
}

TEST(PreemptionAgreement, NoRankHasPassedTheStepOfAll) {
  EXPECT_EQ(agree_on_last_step(std::vector<std::int64_t>{4, 7, 5}), 8);
  EXPECT_EQ(agree_on_last_step(std::vector<std::int64_t>{4}), 5);
}

RC_GTEST_PROP(PreemptionAgreement, AnAnswerIsNeverTakenBack, (bool told_before)) {
  const auto increments = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 3));
  const auto told_at = *rc::gen::inRange<std::size_t>(0, increments.size() + 1);
  PreemptionAgreement agreement;
  std::map<std::int64_t, bool> answers;
  std::int64_t step = 0;
  for (std::size_t i = 0; i < increments.size(); ++i) {
    step += increments[i];
    const bool told = told_before || i >= told_at;
    const bool asks = *rc::gen::element(true, false);
    const bool reached = asks ? agreement.would_reach(step, told) : agreement.reached(step, told);
    RC_ASSERT(answers.emplace(step, reached).first->second == reached);
    if (reached && !asks) RC_ASSERT(step >= *agreement.last_step());
  }
}

}  // namespace
}  // namespace milepost
