// A process is killed (SIGKILL) before each of its system calls on files, whatever its manager is at: opening, saving,
// overwriting, removing or closing; and at random times. All that it said was committed is there, what is there is
// whole, and the next process cleans up and goes on.
#include "tests/crash/life.h"
#include "tests/crash/supervised_process.h"
#include "tests/engine/small_steps.h"
#include "tests/support/planted_bug.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <thread>

namespace milepost::testing {
namespace {

using ::testing::Contains;

constexpr std::size_t kill_stride_in_short = under_sanitizer ? 29 : 4;
constexpr int random_kills_in_short = under_sanitizer ? 5 : 40;

using Living = std::function<void(const Life&, const std::string& directory, const ChildProcess::Tell&)>;

struct Kills {
  std::size_t count = 0;
  std::set<std::size_t> told_counts;  // how much each of the dead had told
};

// Kills a process before its Nth system call on files, for every `stride`th N.
Kills kill_at_calls(const Life& life, std::size_t stride, const Living& lives = live) {
  const TempDir there(parent_in_memory());
  const std::string initial = there.string() + "/initial";
  std::filesystem::create_directory(initial);
  prepare(life, initial);
  Kills kills;
  bool ended = false;
  // Not the same calls in each life.
  for (std::size_t n = life.name.size() % std::min<std::size_t>(stride, 8); !ended; n += stride) {
    const std::string directory = there.string() + "/trial";
    std::filesystem::copy(initial, directory, std::filesystem::copy_options::recursive);
    SupervisedProcess process(in_full() ? SupervisedProcess::Calls::all : SupervisedProcess::Calls::changes,
                              [&](const auto& tell) { lives(life, directory, tell); });
    const std::string call = process.kill_before(n);
    SCOPED_TRACE("killed before call " + std::to_string(n) + ": " + call);
    const auto told = process.child().hear_all();
    ended = process.child().ended_well();
    EXPECT_TRUE(ended || process.child().was_killed()) << "status " << process.child().wait();
    kills.told_counts.insert(told.size());
    ++kills.count;

    const Expected expected(life, told);
    expected.check(directory);
    expect_next_goes_on(life, directory);
    std::filesystem::remove_all(directory);
    if (::testing::Test::HasFailure()) break;
  }
  return kills;
}

class ProcessKill : public ::testing::TestWithParam<Life> {};

TEST_P(ProcessKill, AtEveryCall) {
  const Life& life = GetParam();
  const auto stride = trials<std::size_t>(kill_stride_in_short, 1);
  const Kills kills = kill_at_calls(life, stride);
  EXPECT_GT(kills.count * stride, 15u);
  EXPECT_THAT(kills.told_counts, Contains(0u));
  EXPECT_THAT(kills.told_counts, Contains(life.saves.size() + (life.deletes ? 1 : 0)));
  report_trials("processes killed at a system call", kills.count);
}

INSTANTIATE_TEST_SUITE_P(
    Of, ProcessKill,
    ::testing::Values(
        Life{.name = "SavingIntoNewDirectory", .saves = {1, 2}},
        Life{.name = "Saving", .before = {1}, .saves = {3, 4, 5}},
        Life{.name = "Overwriting", .before = {1, 2}, .saves = {102, 101}},
        Life{.name = "Retention", .before = {1, 2, 3}, .saves = {4, 5}, .max_to_keep = 2},
        Life{.name = "RetentionInBackground",
             .before = {1, 2, 3},
             .saves = {4, 5},
             .max_to_keep = 2,
             .background = true},
        Life{.name = "RetentionToSubdirectory",
             .before = {1, 2, 3},
             .saves = {4, 5},
             .max_to_keep = 2,
             .todelete_subdir = "old"},
        Life{.name = "Deleting", .before = {1, 2, 3}, .deletes = 2},
        Life{.name = "ClosingAfterReader", .before = {1, 2}, .saves = {3}, .reads = true, .max_to_keep = 1}),
    [](const auto& life) { return life.param.name; });

// The harness notices processes that tell of a step before it is committed, and that commit it in part.
TEST(ProcessKilled, WhatIsWrongIsNoticed) {
  const Life life{.name = "Saving", .before = {1}, .saves = {3}};
  const Living hasty = [](const Life& of, const std::string& directory, const ChildProcess::Tell& tell) {
    auto options = of.options();
    options.on_event = [&](const ManagerEvent& event) {
      if (event.kind == ManagerEventKind::save_started) tell(event.step);
    };
    auto manager = open_manager(options, directory);
    manager.save(3, {{"state", tree_of(3)}}).value();
    manager.close().value();
  };
  EXPECT_TRUE(fails([&] { kill_at_calls(life, 8, hasty); }));
  const Living piecemeal = [](const Life& of, const std::string& directory, const ChildProcess::Tell& tell) {
    live(of, directory + "/elsewhere", tell);
    std::filesystem::copy(directory + "/elsewhere/3", directory + "/3", std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(directory + "/elsewhere");
  };
  EXPECT_TRUE(fails([&] { kill_at_calls(life, 8, piecemeal); }));
}

// Trains on from the latest step, and tells each step that is committed.
void train(const std::string& directory, const ChildProcess::Tell& tell) {
  auto options = small_options();
  options.max_to_keep = 2;
  options.enable_background_delete = true;
  options.on_event = [&](const ManagerEvent& event) {
    if (event.kind == ManagerEventKind::save_committed) tell(event.step);
  };
  auto manager = open_manager(options, directory);
  for (std::int64_t step = manager.latest_step().value_or(0) + 1;; ++step) {
    manager.save(step, {{"state", tree_of(step)}}, {.mode = static_cast<SnapshotMode>(step % 3)}).value();
  }
}

TEST(ProcessKilled, AtRandomTimes) {
  const TempDir there(parent_in_memory());
  const std::string directory = there.string() + "/made/by/the/manager";
  std::minstd_rand random(static_cast<std::uint32_t>(seed()));
  const int random_times = trials(random_kills_in_short, 2000);
  std::int64_t committed = 0;
  for (int trial = 0; trial < random_times; ++trial) {
    SCOPED_TRACE("trial " + std::to_string(trial));
    ChildProcess child([&](const auto& tell) { train(directory, tell); });
    if (trial % 2 == 1) {
      if (const auto step = child.hear()) committed = *step;
    }
    // Not to wait for anything: the random time.
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution<int>(0, 25'000)(random)));
    child.kill(SIGKILL);
    for (const std::int64_t step : child.hear_all()) committed = step;
    EXPECT_TRUE(child.was_killed()) << "status " << child.wait();

    auto manager = open_manager(small_options(), directory);
    const auto steps = manager.all_steps().value();
    EXPECT_GE(manager.latest_step().value_or(0), committed);
    EXPECT_GE(static_cast<std::int64_t>(steps.size()), std::min<std::int64_t>(committed, 2));
    for (const std::int64_t step : steps) EXPECT_HOLDS(manager, step, tree_of(step));
    const auto store = PosixStore::open(directory, {}).value();
    EXPECT_EQ(names_in(*store).size(), steps.size() + 1) << "something was not swept";
    if (HasFailure()) return;
  }
  EXPECT_GE(committed, random_times / 2);
  report_trials("processes killed at a random time", static_cast<std::size_t>(random_times));
}

}  // namespace
}  // namespace milepost::testing
