// What becomes of the errors of saves, and of a manager that ends.
#include "tests/engine/saving.h"
#include "tests/support/asleep.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A loop that has gone on to its next step by the time that an event is over has heard of the error all the same.
TEST(Manager, AnErrorIsThereToBeToldWhenItsEventComes) {
  for (const auto& [operation, in_background] :
       {std::pair(Operation::sync, false), {Operation::remove_file, false}, {Operation::remove_file, true}}) {
    auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
    auto options = small_options(faults);
    options.max_to_keep = 1;
    options.enable_background_delete = in_background;
    Gate gate;
    options.on_event = [&](const ManagerEvent& event) {
      if (event.error) gate.pass();
    };
    auto manager = open_manager(options);
    save_all(manager, {1});
    faults->inject({.operations = {operation}});
    save(manager, 2);
    gate.wait_for_arrival();
    EXPECT_TRUE(manager.check_for_errors().has_error()) << to_string(operation) << ' ' << in_background;
    gate.open();
  }
}

TEST(Manager, AnErrorIsToldOnceToTheNextSaveAndToEveryWaiter) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(faults));
  save_all(manager, {1});
  // Unseen: the next save returns it, once.
  faults->inject({.system_errno = 28, .operations = {Operation::write}});
  save(manager, 2);
  const auto next = manager.save(3, state(3));
  ASSERT_TRUE(next.has_error());
  EXPECT_EQ(next.error().code(), ErrorCode::no_space);
  EXPECT_THAT(next.error().to_string(), HasSubstr("step 2: item state: leaf "));
  EXPECT_THAT(next.error().to_string(), HasSubstr("(step 3 is being saved all the same)"));
  save_all(manager, {3});  // again: nothing more to be done
  EXPECT_EQ(manager.counters().started, 3);
  EXPECT_OK(manager.check_for_errors());
  // Seen by waiters: each of them gets it, and saving goes on at once.
  faults->inject({.operations = {Operation::sync}});
  save(manager, 4);
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&, i] {
      const auto waited =
          i % 2 == 0 ? manager.wait_until(SaveEvent::committed) : manager.wait_until(SaveEvent::durable);
      ASSERT_TRUE(waited.has_error());
      EXPECT_EQ(waited.error().code(), ErrorCode::io);
    });
  }
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::io);
  save_all(manager, {5});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 3, 5));
  for (const std::int64_t step : {1, 3, 5}) EXPECT_HOLDS(manager, step, tree_of(step));
}

// The save that began while an older error was told has failed too: calling again saves.
TEST(Manager, CallingAgainForAStepThatFailedMeanwhileSavesIt) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(faults));
  faults->inject({.forever = true, .operations = {Operation::write}});
  save(manager, 1);
  EXPECT_THAT(error_of(manager.save(2, state(2))), HasSubstr("step 2 is being saved all the same"));
  while (manager.is_saving_in_progress()) std::this_thread::yield();
  faults->heal();
  EXPECT_THAT(error_of(manager.save(2, state(2))), HasSubstr("step 2: item state: leaf "));
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2));
  EXPECT_HOLDS(manager, 2, tree_of(2));
}

// A disk on which nothing can be removed, and a loop that never waits.
TEST(Manager, ARemovalThatAlwaysFailsIsToldAndCostsNoStep) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(faults);
  options.max_to_keep = 1;
  auto manager = open_manager(options);
  save_all(manager, {1});
  faults->inject({.forever = true, .operations = {Operation::remove_file}});
  int told = 0;
  for (std::int64_t step = 2; step <= 6; ++step) {
    const auto saved = manager.save(step, state(step));
    if (saved.has_value()) continue;
    EXPECT_THAT(error_of(saved), HasSubstr("old steps could not be removed"));
    ++told;
  }
  EXPECT_EQ(told, 4) << "at the latest by the next save";
  EXPECT_TRUE(manager.wait_until_finished().has_error());
  EXPECT_EQ(manager.counters().committed, 6);
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(6));
  EXPECT_HOLDS(manager, 6, tree_of(6));
}

// Some file systems tell only then that data could not be written.
TEST(Manager, AFileThatCannotBeClosedFailsItsSave) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(faults));
  faults->inject({.operations = {Operation::close}, .path_contains = "data-"});
  save(manager, 1);
  EXPECT_THAT(error_of(manager.wait_until_finished()), HasSubstr("step 1: item state: close "));
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre());
}

