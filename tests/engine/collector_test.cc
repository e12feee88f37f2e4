// What is removed, what is put off and what is left alone, and how removals run in the background.
#include "milepost/engine/collector.h"

#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/small_steps.h"
#include "tests/support/bytes.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::vector<Victim> victims(const std::vector<std::int64_t>& steps) {
  std::vector<Victim> result;
  for (const std::int64_t step : steps) result.push_back({step, std::to_string(step)});
  return result;
}

void commit_steps(Store& store, const std::vector<std::int64_t>& steps) {
  for (const std::int64_t step : steps) EXPECT_OK(commit_step(store, step));
}

TEST(Collector, RemovesStepsAndNothingElse) {
  SimulatedStore store;
  commit_steps(store, {1, 2, 3});
  ASSERT_TRUE(write_file(store, "readme", to_bytes("mine")).has_value());
  Collector collector(store);
  const Collected collected = collector.collect(victims({1, 3, 4}));
  EXPECT_FALSE(collected.error);
  EXPECT_THAT(collected.removed, ElementsAre(1, 3, 4)) << "4 was gone before";
  EXPECT_THAT(collected.in_use, IsEmpty());
  EXPECT_THAT(names_in(store), ElementsAre("2", "readme"));
  EXPECT_OK(attempt_of(store, "2"));
}

TEST(Collector, LeavesAStepInUseForLater) {
  SimulatedStore store;
  commit_steps(store, {1, 2, 3});
  Collector collector(store);
  auto reader = store.lock_directory("1", LockKind::shared).value();
  const auto another = store.lock_directory("3", LockKind::shared).value();
  const Collected collected = collector.collect(victims({1, 2, 3}));
  EXPECT_FALSE(collected.error);
  EXPECT_THAT(collected.removed, ElementsAre(2));
  EXPECT_THAT(collected.in_use, ElementsAre(1, 3));
  EXPECT_THAT(names_in(store), ElementsAre("1", "3"));
  reader.reset();
  const Collected again = collector.retry();
  EXPECT_THAT(again.removed, ElementsAre(1));
  EXPECT_THAT(again.in_use, ElementsAre(3));
  EXPECT_OK(attempt_of(store, "3"));
}

TEST(Collector, RemembersOnlyTheLastVictimsAndNoneThatIsWantedAgain) {
  SimulatedStore store;
  commit_steps(store, {1, 2, 3});
  Collector collector(store);
  {
    const auto one = store.lock_directory("1", LockKind::shared).value();
    const auto two = store.lock_directory("2", LockKind::shared).value();
    const auto three = store.lock_directory("3", LockKind::shared).value();
    EXPECT_THAT(collector.collect(victims({1})).in_use, ElementsAre(1));
    EXPECT_THAT(collector.collect(victims({2, 3})).in_use, ElementsAre(2, 3));
  }
  collector.spare(3);
  EXPECT_THAT(collector.retry().removed, ElementsAre(2));
  EXPECT_THAT(collector.retry().removed, IsEmpty());
  EXPECT_THAT(names_in(store), ElementsAre("1", "3"));
}

TEST(Collector, RemovesAStepOnRequest) {
  SimulatedStore store;
  commit_steps(store, {1});
  ASSERT_TRUE(store.make_directory("2").has_value());
  ASSERT_TRUE(write_file(store, "2/theirs", to_bytes("x")).has_value());
  Collector collector(store);
  {
    const auto reader = store.lock_directory("1", LockKind::shared).value();
    const auto refused = collector.remove({1, "1"});
    EXPECT_EQ(refused.error().code(), ErrorCode::unavailable);
    EXPECT_THAT(refused.error().to_string(), HasSubstr("step 1"));
  }
  EXPECT_THAT(collector.retry().removed, IsEmpty());
  EXPECT_OK(collector.remove({1, "1"}));
  EXPECT_EQ(collector.remove({1, "1"}).error().code(), ErrorCode::not_found);
  EXPECT_EQ(collector.remove({2, "2"}).error().code(), ErrorCode::not_found) << "no step";
  EXPECT_THAT(names_in(store), ElementsAre("2"));
}

TEST(Collector, SweepsWhatIsDeadAndNothingElse) {
  SimulatedStore store;
  const std::string id = "-01234567-89ab-4cde-8f01-23456789abcd";
  for (const std::string& name :
       {".tmp-1" + id, ".tmp-2" + id, ".trash-3" + id, std::string(".trash-4"), std::string(".tmp-7")}) {
    ASSERT_TRUE(store.make_directory(name).has_value());
    ASSERT_TRUE(write_file(store, name + "/file", to_bytes("x")).has_value());
  }
  ASSERT_TRUE(write_file(store, ".trash-5" + id, to_bytes("a file")).has_value());
  ASSERT_TRUE(write_file(store, ".tmp-6" + id, to_bytes("a file")).has_value());
  const auto alive = store.lock_directory(".tmp-2" + id, LockKind::shared).value();
  Collector collector(store);
  EXPECT_OK(collector.empty_trash());
  EXPECT_THAT(names_in(store),
              ElementsAre(".tmp-1" + id, ".tmp-2" + id, ".tmp-6" + id, ".tmp-7", ".trash-4", ".trash-5" + id));
  EXPECT_OK(collector.sweep());
  EXPECT_THAT(names_in(store), ElementsAre(".tmp-2" + id, ".tmp-6" + id, ".tmp-7", ".trash-4", ".trash-5" + id));
  EXPECT_TRUE(store.stat(".tmp-2" + id + "/file").has_value());
}

