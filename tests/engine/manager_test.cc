// What the manager promises beside saving and restoring: names, order, events, neighbours.
#include "tests/engine/saving.h"
#include "tests/engine/small_steps.h"
#include "tests/support/bytes.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Steps = std::vector<std::int64_t>;

// --- Steps.

TEST(Manager, SavesAtIntervals) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.save_interval_steps = 10;
  auto manager = open_manager(options);
  EXPECT_EQ(manager.latest_step(), std::nullopt);
  EXPECT_FALSE(manager.is_saving_in_progress());
  EXPECT_EQ(manager.last_save(), std::nullopt);
  Steps saved;
  for (std::int64_t step = 3; step < 35; ++step) {
    EXPECT_EQ(manager.should_save(step), saved.empty() || step % 10 == 0);
    if (manager.save(step, state(step)).value()) saved.push_back(step);
  }
  EXPECT_THAT(saved, ElementsAre(3, 10, 20, 30));
  EXPECT_EQ(manager.all_steps().value(), saved);
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_EQ(manager.all_steps(true).value(), saved);
  save_all(manager, {15});  // by force, and late
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(3, 10, 15, 20, 30));
  EXPECT_EQ(manager.latest_step(), 30);
  EXPECT_EQ(manager.last_save()->step, 15);
  for (const std::int64_t step : {3, 10, 15, 20, 30}) EXPECT_HOLDS(manager, step, tree_of(step));
}

TEST(Manager, KeepsTheNewest) {
  for (const int max_to_keep : {0, 1, 3}) {
    auto store = std::make_shared<SimulatedStore>();
    auto options = small_options(store);
    options.max_to_keep = max_to_keep;
    auto manager = open_manager(options);
    save_all(manager, {1, 2, 3, 4, 5});
    const Steps kept = max_to_keep == 3 ? Steps{3, 4, 5} : Steps{5};
    EXPECT_EQ(manager.all_steps().value(), kept);
    EXPECT_EQ(manager.all_steps(true).value(), kept);
    for (const std::int64_t step : kept) EXPECT_HOLDS(manager, step, tree_of(step));
    EXPECT_EQ(names_in(*store).size(), kept.size() + 1) << "nothing but the steps and milepost.json";
    EXPECT_EQ(manager.restore(1).error().code(), ErrorCode::not_found);
  }
}

TEST(Manager, AnExistingStepIsNeverTouched) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  save_all(manager, {7});
  EXPECT_FALSE(manager.save(7, state(8)).value());
  const auto again = manager.save(7, state(8), {.force = true});
  ASSERT_TRUE(again.has_error());
  EXPECT_EQ(again.error().code(), ErrorCode::already_exists);
  EXPECT_THAT(again.error().to_string(), HasSubstr("step 7"));
  EXPECT_HOLDS(manager, 7, tree_of(7));
  EXPECT_OK(manager.check_for_errors());
  save_all(manager, {8});
}

TEST(Manager, AForeignDirectoryInTheWay) {
  auto store = std::make_shared<SimulatedStore>();
  auto manager = open_manager(small_options(store));
  ASSERT_TRUE(store->make_directory("5").has_value());
  ASSERT_TRUE(write_file(*store, "6", to_bytes("mine")).has_value());
  EXPECT_EQ(manager.save(5, state(5)).error().code(), ErrorCode::already_exists);
  EXPECT_EQ(manager.save(6, state(6)).error().code(), ErrorCode::already_exists);
  EXPECT_THAT(names_in(*store, "5"), IsEmpty());
  EXPECT_EQ(read_file(*store, "6", 100).value(), to_bytes("mine"));
  EXPECT_THAT(manager.all_steps(true).value(), IsEmpty());
}

// A lazy save looks only for steps that it knows, so that the call is quick.
TEST(Manager, ALazySaveOfATakenStep) {
  auto store = std::make_shared<SimulatedStore>();
  auto manager = open_manager(small_options(store));
  const SaveOptions lazy = {.force = true, .mode = SnapshotMode::lazy};
  save(manager, 4, lazy);
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_EQ(manager.save(4, state(9), lazy).error().code(), ErrorCode::already_exists) << "it is known";
  ASSERT_TRUE(store->make_directory("5").has_value());
  save(manager, 5, lazy);
  EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::already_exists);
  ASSERT_TRUE(remove_tree(*store, "4").has_value());
  save(manager, 4, lazy);
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, 4, tree_of(4));
}

