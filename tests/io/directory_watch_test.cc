// No test here would end, but for the suite's time limit, if an event went unnoticed: nobody else wakes the waiter.
#include "milepost/io/directory_watch.h"

#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <seccomp.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;
using Clock = DirectoryWatch::Clock;

constexpr auto never = Clock::time_point::max();
constexpr DirectoryWatchOptions only_events{std::chrono::hours(24), std::chrono::hours(24)};
constexpr DirectoryWatchOptions quick_polling{std::chrono::microseconds(100), std::chrono::hours(24)};

// Waits until there is something at `path`.
void wait_for(DirectoryWatch& watch, const fs::path& path) {
  while (!fs::exists(path)) ASSERT_TRUE(watch.wait(never, {}).has_value());
}

TEST(DirectoryWatch, WakesForWhatIsMadeAndForWhatIsRenamedIntoIt) {
  const TempDir directory;
  fs::create_directory(directory.path() / "root");
  auto watch = DirectoryWatch::open(directory.string() + "/root/", only_events).value();
  ASSERT_TRUE(watch.has_events());
  std::thread maker([&] { fs::create_directory(directory.path() / "root/made"); });
  wait_for(watch, directory.path() / "root/made");
  maker.join();
  fs::create_directory(directory.path() / "elsewhere");
  std::thread mover([&] { fs::rename(directory.path() / "elsewhere", directory.path() / "root/moved"); });
  wait_for(watch, directory.path() / "root/moved");
  mover.join();
}

TEST(DirectoryWatch, SeesADirectoryThatDoesNotExistYetAndItsParentsNeither) {
  const TempDir directory;
  const fs::path root = directory.path() / "a/b/root";
  auto watch = DirectoryWatch::open(root.string(), only_events).value();
  std::thread maker([&] {
    fs::create_directories(root);
    fs::create_directory(root / "1");
  });
  wait_for(watch, root / "1");
  maker.join();
}

TEST(DirectoryWatch, SeesADirectoryBehindALinkThatLedNowhere) {
  const TempDir directory;
  const fs::path root = directory.path() / "root";
  fs::create_directory_symlink("target", root);
  auto watch = DirectoryWatch::open(root.string(), only_events).value();
  fs::create_directory(directory.path() / "target");
  wait_for(watch, root);
  std::thread maker([&] { fs::create_directory(root / "1"); });
  wait_for(watch, root / "1");
  maker.join();
}

TEST(DirectoryWatch, FollowsThePathWhenTheDirectoryIsMovedAwayOrRemovedAndMadeAnew) {
  const TempDir directory;
  const fs::path root = directory.path() / "root";
  fs::create_directory(root);
  auto watch = DirectoryWatch::open(root.string(), only_events).value();
  for (int round = 0; round < 10; ++round) {
    const fs::path name = root / std::to_string(round);
    std::thread maker([&] {
      if (round % 2 == 0) {
        fs::rename(root, directory.path() / ("old-" + std::to_string(round)));
      } else {
        fs::remove_all(root);
      }
      fs::create_directory(root);
      fs::create_directory(name);
    });
    wait_for(watch, name);
    maker.join();
  }
}

TEST(DirectoryWatch, WhatComesBetweenTwoWaitsIsNotMissed) {
  const TempDir directory;
  auto watch = DirectoryWatch::open(directory.string(), only_events).value();
  for (int i = 0; i < 3; ++i) {
    fs::create_directory(directory.path() / std::to_string(i));
    ASSERT_TRUE(watch.wait(never, {}).has_value());
  }
}

TEST(DirectoryWatch, AStopEndsAWaitBeforeOrDuringIt) {
  const TempDir directory;
  auto watch = DirectoryWatch::open(directory.string(), only_events).value();
  std::stop_source before;
  before.request_stop();
  EXPECT_TRUE(watch.wait(never, before.get_token()).has_value());
  // The first stop must not end the second wait: that would spin here.
  std::stop_source during;
  std::atomic<bool> asked = false;
  std::thread stopper([&] {
    asked = true;
    during.request_stop();
  });
  while (!during.stop_requested()) ASSERT_TRUE(watch.wait(never, during.get_token()).has_value());
  EXPECT_TRUE(asked);
  stopper.join();
}

TEST(DirectoryWatch, ReturnsAtTheDeadlineAndAfterItsInterval) {
  const TempDir directory;
  auto quiet = DirectoryWatch::open(directory.string(), only_events).value();
  EXPECT_TRUE(quiet.wait(Clock::now(), {}).has_value());
  EXPECT_TRUE(quiet.wait(Clock::time_point::min(), {}).has_value());
  EXPECT_TRUE(quiet.wait(Clock::now() + std::chrono::milliseconds(2), {}).has_value());

  auto polling = DirectoryWatch::open("", quick_polling).value();
  EXPECT_FALSE(polling.has_events());
  EXPECT_TRUE(polling.wait(never, {}).has_value());
  auto rescanning = DirectoryWatch::open(directory.string(), {std::chrono::hours(24), std::chrono::milliseconds(2)});
  EXPECT_TRUE(rescanning->has_events());
  EXPECT_TRUE(rescanning->wait(never, {}).has_value());
}

TEST(DirectoryWatch, AFileOrAnUnreadableDirectoryInItsPlaceIsPolled) {
  const TempDir directory;
  const fs::path root = directory.path() / "root";
  fs::copy_file("/proc/self/exe", root);
  auto watch = DirectoryWatch::open(root.string(), quick_polling).value();
  EXPECT_FALSE(watch.has_events());
  EXPECT_TRUE(watch.wait(never, {}).has_value());
  fs::remove(root);
  fs::create_directory(root);
  EXPECT_TRUE(watch.wait(never, {}).has_value());
  EXPECT_TRUE(watch.has_events());
}

// A system call that fails as if its limit were reached, in a process of its own. 0: it fell back to polling.
int open_and_wait_where_refused(int system_call) {
  const TempDir directory;
  const pid_t child = ::fork();
  if (child == 0) {
    const scmp_filter_ctx context = ::seccomp_init(SCMP_ACT_ALLOW);
    if (::seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSPC), system_call, 0) != 0) ::_exit(3);
    if (::seccomp_load(context) != 0) ::_exit(4);
    auto watch = DirectoryWatch::open(directory.string(), quick_polling);
    if (watch.has_error() || watch->has_events()) ::_exit(5);
    ::_exit(watch->wait(never, {}).has_value() ? 0 : 6);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

TEST(DirectoryWatch, PollsWhereInotifyHasReachedItsLimits) {
  EXPECT_EQ(open_and_wait_where_refused(SYS_inotify_init1), 0);
  EXPECT_EQ(open_and_wait_where_refused(SYS_inotify_add_watch), 0);
}

TEST(DirectoryWatch, WithoutDescriptorsForStoppingIsAnError) {
  EXPECT_EQ(open_and_wait_where_refused(SYS_eventfd2), 5);
}

}  // namespace
}  // namespace milepost::testing
