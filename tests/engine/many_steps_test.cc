// A directory of ten thousand steps: each way of opening it, what is in it, and what a policy makes of it.
#include "bench/many_steps.h"
#include "tests/engine/open_manager.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace milepost::testing {
namespace {

constexpr std::int64_t count = under_sanitizer ? 500 : 10'000;

TEST(ManySteps, AreOpenedListedPlannedAndPruned) {
  const TempDir there(parent_in_memory());
  const std::string directory = there.string() + "/steps";
  bench::write_many_steps(directory, count);
  std::vector<std::int64_t> all(count);
  std::iota(all.begin(), all.end(), 1);

  auto options = small_options();
  options.preservation_policy =
      AnyPreservationPolicy{{LatestN{10}, EveryNSteps{1000},
                             BestN{[](const Metrics& metrics) { return metrics.at("loss"); }, BestMode::max, 2}}};
  for (const bool lightweight : {true, false}) {
    options.lightweight_initialize = lightweight;
    auto manager = open_manager(options, directory);
    EXPECT_EQ(manager.all_steps().value(), all);
    EXPECT_EQ(manager.all_steps(true).value(), all);
    EXPECT_EQ(manager.latest_step(), count);
    Tree target = bench::tree_of_many(0);
    EXPECT_EQ(manager.restore_latest(target).value(), count);
    EXPECT_EQ(difference(bench::tree_of_many(count), target), "");
    EXPECT_HOLDS(manager, 1, bench::tree_of_many(1));
    EXPECT_HOLDS(manager, count / 2, bench::tree_of_many(count / 2));

    const auto plan = manager.preservation_plan().value();
    ASSERT_EQ(plan.size(), all.size());
    for (const PreservationDecision& decision : plan) {
      const std::int64_t step = decision.step;
      EXPECT_EQ(decision.keep, step > count - 10 || step % 1000 == 0 || step <= 2) << step << ": " << decision.reason;
    }
  }

  // One save more, and what the policy gives up goes at once.
  constexpr std::int64_t removed = 100;
  options.preservation_policy = LatestN{static_cast<int>(count - removed) + 1};
  auto manager = open_manager(options, directory);
  ASSERT_TRUE(manager.save(count + 1, {{"state", small_tree(7)}}, {.metrics = {{"loss", 0}}}).value());
  EXPECT_OK(manager.close());
  all.erase(all.begin(), all.begin() + removed);
  all.push_back(count + 1);
  EXPECT_EQ(manager.all_steps(true).value(), all);
  EXPECT_HOLDS(manager, count + 1, small_tree(7));
  EXPECT_HOLDS(manager, removed + 1, bench::tree_of_many(removed + 1));
}

}  // namespace
}  // namespace milepost::testing