// Also when it appears while the save is under way.
TEST(Manager, AForeignDirectoryThatComesInBetween) {
  auto store = std::make_shared<SimulatedStore>();
  auto hooks = std::make_shared<HookStore>(store);
  auto manager = open_manager(small_options(hooks));
  hooks->before([&](Operation operation, const std::string& path) {
    if (operation == Operation::rename && path == "5") {
      EXPECT_OK(store->make_directory("5"));
    }
  });
  save(manager, 5);
  EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::already_exists);
  EXPECT_THAT(names_in(*store), ElementsAre("5", "milepost.json"));
  EXPECT_THAT(names_in(*store, "5"), IsEmpty());
}

TEST(Manager, LeavesForeignFilesAlone) {
  auto store = std::make_shared<SimulatedStore>();
  const std::vector<std::string> directories = {
      "05", "notes", "-1", "x7", ".tmp-7", ".tmp-7-copy", ".trash", "9223372036854775808", "tmp", ".hidden"};
  for (const std::string& name : directories) ASSERT_TRUE(store->make_directory(name).has_value());
  ASSERT_TRUE(write_file(*store, "notes/a", to_bytes("mine")).has_value());
  ASSERT_TRUE(write_file(*store, "12", to_bytes("mine")).has_value());
  ASSERT_TRUE(write_file(*store, "readme", to_bytes("mine")).has_value());
  auto options = small_options(store);
  options.max_to_keep = 1;
  {
    auto manager = open_manager(options);
    save_all(manager, {1, 2});
  }
  auto manager = open_manager(options);
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(2));
  for (const std::string& name : directories) EXPECT_TRUE(store->stat(name).has_value()) << name;
  EXPECT_EQ(read_file(*store, "notes/a", 100).value(), to_bytes("mine"));
  EXPECT_EQ(read_file(*store, "12", 100).value(), to_bytes("mine"));
}

TEST(Manager, StepPrefix) {
  auto store = std::make_shared<SimulatedStore>();
  auto options = small_options(store);
  options.step_prefix = "step_";
  auto manager = open_manager(options);
  save_all(manager, {0, 3});
  EXPECT_THAT(names_in(*store), ElementsAre("milepost.json", "step_0", "step_3"));
  EXPECT_THAT(open_manager(options).all_steps().value(), ElementsAre(0, 3));
  EXPECT_THAT(open_manager(small_options(store)).all_steps().value(), IsEmpty());
}

TEST(Manager, SweepsDeadAttemptsOnly) {
  auto store = std::make_shared<SimulatedStore>();
  const std::string uuid = "-01234567-89ab-4cde-8f01-23456789abcd";
  for (const std::string& name : {".tmp-1" + uuid, ".tmp-2" + uuid, ".trash-3" + uuid}) {
    ASSERT_TRUE(store->make_directory(name).has_value());
    ASSERT_TRUE(store->make_directory(name + "/item").has_value());
    ASSERT_TRUE(write_file(*store, name + "/item/data", to_bytes("x")).has_value());
  }
  const auto alive = store->lock_directory(".tmp-2" + uuid, LockKind::exclusive).value();
  auto options = small_options(store);
  options.cleanup_tmp_directories = false;
  open_manager(options);
  EXPECT_EQ(names_in(*store).size(), 4u);
  options.cleanup_tmp_directories = true;
  options.read_only = true;
  open_manager(options);
  EXPECT_EQ(names_in(*store).size(), 4u);
  auto manager = open_manager(small_options(store));
  EXPECT_THAT(names_in(*store), ElementsAre(".tmp-2" + uuid, "milepost.json"));
  EXPECT_TRUE(store->stat(".tmp-2" + uuid + "/item/data").has_value());
  const auto missing = manager.restore(2);
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_THAT(missing.error().to_string(), HasSubstr("never committed"));
}

TEST(Manager, TwoOnOneDirectory) {
  auto store = std::make_shared<SimulatedStore>();
  auto one = open_manager(small_options(store));
  auto two = open_manager(small_options(store));
  save_all(one, {1});
  save_all(two, {2});
  EXPECT_EQ(two.save(1, state(9), {.force = true}).error().code(), ErrorCode::already_exists);
  EXPECT_THAT(one.all_steps().value(), ElementsAre(1));
  EXPECT_THAT(one.all_steps(true).value(), ElementsAre(1, 2));
  EXPECT_EQ(one.restore()->step, 2);
  EXPECT_HOLDS(one, 2, tree_of(2));
  EXPECT_HOLDS(two, 1, tree_of(1));
}

// One manager is opened, and sweeps, while another one deletes an old step.
TEST(Manager, TwoRemoveTheSameTrash) {
  auto store = std::make_shared<SimulatedStore>();
  auto hooks = std::make_shared<HookStore>(store);
  auto options = small_options(hooks);
  options.max_to_keep = 1;
  auto manager = open_manager(options);
  save_all(manager, {1});
  bool once = false;
  hooks->before([&](Operation operation, const std::string& path) {
    if (operation != Operation::remove_file || !path.starts_with(".trash-") || once) return;
    once = true;
    EXPECT_OK(CheckpointManager::open("simulated", small_options(store)));
  });
  save_all(manager, {2});
  EXPECT_TRUE(once);
  EXPECT_THAT(names_in(*store), ElementsAre("2", "milepost.json"));
}