TEST(Collector, MovesStepsToWhereTheyStay) {
  SimulatedStore store;
  commit_steps(store, {1, 2});
  const std::string first = attempt_of(store, "1").value();
  Collector collector(store, {.todelete_subdir = "old"});
  EXPECT_THAT(collector.collect(victims({1})).removed, ElementsAre(1));
  EXPECT_THAT(names_in(store), ElementsAre("2", "old"));
  EXPECT_EQ(attempt_of(store, "old/1").value(), first);
  commit_steps(store, {1});
  const std::string second = attempt_of(store, "1").value();
  EXPECT_OK(collector.remove({1, "1"}));
  EXPECT_EQ(attempt_of(store, "old/1").value(), first) << "never replaced";
  const auto names = names_in(store, "old");
  ASSERT_EQ(names.size(), 2u);
  EXPECT_THAT(names[1], StartsWith("1-"));
  EXPECT_EQ(attempt_of(store, "old/" + names[1]).value(), second);
  {
    const auto reader = store.lock_directory("2", LockKind::shared).value();
    EXPECT_THAT(collector.collect(victims({2})).in_use, ElementsAre(2));
  }
  EXPECT_OK(collector.sweep());
  EXPECT_EQ(names_in(store, "old").size(), 2u);
}

TEST(Collector, WhatIsMovedIsMadeDurableInBothPlaces) {
  for (const std::string directory : {"old", ""}) {
    FaultStore store(std::make_shared<SimulatedStore>());
    commit_steps(store, {1});
    ASSERT_TRUE(store.make_directory("old").has_value());
    Collector collector(store, {.todelete_subdir = "old"});
    store.inject({.after = directory.empty() ? 1u : 0u, .operations = {Operation::sync_directory}});
    const auto error = collector.collect(victims({1})).error;
    ASSERT_TRUE(error);
    EXPECT_THAT(error->to_string(), EndsWith("fsync " + directory + ": Input/output error"));
  }
}

TEST(Collector, WhereNothingCanBeMovedTheStepStays) {
  SimulatedStore store;
  commit_steps(store, {1});
  ASSERT_TRUE(write_file(store, "old", to_bytes("mine")).has_value());
  Collector collector(store, {.todelete_subdir = "old"});
  const Collected collected = collector.collect(victims({1}));
  ASSERT_TRUE(collected.error);
  EXPECT_THAT(collected.error->to_string(), HasSubstr("step 1"));
  EXPECT_OK(attempt_of(store, "1"));
  EXPECT_EQ(read_file(store, "old", 10).value(), to_bytes("mine"));
}

TEST(Collector, UnlinksInTheBackground) {
  const auto disk = std::make_shared<SimulatedStore>();
  HookStore store(disk);
  commit_steps(store, {1, 2});
  Gate gate;
  store.before([&](Operation operation, const std::string& path) {
    if (operation == Operation::remove_file && path.starts_with(".trash-")) gate.pass();
  });
  Collector collector(store, {.background = true});
  EXPECT_THAT(collector.collect(victims({1})).removed, ElementsAre(1));
  gate.wait_for_arrival();
  const auto names = names_in(*disk);
  ASSERT_EQ(names.size(), 2u);
  EXPECT_THAT(names[0], StartsWith(".trash-1-"));
  EXPECT_EQ(names[1], "2");
  gate.open();
  EXPECT_OK(collector.wait());
  EXPECT_THAT(names_in(*disk), ElementsAre("2"));
}

TEST(Collector, UnlinksWithSeveralThreads) {
  for (const bool background : {false, true}) {
    HookStore store(std::make_shared<SimulatedStore>());
    commit_steps(store, {1, 2});
    Gate gate;
    std::atomic<int> here = 0;
    store.before([&](Operation operation, const std::string&) {
      if (operation != Operation::remove_file) return;
      if (++here == 3) gate.open();  // the third comes although none of the others has gone on
      gate.pass();
    });
    Collector collector(store, {.background = background, .threads = 3});
    EXPECT_THAT(collector.collect(victims({1, 2})).removed, ElementsAre(1, 2));
    EXPECT_OK(collector.wait());
    EXPECT_THAT(names_in(store), IsEmpty());
  }
}

TEST(Collector, ErrorsOfTheBackgroundAreToldOnceAndTheWorkIsDoneLater) {
  const auto disk = std::make_shared<SimulatedStore>();
  FaultStore store(disk);
  commit_steps(store, {1, 2, 3});
  Collector collector(store, {.background = true});
  store.inject({.forever = true, .operations = {Operation::remove_file}});
  EXPECT_FALSE(collector.collect(victims({1, 2})).error);
  const auto told = collector.wait();
  ASSERT_TRUE(told.has_error());
  EXPECT_EQ(told.error().code(), ErrorCode::io);
  EXPECT_THAT(told.error().to_string(), HasSubstr(".trash-"));
  EXPECT_OK(collector.check());
  store.heal();
  EXPECT_THAT(collector.collect(victims({3})).removed, ElementsAre(3));
  EXPECT_OK(collector.wait());
  EXPECT_THAT(names_in(*disk), IsEmpty());
}

TEST(Collector, OptionsAreChecked) {
  EXPECT_OK(check_collector_options({}, ""));
  EXPECT_OK(check_collector_options({.todelete_subdir = "old", .threads = 8}, "step_"));
  for (const std::string name : {"a/b", "..", ".", ".old", "milepost.json", "12"}) {
    const auto refused = check_collector_options({.todelete_subdir = name}, "");
    ASSERT_TRUE(refused.has_error()) << name;
    EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument);
    EXPECT_THAT(refused.error().to_string(), HasSubstr("todelete_subdir"));
  }
  EXPECT_TRUE(check_collector_options({.todelete_subdir = "step_12"}, "step_").has_error());
  EXPECT_THAT(check_collector_options({.threads = 0}, "").error().to_string(), HasSubstr("thread"));
}

}  // namespace
}  // namespace milepost::testing
