// What a manager knows and tells when removing steps goes wrong, or when others remove them.
#include "tests/engine/saving.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RemovalFailure : public ::testing::Test {
 protected:
  CheckpointManagerOptions options() {
    auto made = small_options(faults_);
    made.on_event = [this](const ManagerEvent& event) {
      if (event.kind == ManagerEventKind::removal_failed) failed_.push_back(event.error->to_string());
      if (event.kind == ManagerEventKind::step_removed) removed_.push_back(event.step);
    };
    return made;
  }

  const std::shared_ptr<SimulatedStore> store_ = std::make_shared<SimulatedStore>();
  const std::shared_ptr<FaultStore> faults_ = std::make_shared<FaultStore>(store_);
  std::vector<std::string> failed_;  // what removal_failed said
  std::vector<std::int64_t> removed_;
};

// Readers do not see it any more: it is no step, whatever becomes of its files.
TEST_F(RemovalFailure, AStepThatIsHalfDeletedIsGone) {
  for (const Operation operation : {Operation::remove_file, Operation::sync_directory}) {
    auto manager = open_manager(options());
    save_all(manager, {1, 2});
    faults_->inject({.operations = {operation}});
    EXPECT_EQ(manager.delete_step(2).error().code(), ErrorCode::io);
    faults_->heal();
    EXPECT_EQ(manager.latest_step(), 1);
    EXPECT_THAT(removed_, ElementsAre(2));
    save(manager, 2, {});  // its turn again
    EXPECT_OK(manager.wait_until_finished());
    EXPECT_HOLDS(manager, 2, tree_of(2));
    for (const std::int64_t step : {1, 2}) EXPECT_OK(manager.delete_step(step));
    removed_.clear();
  }
}

// Not only by the next manager: a job that runs for months would fill the disk.
TEST_F(RemovalFailure, WhatAFailedSaveLeftGoesAfterTheNextCommit) {
  auto manager = open_manager(options());
  faults_->inject({.forever = true, .operations = {Operation::sync, Operation::remove_file}});
  EXPECT_TRUE(manager.save(1, state(1)).value());
  EXPECT_TRUE(manager.wait_until_finished().has_error());
  faults_->heal();
  EXPECT_EQ(store_->list_directory("").value().size(), 2u) << "the attempt and the directory's record";
  save_all(manager, {2});
  EXPECT_EQ(store_->list_directory("").value().size(), 2u) << "the step and the directory's record";
}

TEST_F(RemovalFailure, EveryFailureOfTheBackgroundIsTold) {
  auto with_threads = options();
  with_threads.max_to_keep = 1;
  with_threads.enable_background_delete = true;
  auto manager = open_manager(with_threads);
  save_all(manager, {1});
  faults_->inject({.forever = true, .operations = {Operation::remove_directory}, .path_contains = ".trash-"});
  for (const std::int64_t step : {2, 3}) {
    save(manager, step);
    const auto waited = manager.wait_until_finished();
    EXPECT_THAT(error_of(waited), HasSubstr("rmdir .trash-")) << step;
    EXPECT_GE(failed_.size(), static_cast<std::size_t>(step - 1));
  }
  faults_->heal();
  save_all(manager, {4});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(4));
  EXPECT_THAT(removed_, ElementsAre(1, 2, 3));
}

// Also beside the error of a save, which everybody who waits is told.
TEST_F(RemovalFailure, OfTheBackgroundIsToldByCloseAfterAFailedSave) {
  const auto hooks = std::make_shared<HookStore>(faults_);
  auto one = options();
  one.store = hooks;
  one.max_to_keep = 1;
  one.enable_background_delete = true;
  auto manager = open_manager(one);
  save_all(manager, {1});
  Stop stop(*hooks, Operation::remove_file, ".trash-1-");
  save(manager, 2);
  stop.gate.wait_for_arrival();
  faults_->inject({.operations = {Operation::sync}});
  save(manager, 3);
  EXPECT_TRUE(manager.wait_until(SaveEvent::committed).has_error());
  faults_->inject({.operations = {Operation::remove_file}});
  stop.gate.open();
  EXPECT_THAT(error_of(manager.close()), AllOf(HasSubstr("step 3: item state: fsync "), HasSubstr("unlink .trash-1-")));
}

// The plan is of what is there, not of what was there when it was last listed.
TEST_F(RemovalFailure, StepsThatOthersRemovedAreNotCountedAsKept) {
  auto three = options();
  three.max_to_keep = 3;
  auto manager = open_manager(three);
  save_all(manager, {70, 80, 90});
  {
    auto other = open_manager(small_options(store_));
    for (const std::int64_t step : {80, 90}) EXPECT_OK(other.delete_step(step));
  }
  save_all(manager, {100});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(70, 100));
}

TEST_F(RemovalFailure, AManagerThatGoesTriesAgainAsCloseDoes) {
  auto one = options();
  one.max_to_keep = 1;
  {
    auto manager = open_manager(one);
    save_all(manager, {1});
    {
      const auto reader = manager.open_step(1).value();
      save_all(manager, {2});
    }
  }
  EXPECT_THAT(open_manager(options()).all_steps().value(), ElementsAre(2));
}

// Every second of a grace period is for saving; what retention gives up goes afterwards.
TEST_F(RemovalFailure, NothingIsRemovedWhileAGracePeriodRuns) {
  auto one = options();
  one.max_to_keep = 1;
  one.preemption = PreemptionWatcher::start({.signals = {}}).value();
  auto manager = open_manager(one);
  save_all(manager, {1});
  one.preemption->notify("maintenance");
  save_all(manager, {2});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
  EXPECT_OK(manager.close());
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2));
}

}  // namespace
}  // namespace milepost::testing