// --- Events.

TEST(Manager, EventsAreDistinct) {
  using namespace std::chrono_literals;
  for (const SnapshotMode mode : all_modes) {
    auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
    auto manager = open_manager(small_options(hooks));
    {
      Stop stop(*hooks, Operation::create_file, "data-");
      save(manager, 1, {.mode = mode});
      stop.gate.wait_for_arrival();
      if (mode == SnapshotMode::borrow) {
        EXPECT_FALSE(manager.wait_until(SaveEvent::captured, 1ms).value());
      }
      manager.fence();
      EXPECT_TRUE(manager.wait_until(SaveEvent::captured, 0s).value());
      EXPECT_FALSE(manager.wait_until(SaveEvent::durable, 1ms).value());
      EXPECT_FALSE(manager.wait_until(SaveEvent::committed, 1ms).value());
      EXPECT_TRUE(manager.is_saving_in_progress());
      EXPECT_THAT(manager.all_steps().value(), ElementsAre(1));
      EXPECT_EQ(manager.latest_step(), 1);
      EXPECT_FALSE(manager.should_save(1));
      stop.gate.open();
      EXPECT_OK(manager.wait_until_finished());
    }
    {
      Stop stop(*hooks, Operation::rename, "2");
      save(manager, 2, {.mode = mode});
      EXPECT_TRUE(manager.wait_until(SaveEvent::durable).value());
      EXPECT_TRUE(manager.wait_until(SaveEvent::captured, 0s).value());
      stop.gate.wait_for_arrival();
      EXPECT_FALSE(manager.wait_until(SaveEvent::committed, 1ms).value());
      EXPECT_EQ(manager.save_progress().phase, Phase::committing);
      stop.gate.open();
      EXPECT_TRUE(manager.wait_until(SaveEvent::committed).value());
    }
    hooks->before({});
    EXPECT_FALSE(manager.is_saving_in_progress());
    EXPECT_EQ(manager.save_progress().phase, Phase::done);
    for (const SaveEvent event : {SaveEvent::captured, SaveEvent::durable, SaveEvent::committed}) {
      EXPECT_TRUE(manager.wait_until(event, 0s).value());
      EXPECT_TRUE(manager.wait_until(event).value());
    }
    const auto report = manager.last_save().value();
    EXPECT_EQ(report.step, 2);
    const bool too_small = mode == SnapshotMode::cow;  // the state, to be protected
    EXPECT_EQ(report.mode, too_small ? SnapshotMode::copy : mode);
    EXPECT_EQ(report.mode_reason.empty(), !too_small);
    EXPECT_LE(report.captured_s, report.durable_s);
    EXPECT_LE(report.durable_s, report.committed_s);
    for (const std::int64_t step : {1, 2}) EXPECT_HOLDS(manager, step, tree_of(step));
  }
}

TEST(Manager, WaitsForeverWithoutOverflow) {
  using namespace std::chrono;
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  save(manager, 1);
  EXPECT_TRUE(manager.wait_until(SaveEvent::durable, nanoseconds::max()).value());
  EXPECT_TRUE(manager.wait_until(SaveEvent::committed, nanoseconds::max()).value());
  EXPECT_TRUE(manager.wait_until(SaveEvent::committed, nanoseconds::min()).value());
}

TEST(Manager, AListingDuringTheCommitCountsTheStepOnce) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(hooks);
  options.max_to_keep = 2;
  auto manager = open_manager(options);
  save_all(manager, {1, 2});
  bool renamed = false;
  Gate gate;
  hooks->before([&](Operation operation, const std::string& path) {
    if (operation == Operation::rename && path == "3") renamed = true;
    if (renamed && operation == Operation::sync_directory && path.empty()) gate.pass();
  });
  save(manager, 3);
  gate.wait_for_arrival();
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2, 3));
  gate.open();
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(2, 3));
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2, 3));
}

TEST(Manager, AStaleListingForgetsNoStep) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(hooks));
  save_all(manager, {1});
  bool once = false;
  hooks->after([&](Operation operation, const std::string& path) {
    if (operation != Operation::list || !path.empty() || once) return;
    once = true;
    save_all(manager, {2});
  });
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1, 2));
  EXPECT_EQ(manager.latest_step(), 2);
}

