// A process is killed (SIGKILL) before each operation on its directory, whatever its manager is at: opening, saving,
// overwriting, removing or closing; and at random times. All that it said was committed is there, what is there is
// whole, and the next process cleans up and goes on.
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/small_steps.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <ostream>
#include <random>
#include <set>
#include <thread>

namespace milepost::testing {
namespace {

using ::testing::Contains;
using ::testing::IsSupersetOf;
using ::testing::Not;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int random_times = 5;
constexpr std::uint64_t stride = 17;
#else
constexpr int random_times = 60;
constexpr std::uint64_t stride = 3;
#endif

// The content of a step, and which step it is: one is overwritten by a hundred more than it was.
using Content = std::int64_t;
std::int64_t step_of(Content content) { return content % 100; }
Tree tree_of(Content content) { return small_tree(static_cast<std::uint64_t>(content)); }

// What a process does.
struct Life {
  std::string name;
  std::vector<Content> before = {};  // there, when it begins
  std::vector<Content> saves = {};
  std::optional<std::int64_t> deletes = std::nullopt;  // after the saves
  bool reads = false;                                  // has the oldest step open until it closes
  std::optional<int> max_to_keep = std::nullopt;
  bool background = false;
  std::string todelete_subdir = "";

  CheckpointManagerOptions options(std::shared_ptr<Store> store = nullptr) const {
    auto options = small_options(std::move(store));
    options.max_to_keep = max_to_keep;
    options.enable_background_delete = background;
    options.deletion_threads = background ? 2 : 1;
    options.todelete_subdir = todelete_subdir;
    return options;
  }
};
std::ostream& operator<<(std::ostream& out, const Life& life) { return out << life.name; }

// Tells the content of each step that is committed, and the negated number of the step that it deleted.
void live(const Life& life, const std::string& directory, const std::shared_ptr<Store>& store,
          const ChildProcess::Tell& tell) {
  auto options = life.options(store);
  options.on_event = [&](const ManagerEvent& event) {
    if (event.kind != ManagerEventKind::save_committed) return;
    tell(*std::find_if(life.saves.begin(), life.saves.end(), [&](Content c) { return step_of(c) == event.step; }));
  };
  auto manager = open_manager(options, directory);
  std::optional<StepReader> reader;
  if (life.reads) reader = manager.open_step(life.before.front()).value();
  for (const Content content : life.saves) {
    manager
        .save(step_of(content), {{"state", tree_of(content)}},
              {.force = true,
               .overwrite = content != step_of(content),
               .mode = static_cast<SnapshotMode>(content % 3),
               .codec = content % 2 == 0 ? Codec::none() : Codec::fast()})
        .value();
  }
  manager.wait_until_finished().value();
  if (life.deletes) {
    manager.delete_step(*life.deletes).value();
    tell(-*life.deletes);
  }
  reader.reset();
  manager.close().value();
}

// What a process that was told this much by a dead one may find, and must.
class Expected {
 public:
  Expected(const Life& life, const std::vector<std::int64_t>& told) : life_(life) {
    for (const Content content : life.before) contents_[step_of(content)] = {content};
    for (const std::int64_t number : told) {
      if (number < 0) {
        deleted_ = true;
      } else {
        contents_[step_of(number)] = {number};
        ++committed_;
      }
    }
    if (committed_ < life.saves.size()) {
      in_flight_ = step_of(life.saves[committed_]);
      contents_[*in_flight_].insert(life.saves[committed_]);
    }
  }

  void check(const std::string& directory) const {
    auto options = life_.options();
    options.read_only = true;
    auto manager = open_manager(options, directory);
    const std::vector<std::int64_t> listed = manager.all_steps().value();
    expect_whole(manager, listed);

    const bool is_there = in_flight_ && std::binary_search(listed.begin(), listed.end(), *in_flight_);
    std::vector<std::int64_t> all = steps_after(committed_ + (is_there ? 1 : 0));
    if (!life_.todelete_subdir.empty() && std::filesystem::exists(directory + '/' + life_.todelete_subdir)) {
      auto moved = open_manager(options, directory + '/' + life_.todelete_subdir);
      expect_whole(moved, moved.all_steps().value());
      for (const std::int64_t step : moved.all_steps().value()) EXPECT_EQ(std::erase(all, step), 1u) << step;
      EXPECT_EQ(listed, all) << "a step is nowhere, or at two places";
    }
    EXPECT_THAT(all, IsSupersetOf(listed));
    if (life_.deletes) std::erase(all, *life_.deletes);
    if (deleted_) {
      EXPECT_THAT(listed, Not(Contains(*life_.deletes)));
    }
    const auto kept = static_cast<std::size_t>(life_.max_to_keep.value_or(1000));
    if (all.size() > kept && all.size() > life_.before.size())
      all.erase(all.begin(), all.end() - life_.max_to_keep.value());
    EXPECT_THAT(listed, IsSupersetOf(all));
  }

