// A manager whose job is told to stop: at which step, and what is still saved in the time that is left.
#include "tests/engine/saving.h"
#include "tests/engine/small_steps.h"
#include "tests/support/asleep.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace milepost::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Of a job that has no time left once it is told.
CheckpointManagerOptions hasty_options(std::shared_ptr<Store> store) {
  auto options = small_options(std::move(store));
  options.preemption = PreemptionWatcher::start({.signals = {}, .grace = 0s, .margin = 0s}).value();
  return options;
}

TEST(Grace, ASaveThatCannotFitAfterTheOneInFlightIsNotBegun) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = hasty_options(hooks);
  std::vector<std::string> reasons;
  options.on_event = [&](const ManagerEvent& event) {
    if (event.kind == ManagerEventKind::save_declined) reasons.push_back(event.reason);
  };
  auto manager = open_manager(options);
  save_all(manager, {1});  // measures
  Stop stop(*hooks, Operation::rename, "2");
  ASSERT_TRUE(manager.save(2, state(2)).value());
  stop.gate.wait_for_arrival();
  options.preemption->notify("at once");
  // It decides while step 2 is in flight, and then waits for that.
  std::thread opener([&, saver = ::gettid()] {
    while (!is_asleep(saver)) std::this_thread::yield();
    stop.gate.open();
  });
  EXPECT_FALSE(manager.save(3, state(3)).value());
  opener.join();
  EXPECT_TRUE(manager.reached_preemption(3)) << "the job leaves, with step 2";
  EXPECT_OK(manager.close());
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
  EXPECT_THAT(reasons, Contains(HasSubstr("the save in flight is the last")));
  const auto grace = manager.last_save()->grace;
  ASSERT_TRUE(grace.has_value());
  EXPECT_FALSE(grace->start);
}

// The one in flight was to be the last, and failed: then this one is saved, although that error is still to be told.
TEST(Grace, ASaveTakesThePlaceOfTheOneInFlightThatFails) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto hooks = std::make_shared<HookStore>(faults);
  const auto options = hasty_options(hooks);
  auto manager = open_manager(options);
  save_all(manager, {1});
  faults->inject({.operations = {Operation::rename}, .path_contains = "2"});
  Stop stop(*hooks, Operation::rename, "2");
  ASSERT_TRUE(manager.save(2, state(2)).value());
  stop.gate.wait_for_arrival();
  options.preemption->notify("at once");
  stop.gate.open();
  EXPECT_EQ(manager.save(3, state(3)).error().code(), ErrorCode::io) << "the error of step 2";
  EXPECT_TRUE(manager.reached_preemption(3));
  EXPECT_OK(manager.close());
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 3));
}

// Removing waits for the end of the grace period, or of the manager; and nothing is forgotten meanwhile.
TEST(Grace, WhatIsRemovedLater) {
  auto store = std::make_shared<SimulatedStore>();
  auto options = small_options(store);
  options.max_to_keep = 1;
  options.preemption = PreemptionWatcher::start({.signals = {}, .grace = 1h}).value();
  auto manager = open_manager(options);
  save_all(manager, {1});
  options.preemption->notify("soon");
  save(manager, 1, {.overwrite = true});
  save_all(manager, {2});
  EXPECT_THAT(names_in(*store), Contains(StartsWith(".trash-")));
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
  EXPECT_OK(manager.close());
  EXPECT_THAT(names_in(*store), Not(Contains(StartsWith("."))));
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2));
}

TEST(Grace, WhoLivesOnRemovesOn) {
  auto options = hasty_options(std::make_shared<SimulatedStore>());
  options.max_to_keep = 1;
  auto manager = open_manager(options);
  save_all(manager, {1});
  options.preemption->notify("a false alarm");
  save_all(manager, {2});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2));
}

// Measured to be slower than writing everything: small states take as long as large ones, and so a little state that
// was compressed seems to be slow, and much that was not to be fast.
TEST(Grace, CompressionIsDroppedWhereItTakesLonger) {
  const auto options = hasty_options(std::make_shared<SimulatedStore>());
  auto manager = open_manager(options);
  save(manager, 1, {.force = true, .codec = Codec::fast()});
  const Tensor large = Tensor::allocate(DType::u8, {std::int64_t{16} << 20}).value();
  ASSERT_TRUE(manager.save(2, {{"state", Tree(large)}}, {.codec = Codec::none()}).value());
  EXPECT_OK(manager.wait_until_finished());

  options.preemption->notify("at once");
  ASSERT_TRUE(manager.save(3, state(3), {.codec = Codec::fast()}).value());
  EXPECT_OK(manager.wait_until_finished());
  const auto report = *manager.last_save();
  ASSERT_TRUE(report.grace.has_value());
  EXPECT_TRUE(report.grace->start && report.grace->drop_compression) << report.grace->reason;
  EXPECT_FALSE(report.grace->fits);
  EXPECT_EQ(manager.metadata(3)->save->codec, "none");
  EXPECT_HOLDS(manager, 3, tree_of(3));
}

TEST(Grace, SavesAreSeenToUseTheDisk) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  for (const Codec& codec : {Codec::none(), Codec::fast()}) {
    save(manager, codec.kind == Codec::Kind::none ? 1 : 2, {.force = true, .codec = codec});
    EXPECT_OK(manager.wait_until_finished());
    const auto report = *manager.last_save();
    EXPECT_GT(report.disk_s, 0);
    EXPECT_LE(report.disk_s, report.durable_s);
  }
}

// --- At which step.

CheckpointManagerOptions patient_options() {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.save_interval_steps = 100;
  options.preemption = PreemptionWatcher::start({.signals = {}}).value();
  return options;
}

// Whoever plans ahead does not move the step at which the job stops.
TEST(Grace, AQuestionAboutAStepToComeIsOnlyAQuestion) {
  const auto options = patient_options();
  auto manager = open_manager(options);
  EXPECT_TRUE(manager.save(1, state(1)).value());
  EXPECT_FALSE(manager.should_save(1001));
  options.preemption->notify("now");
  EXPECT_TRUE(manager.should_save(2002)) << "it will have been told to stop";
  EXPECT_THAT(manager.save_decision(2002)->reason, HasSubstr("stop"));
  EXPECT_TRUE(manager.save(2, state(2)).value());
  EXPECT_TRUE(manager.reached_preemption(2));
  EXPECT_OK(manager.close());
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
}

// A loop that asks first, and saves only if it is told to: it does not stop at a step that it was told not to save.
TEST(Grace, ANoStands) {
  const auto options = patient_options();
  auto manager = open_manager(options);
  EXPECT_TRUE(manager.save(1, state(1)).value());
  EXPECT_FALSE(manager.should_save(2));
  options.preemption->notify("now");
  EXPECT_FALSE(manager.reached_preemption(2));
  EXPECT_TRUE(manager.should_save(3));
  EXPECT_TRUE(manager.save(3, state(3)).value());
  EXPECT_TRUE(manager.reached_preemption(3));
  EXPECT_OK(manager.close());
}

}  // namespace
}  // namespace milepost::testing