// Retention removes a step when it has been listed, and is about to be read: that is no damage.
TEST(Manager, AStepThatIsRemovedBeforeItIsRead) {
  for (const bool latest : {true, false}) {
    auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
    auto options = small_options(hooks);
    options.max_to_keep = 1;
    auto manager = open_manager(options);
    save_all(manager, {1});
    const Meanwhile meanwhile(*hooks, Operation::lock, "1", [&] { save_all(manager, {2}); });
    if (latest) {
      Tree target = target_like(tree_of(2), Layout::sliced);
      EXPECT_EQ(manager.restore_latest(target).value(), 2);
      EXPECT_EQ(difference(tree_of(2), target), "");
    } else {
      EXPECT_EQ(manager.restore(1).error().code(), ErrorCode::not_found);
      EXPECT_EQ(manager.restore()->step, 2);
    }
    EXPECT_TRUE(meanwhile.happened());
  }
}

// From there on retention leaves it alone, until it is not read any more.
TEST(Manager, AStepIsNotRemovedWhileItIsRead) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(hooks);
  options.max_to_keep = 1;
  auto manager = open_manager(options);
  save_all(manager, {1});
  const Meanwhile meanwhile(*hooks, Operation::open_file, "1/state/manifest.json", [&] { save_all(manager, {2}); });
  EXPECT_HOLDS(manager, 1, tree_of(1));
  EXPECT_TRUE(meanwhile.happened());
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
  save_all(manager, {3});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(3));
}

// A manager that is opened takes a new attempt, not yet locked, for a dead one.
TEST(Manager, AnAttemptThatIsSweptTooEarly) {
  auto store = std::make_shared<SimulatedStore>();
  for (const Operation operation : {Operation::lock, Operation::make_directory}) {
    auto hooks = std::make_shared<HookStore>(store);
    auto manager = open_manager(small_options(hooks));
    int swept = 0;
    const auto sweep = [&](Operation now, const std::string& path) {
      if (now != operation || !path.starts_with(".tmp-") || path.find('/') != std::string::npos || swept == 2) return;
      ++swept;
      EXPECT_OK(CheckpointManager::open("simulated", small_options(store)));
    };
    if (operation == Operation::lock) {
      hooks->before(sweep);
    } else {
      hooks->after(sweep);
    }
    save_all(manager, {static_cast<std::int64_t>(operation)});
    EXPECT_EQ(swept, 2);
  }
}

TEST(Manager, ReadersWaitForTheStepInFlight) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(hooks));
  Stop stop(*hooks, Operation::rename, "4");
  save(manager, 4);
  stop.gate.wait_for_arrival();
  std::thread reader([&] { EXPECT_HOLDS(manager, 4, tree_of(4)); });
  std::thread latest([&] { EXPECT_EQ(manager.restore()->step, 4); });
  std::thread into([&] {
    Tree target = target_like(small_tree(4), Layout::sliced);
    EXPECT_EQ(manager.restore_latest(target).value(), 4);
    EXPECT_EQ(difference(small_tree(4), target), "");
  });
  stop.gate.open();
  for (std::thread* thread : {&reader, &latest, &into}) thread->join();
}

TEST(Manager, ProgressIsMonotonicAndComplete) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  std::vector<Progress> seen;
  options.on_save_progress = [&](const Progress& progress) { seen.push_back(progress); };
  auto manager = open_manager(options);
  Tree tree;
  for (int i = 0; i < 8; ++i) tree[std::to_string(i)] = make_tensor(DType::f32, {1 << 20}, Layout::packed, 1);
  ASSERT_TRUE(manager.save(1, {{"state", tree}}).value());
  EXPECT_OK(manager.wait_until_finished());
  const auto check = [&](Phase last) {
    ASSERT_GE(seen.size(), 2u);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      EXPECT_EQ(seen[i].bytes_total, std::uint64_t{32} << 20);
      EXPECT_LE(seen[i].bytes_done, seen[i].bytes_total);
      if (i == 0) continue;
      EXPECT_LE(seen[i - 1].phase, seen[i].phase);
      if (seen[i - 1].phase == seen[i].phase) {
        EXPECT_LE(seen[i - 1].bytes_done, seen[i].bytes_done);
      }
    }
    EXPECT_EQ(seen.back().phase, last);
    EXPECT_EQ(seen.back().bytes_done, seen.back().bytes_total);
  };
  check(Phase::committing);
  seen.clear();
  EXPECT_TRUE(manager.restore(1, {.on_progress = options.on_save_progress}).has_value());
  check(Phase::reading);
  seen.clear();
  EXPECT_TRUE(manager.open_step(1)->verify(options.on_save_progress).has_value());
  check(Phase::reading);
}

}  // namespace
}  // namespace milepost::testing
