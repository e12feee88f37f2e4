#include "milepost/policy/save_decision.h"

#include <gtest/gtest.h>

namespace milepost {
namespace {

TEST(SaveDecision, SavesOnMultiplesAndTheFirstTime) {
  EXPECT_TRUE(decide_save(7, std::nullopt, 100).save);
  EXPECT_TRUE(decide_save(200, 100, 100).save);
  EXPECT_FALSE(decide_save(150, 100, 100).save);
}

TEST(SaveDecision, NeverSavesAStepThatIsNotLater) {
  EXPECT_FALSE(decide_save(100, 100, 100).save);
  EXPECT_FALSE(decide_save(100, 200, 1).save);
  EXPECT_EQ(decide_save(100, 200, 1).reason, "step 100 is not later than step 200");
}

}  // namespace
}  // namespace milepost
