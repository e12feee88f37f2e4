// Several processes on one directory: two train and prune, one evaluates.
#include "tests/engine/saving.h"
#include "tests/engine/small_steps.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

namespace milepost::testing {
namespace {

constexpr std::int64_t last = 40;

// Who of the two trainers saved a step shows in its content.
Tree tree_of(std::int64_t step, int who) { return small_tree(static_cast<std::uint64_t>(2 * step + who)); }

void unless_other_was_faster(const Error& error) {
  if (error.code() != ErrorCode::already_exists) throw CheckpointError(error);
}

// Saves every step, unless the other was faster; tells those that are its own.
void train(const std::string& directory, int who, std::optional<int> max_to_keep, const ChildProcess::Tell& tell) {
  auto options = small_options();
  options.max_to_keep = max_to_keep;
  auto manager = open_manager(options, directory);
  for (std::int64_t step = 1; step <= last; ++step) {
    auto committed = manager.save(step, {{"state", tree_of(step, who)}},
                                  {.force = true, .mode = static_cast<SnapshotMode>(step % 3)});
    if (committed.has_value()) {
      if (const auto waited = manager.wait_until_finished(); waited.has_error()) committed = waited.error();
    }
    if (committed.has_value()) {
      tell(step);
    } else {
      unless_other_was_faster(committed.error());
    }
    if (step % 5 == 0) manager.reload().value();
  }
  if (const auto closed = manager.close(); closed.has_error()) unless_other_was_faster(closed.error());
}

// Restores the latest step until it is the last.
void evaluate(const std::string& directory) {
  auto options = small_options();
  options.read_only = true;
  auto manager = open_manager(options, directory);
  for (std::int64_t step = 0; step < last;) {
    auto restored = manager.restore();
    if (restored.has_error()) {
      if (step == 0 && restored.error().code() == ErrorCode::not_found) continue;  // there is none yet
      throw CheckpointError(restored.error());
    }
    if (restored->step < step) throw std::runtime_error("the latest step is an older one");
    step = restored->step;
    if (!difference(tree_of(step, 0), restored->tree()).empty() &&
        !difference(tree_of(step, 1), restored->tree()).empty())
      throw std::runtime_error("step " + std::to_string(step) + " is neither's");
  }
}

class TwoTrainers : public ::testing::TestWithParam<std::optional<int>> {};

TEST_P(TwoTrainers, OneEvaluates) {
  const TempDir there(parent_in_memory());
  const std::string directory = there.string();
  { auto manager = open_manager(small_options(), directory); }
  ChildProcess evaluator([&](const auto&) { evaluate(directory); });
  ChildProcess first([&](const auto& tell) { train(directory, 0, GetParam(), tell); });
  ChildProcess second([&](const auto& tell) { train(directory, 1, GetParam(), tell); });
  std::map<std::int64_t, std::set<int>> owners;
  for (const std::int64_t step : first.hear_all()) owners[step].insert(0);
  for (const std::int64_t step : second.hear_all()) owners[step].insert(1);
  EXPECT_TRUE(first.ended_well());
  EXPECT_TRUE(second.ended_well());
  EXPECT_TRUE(evaluator.ended_well());

  auto manager = open_manager(small_options(), directory);
  const auto steps = manager.all_steps().value();
  EXPECT_EQ(manager.latest_step(), last);
  for (const std::int64_t step : steps) {
    if (!GetParam()) {  // what one has pruned the other may save again
      EXPECT_EQ(owners[step].size(), 1u) << "step " << step << " is said to be of both, or of nobody";
    }
    auto restored = manager.restore(step);
    ASSERT_TRUE(restored.has_value()) << restored.error().to_string();
    EXPECT_TRUE(std::any_of(owners[step].begin(), owners[step].end(),
                            [&](int who) { return difference(tree_of(step, who), restored->tree()).empty(); }))
        << "step " << step;
  }
  if (!GetParam()) {
    EXPECT_EQ(static_cast<std::int64_t>(steps.size()), last);
  }
  EXPECT_EQ(names_in(*PosixStore::open(directory, {}).value()).size(), steps.size() + 1);
}

// A data loader, say: it has all descriptors of its parent for as long as it lives, those of locks too.
TEST(Processes, AChildForkedDuringASaveKeepsNoStepInUse) {
  const TempDir there(parent_in_memory());
  auto hooks = std::make_shared<HookStore>(PosixStore::open(there.string(), {}).value());
  auto manager = open_manager(small_options(hooks));
  Stop stop(*hooks, Operation::rename, "1");
  ASSERT_TRUE(manager.save(1, {{"state", tree_of(1, 0)}}).value());
  stop.gate.wait_for_arrival();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[1]);
    char byte;
    ::_exit(::read(ends[0], &byte, 1) == 0 ? 0 : 1);  // when the parent is done with its side
  }
  ::close(ends[0]);
  stop.gate.open();
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_OK(manager.delete_step(1));
  ::close(ends[1]);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

INSTANTIATE_TEST_SUITE_P(Retention, TwoTrainers, ::testing::Values(std::nullopt, 2));

}  // namespace
}  // namespace milepost::testing