 private:
  std::vector<std::int64_t> steps_after(std::size_t saves) const {
    std::set<std::int64_t> steps;
    for (const Content content : life_.before) steps.insert(step_of(content));
    for (std::size_t i = 0; i < saves; ++i) steps.insert(step_of(life_.saves[i]));
    return {steps.begin(), steps.end()};
  }

  void expect_whole(CheckpointManager& manager, const std::vector<std::int64_t>& steps) const {
    for (const std::int64_t step : steps) {
      ASSERT_TRUE(contents_.contains(step)) << step;
      auto restored = manager.restore(step);
      ASSERT_TRUE(restored.has_value()) << restored.error().to_string();
      EXPECT_TRUE(std::any_of(contents_.at(step).begin(), contents_.at(step).end(),
                              [&](Content content) { return difference(tree_of(content), restored->tree()).empty(); }))
          << "step " << step;
      EXPECT_TRUE(manager.open_step(step)->verify().value().empty());
    }
  }

  const Life& life_;
  std::map<std::int64_t, std::set<Content>> contents_;
  std::size_t committed_ = 0;  // saves that were told
  std::optional<std::int64_t> in_flight_;
  bool deleted_ = false;
};

// The process after it: sweeps, and saves.
void expect_next_goes_on(const Life& life, const std::string& directory) {
  const auto store = std::shared_ptr<Store>(PosixStore::open(directory, {}).value());
  auto manager = open_manager(life.options(store), directory);
  EXPECT_OK(manager.wait_until_finished());
  std::vector<std::string> expected = {"milepost.json"};
  for (const std::int64_t step : manager.all_steps().value()) expected.push_back(std::to_string(step));
  if (store->stat("old").has_value()) expected.push_back("old");
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names_in(*store), expected);
  EXPECT_TRUE(manager.save(99, {{"state", tree_of(99)}}, {.force = true}).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, 99, tree_of(99));
}

// What such a process begins with; among it what dead ones left.
void prepare(const Life& life, const std::string& directory) {
  if (life.before.empty()) return;
  {
    auto manager = open_manager(small_options(), directory);
    for (const Content content : life.before) manager.save(content, {{"state", tree_of(content)}}).value();
    EXPECT_OK(manager.close());
  }
  const std::string left = directory + '/' + std::to_string(life.before.front());
  for (const char* const name :
       {"/.tmp-8-01234567-89ab-4cde-8f01-23456789abcd", "/.tmp-8-11234567-89ab-4cde-8f01-23456789abcd",
        "/.trash-9-01234567-89ab-4cde-8f01-23456789abcd"}) {
    std::filesystem::copy(left, directory + name, std::filesystem::copy_options::recursive);
  }
}

class ProcessKill : public ::testing::TestWithParam<Life> {};

TEST_P(ProcessKill, AtEveryOperation) {
  const Life& life = GetParam();
  const TempDir there(parent_in_memory());
  const std::string initial = there.string() + "/initial";
  std::filesystem::create_directory(initial);
  prepare(life, initial);
  std::set<std::size_t> told_counts;
  bool ended = false;
  std::uint64_t n = life.name.size() % stride;  // not the same operations in each life
  for (; !ended; n += stride) {
    SCOPED_TRACE("killed before operation " + std::to_string(n));
    const std::string directory = there.string() + "/trial";
    std::filesystem::copy(initial, directory, std::filesystem::copy_options::recursive);
    ChildProcess child([&](const auto& tell) {
      const auto store = std::make_shared<HookStore>(std::shared_ptr<Store>(PosixStore::open(directory, {}).value()));
      std::atomic<std::uint64_t> next = 0;
      store->before([&](Operation, const std::string&) {
        if (next++ != n) return;
        ::kill(::getpid(), SIGKILL);
        for (;;) ::pause();
      });
      live(life, directory, store, tell);
    });
    const auto told = child.hear_all();
    ended = child.ended_well();
    EXPECT_TRUE(ended || child.was_killed()) << "status " << child.wait();
    told_counts.insert(told.size());

    const Expected expected(life, told);
    expected.check(directory);
    expect_next_goes_on(life, directory);
    std::filesystem::remove_all(directory);
    if (HasFailure()) return;
  }
  EXPECT_GT(n, 15u);
  EXPECT_THAT(told_counts, Contains(0u));
  EXPECT_THAT(told_counts, Contains(life.saves.size() + (life.deletes ? 1 : 0)));
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
  std::minstd_rand random(20240711);
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
}

}  // namespace
}  // namespace milepost::testing