// The caller may do what it likes with the state once it has heard of an error, in every mode.
TEST(Manager, WhatIsSavedAllTheSameIsFrozenBefore) {
  for (const SnapshotMode mode : {SnapshotMode::lazy, SnapshotMode::borrow, SnapshotMode::cow}) {
    auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
    auto manager = open_manager(small_options(faults));
    faults->inject({.operations = {Operation::write}});
    save(manager, 1);
    {
      Tree tree;
      tree["values"] = make_tensor(DType::f32, {5 << 18}, Layout::packed, 2);
      ASSERT_TRUE(manager.save(2, {{"state", tree}}, {.mode = mode}).has_error());
      const Tensor& values = *tree["values"].get_if<Tensor>();
      std::fill_n(values.data(), values.byte_count(), std::byte{0xAB});
    }
    EXPECT_OK(manager.wait_until_finished());
    Tree expected;
    expected["values"] = make_tensor(DType::f32, {5 << 18}, Layout::packed, 2);
    EXPECT_HOLDS(manager, 2, expected);
  }
}

// A save that failed because it took too long is over all the same.
TEST(Manager, ClosingAfterADeadlineRemovesWhatWasPutOff) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(hooks);
  options.timeout = std::chrono::milliseconds(50);
  options.max_to_keep = 1;
  auto manager = open_manager(options);
  save_all(manager, {1});
  auto reader = std::make_optional(manager.open_step(1).value());
  save_all(manager, {2});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
  Stop stop(*hooks, Operation::make_directory, ".tmp-3-");
  Tree large;
  large["values"] = make_tensor(DType::f32, {32 << 20}, Layout::packed, 1);
  EXPECT_TRUE(manager.save(3, {{"state", large}}).has_error());
  reader.reset();
  stop.gate.open();
  EXPECT_EQ(manager.wait_until_finished(std::chrono::hours(1)).error().code(), ErrorCode::deadline_exceeded);
  EXPECT_EQ(manager.close().error().code(), ErrorCode::deadline_exceeded);
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2));
}

// Its files are still being unlinked when a step of the same number is committed.
TEST(Manager, AStepThatIsDeletedAndSavedAnewIsThere) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(hooks));
  save_all(manager, {1});
  Stop stop(*hooks, Operation::remove_file, ".trash-");
  std::thread deleter([&] { EXPECT_OK(manager.delete_step(1)); });
  stop.gate.wait_for_arrival();
  EXPECT_THAT(manager.all_steps().value(), ElementsAre());
  save_all(manager, {1});
  stop.gate.open();
  deleter.join();
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1));
  EXPECT_HOLDS(manager, 1, tree_of(1));
}

// Larger than the staging memory, with a disk that has stopped.
TEST(Manager, AFreezeThatFindsNoRoomEndsInTime) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(hooks);
  options.timeout = std::chrono::milliseconds(50);
  auto manager = open_manager(options);
  Stop stop(*hooks, Operation::make_directory, ".tmp-1-");
  Tree large;
  large["values"] = make_tensor(DType::f32, {32 << 20}, Layout::packed, 1);
  const auto saved = manager.save(1, {{"state", large}});
  EXPECT_THAT(error_of(saved), HasSubstr("step 1: not committed after waiting for 0.05 s"));
  EXPECT_EQ(saved.error().code(), ErrorCode::deadline_exceeded);
  stop.gate.open();
  EXPECT_TRUE(manager.wait_until_finished(std::chrono::hours(1)).has_error());
  save_all(manager, {2});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2));
}

TEST(Manager, TheStateOfAStepWhoseTurnItIsNotIsNotLookedAt) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.save_interval_steps = 10;
  auto manager = open_manager(options);
  Tree bad;
  bad["values"] = Tensor::abstract(DType::f32, {2});
  EXPECT_THAT(error_of(manager.save(10, {{"state", bad}})), HasSubstr("leaf values: the tensor has no memory"));
  save_all(manager, {10});
  EXPECT_FALSE(manager.save(11, {{"state", bad}}).value());
}

TEST(Manager, AListenerOfARestoreThatThrows) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  save_all(manager, {1});
  const ProgressFn thrower = [](const Progress&) { throw std::runtime_error("no terminal"); };
  const auto restored = manager.restore(1, {.on_progress = thrower});
  EXPECT_EQ(restored.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(restored.error().to_string(), HasSubstr("step 1: on_progress threw: no terminal"));
  EXPECT_THAT(error_of(manager.open_step(1)->verify(thrower)), HasSubstr("on_progress threw"));
  EXPECT_HOLDS(manager, 1, tree_of(1));
}

// The last fsync failed: readers see the step, and whether it survives is not known. It counts as a step.
TEST(Manager, AStepWhoseSurvivalIsUnknown) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(faults);
  options.max_to_keep = 1;
  auto manager = open_manager(options);
  save_all(manager, {1});
  faults->inject({.after = 2, .operations = {Operation::sync_directory}});  // item, attempt, then the root
  save(manager, 2);
  EXPECT_THAT(error_of(manager.wait_until_finished()),
              AllOf(HasSubstr("unknown"), Not(HasSubstr("could not be removed"))))
      << "nobody may try to";
  EXPECT_EQ(manager.latest_step(), 2);
  EXPECT_HOLDS(manager, 2, tree_of(2));
  EXPECT_HOLDS(manager, 1, tree_of(1));
  save_all(manager, {3});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(3));
}

