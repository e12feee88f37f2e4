// `milepost prune` is killed (SIGKILL) before each of its system calls on files: what it was to keep is there, what is
// there is whole, and the next one goes on.
#include "tests/crash/life.h"
#include "tests/crash/supervised_process.h"
#include "tests/support/planted_bug.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trials.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::ElementsAreArray;
using ::testing::IsSupersetOf;

constexpr std::size_t prune_stride_in_short = under_sanitizer ? 13 : 4;

const Life there_is{.name = "Prune", .before = {1, 2, 3, 4, 5, 6, 7}};
const std::vector<std::int64_t> kept = {3, 6, 7};

using Command = std::vector<std::string>;

Command prune(const std::string& directory) {
  return {MILEPOST_COMMAND, "prune", directory, "--keep-latest", "2", "--keep-every-steps", "3", "--yes"};
}

void execute(const Command& command) {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(nowhere, STDOUT_FILENO);
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

void expect_whole(const std::string& directory) {
  auto options = there_is.options();
  options.read_only = true;
  auto manager = open_manager(options, directory);
  const auto steps = manager.all_steps().value();
  EXPECT_THAT(steps, IsSupersetOf(kept));
  for (const std::int64_t step : steps) {
    EXPECT_HOLDS(manager, step, tree_of(step));
    EXPECT_TRUE(manager.open_step(step)->verify().value().empty());
  }
}

std::size_t kill_at_calls(std::size_t stride, Command (*command)(const std::string& directory)) {
  const TempDir there(parent_in_memory());
  const std::string initial = there.string() + "/initial";
  std::filesystem::create_directory(initial);
  prepare(there_is, initial);
  std::size_t kills = 0;
  bool ended = false;
  for (std::size_t n = 0; !ended && !::testing::Test::HasFailure(); n += stride, ++kills) {
    const std::string directory = there.string() + "/trial";
    std::filesystem::copy(initial, directory, std::filesystem::copy_options::recursive);
    SupervisedProcess process(in_full() ? SupervisedProcess::Calls::all : SupervisedProcess::Calls::changes,
                              [&](const auto&) { execute(command(directory)); });
    const std::string call = process.kill_before(n);
    SCOPED_TRACE("killed before call " + std::to_string(n) + ": " + call);
    ended = process.child().ended_well();
    EXPECT_TRUE(ended || process.child().was_killed()) << "status " << process.child().wait();

    expect_whole(directory);
    ChildProcess again([&](const auto&) { execute(prune(directory)); });
    EXPECT_TRUE(again.ended_well());
    EXPECT_THAT(open_manager(there_is.options(), directory).all_steps().value(), ElementsAreArray(kept));
    expect_next_goes_on(there_is, directory);
    std::filesystem::remove_all(directory);
  }
  return kills;
}

TEST(PruneKilled, AtEveryCall) {
  const auto stride = trials<std::size_t>(prune_stride_in_short, 1);
  const std::size_t kills = kill_at_calls(stride, prune);
  EXPECT_GT(kills * stride, 20u);
  report_trials("milepost prune killed at a system call", kills);
}

TEST(PruneKilled, WhatIsWrongIsNoticed) {
  EXPECT_TRUE(fails([] {
    kill_at_calls(8, [](const std::string& directory) {
      return Command{"/bin/rm", "-r", directory + "/1", directory + "/2"};
    });
  })) << "a step that is removed in place";
  EXPECT_TRUE(fails([] {
    kill_at_calls(100, [](const std::string& directory) {
      return Command{MILEPOST_COMMAND, "prune", directory, "--keep-latest", "1", "--yes"};
    });
  })) << "one that was to be kept";
}

}  // namespace
}  // namespace milepost::testing
