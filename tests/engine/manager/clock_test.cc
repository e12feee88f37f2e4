// Steps whose records name times that go back, or that no clock has shown: the number of a step is what orders them,
// the newest is always kept, and no policy removes what a correct clock would have kept.
#include "milepost/engine/follow.h"
#include "tests/engine/saving.h"
#include "tests/engine/small_steps.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>

#include <chrono>
#include <limits>
#include <memory>
#include <vector>

namespace milepost::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class ClockSetBack : public ::testing::Test {
 protected:
  ClockSetBack() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto commit = [&](std::int64_t step, std::chrono::nanoseconds time) {
      EXPECT_OK(commit_step(*disk, step, false, time.count()));
    };
    commit(10, now - 30min);
    commit(20, now - 2h);
    commit(30, now + 24h);
    commit(40, std::chrono::nanoseconds::max());
    commit(50, std::chrono::nanoseconds::min());
  }

  // What is left when step 60 is saved now.
  std::vector<std::int64_t> kept_by(const PreservationPolicy& policy) const {
    auto options = small_options(disk);
    options.preservation_policy = policy;
    auto manager = open_manager(options);
    EXPECT_EQ(manager.latest_step(), 50);
    EXPECT_TRUE(manager.preservation_plan()->back().keep) << "the newest";
    save_all(manager, {60});
    EXPECT_HOLDS(manager, 60, tree_of(60));
    EXPECT_OK(manager.close());
    return manager.all_steps(true).value();
  }

  const std::shared_ptr<SimulatedStore> disk = std::make_shared<SimulatedStore>();
};

TEST_F(ClockSetBack, LatestDurationKeepsWhatIsNotOlderThanTheNewest) {
  EXPECT_THAT(kept_by(LatestDuration{3600}), ElementsAre(10, 30, 40, 60));
}

TEST_F(ClockSetBack, EveryNSecondsTakesAStepBackForAGap) {
  EXPECT_THAT(kept_by(EveryNSeconds{60}), ElementsAre(10, 20, 30, 40, 50, 60));
}

TEST_F(ClockSetBack, KeepTimeIntervalDoesTheSame) {
  auto options = small_options(disk);
  options.max_to_keep = 1;
  options.keep_time_interval = 1min;
  auto manager = open_manager(options);
  save_all(manager, {60});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(10, 20, 30, 40, 50, 60));
}

TEST_F(ClockSetBack, LatestNCountsSteps) { EXPECT_THAT(kept_by(LatestN{2}), ElementsAre(50, 60)); }

TEST_F(ClockSetBack, AFollowerGoesByTheNumber) {
  auto steps = checkpoints_iterator("unused", {.every_step = true, .timeout = 0ns, .store = disk});
  for (const std::int64_t step : {10, 20, 30, 40, 50}) EXPECT_EQ(steps.next().value(), step);
  EXPECT_EQ(steps.next().value(), std::nullopt);
}

}  // namespace
}  // namespace milepost::testing