// A waiter that wakes late, when the next save is already under way, still hears of the error.
TEST(Manager, ALateWaiterHearsTheErrorOfItsSave) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto hooks = std::make_shared<HookStore>(faults);
  auto manager = open_manager(small_options(hooks));
  for (std::int64_t step = 0; step < 60; step += 2) {
    Gate gate;
    hooks->before([&](Operation operation, const std::string& path) {
      if (operation == Operation::make_directory && path.ends_with("/state")) gate.pass();
    });
    faults->inject({.operations = {Operation::make_directory}, .path_contains = "/state"});
    save(manager, step);
    gate.wait_for_arrival();
    std::vector<std::thread> waiters;
    std::atomic<int> told = 0;
    std::atomic<int> threads[3] = {};
    for (auto& thread : threads) {
      waiters.emplace_back([&] {
        thread = ::gettid();
        if (manager.wait_until_finished().has_error()) ++told;
      });
    }
    while (!std::all_of(std::begin(threads), std::end(threads), [](int thread) { return is_asleep(thread); })) {
      std::this_thread::yield();
    }
    gate.open();
    // The waiters or this call, whoever comes first; the others are told all the same.
    if (manager.save(step + 1, state(step + 1), {.force = true}).has_error()) save(manager, step + 1);
    for (std::thread& waiter : waiters) waiter.join();
    EXPECT_EQ(told, 3);
    EXPECT_OK(manager.wait_until_finished());
    hooks->before({});
  }
}

// --- The end.

TEST(Manager, CloseEndsSavingButNotReading) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(faults));
  save(manager, 1);
  EXPECT_OK(manager.close());
  EXPECT_OK(manager.close());
  EXPECT_EQ(manager.save(2, state(2)).error().code(), ErrorCode::failed_precondition);
  EXPECT_HOLDS(manager, 1, tree_of(1));
  auto other = open_manager(small_options(faults));
  faults->inject({.operations = {Operation::sync}});
  save(other, 2);
  EXPECT_EQ(other.close().error().code(), ErrorCode::io);
}

TEST(Manager, ItsEndWaitsForTheSaveInFlight) {
  auto store = std::make_shared<SimulatedStore>();
  auto hooks = std::make_shared<HookStore>(store);
  for (const SnapshotMode mode : all_modes) {
    const auto step = static_cast<std::int64_t>(mode);
    const Tree tree = small_tree(9);
    Stop stop(*hooks, Operation::rename);
    std::optional<CheckpointManager> manager = open_manager(small_options(store));
    manager = open_manager(small_options(hooks));
    ASSERT_TRUE(manager->save(step, {{"state", tree}}, {.mode = mode}).value());
    stop.gate.wait_for_arrival();
    std::thread end([&] { manager.reset(); });
    stop.gate.open();
    end.join();
    auto next = open_manager(small_options(store));
    EXPECT_HOLDS(next, step, tree);
  }
}

TEST(Manager, Moves) {
  auto store = std::make_shared<SimulatedStore>();
  auto manager = open_manager(small_options(store));
  save(manager, 1);
  CheckpointManager other = std::move(manager);
  save(other, 2);
  manager = std::move(other);
  save_all(manager, {3});
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1, 2, 3));
}

TEST(Manager, Reopens) {
  const TempDir directory;
  const std::string root = directory.string() + "/a/b";
  for (std::int64_t step = 1; step <= 3; ++step) {
    auto manager = open_manager(small_options(), root);
    EXPECT_EQ(manager.latest_step(), step == 1 ? std::nullopt : std::optional(step - 1));
    save_all(manager, {step});
  }
  auto options = small_options();
  options.read_only = true;
  auto reader = open_manager(options, root);
  for (std::int64_t step = 1; step <= 3; ++step) EXPECT_HOLDS(reader, step, tree_of(step));
  EXPECT_FALSE(reader.should_save(4));
  EXPECT_EQ(reader.save(4, state(4), {.force = true}).error().code(), ErrorCode::failed_precondition);
  EXPECT_FALSE(reader.save(4, state(4)).value());
}

TEST(Manager, WarmUpChangesNothing) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  EXPECT_OK(manager.warm_up(state(1)));
  EXPECT_EQ(manager.warm_up({}).error().code(), ErrorCode::invalid_argument);
  save_all(manager, {1});
  EXPECT_HOLDS(manager, 1, tree_of(1));
}

}  // namespace
}  // namespace milepost::testing
