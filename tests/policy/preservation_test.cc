#include "milepost/policy/preservation.h"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <vector>

namespace milepost {
namespace {

std::vector<std::int64_t> kept(std::vector<std::int64_t> steps, std::optional<int> max_to_keep) {
  std::vector<std::int64_t> result;
  for (const auto& decision : plan_preservation(steps, max_to_keep)) {
    EXPECT_FALSE(decision.reason.empty());
    if (decision.keep) result.push_back(decision.step);
  }
  return result;
}

TEST(Preservation, KeepsTheLatest) {
  EXPECT_EQ(kept({0, 1, 2, 3, 4}, 2), (std::vector<std::int64_t>{3, 4}));
  EXPECT_EQ(kept({0, 1, 2}, 5), (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(kept({0, 1, 2}, std::nullopt), (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(kept({}, 2), (std::vector<std::int64_t>{}));
}

TEST(Preservation, NeverDropsTheNewest) { EXPECT_EQ(kept({7, 9}, 0), (std::vector<std::int64_t>{9})); }

TEST(Preservation, SaysWhy) {
  const auto plan = plan_preservation(std::vector<std::int64_t>{10, 20}, 1);
  EXPECT_EQ(plan[0].reason, "older than the latest 1");
  EXPECT_EQ(plan[1].reason, "among the latest 1");
}

RC_GTEST_PROP(Preservation, CarryingOutAPlanTwiceRemovesNothingMore, (std::set<std::int64_t> steps)) {
  const int n = *rc::gen::inRange(0, 6);
  const std::vector<std::int64_t> once = kept({steps.begin(), steps.end()}, n);
  RC_ASSERT(kept(once, n) == once);
  if (!steps.empty()) RC_ASSERT(once.back() == *steps.rbegin());
}

}  // namespace
}  // namespace milepost
