// Many threads on one manager, many managers on one directory, and a kernel that forbids io_uring.
#include "tests/engine/saving.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <seccomp.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <thread>
#include <vector>

namespace milepost::testing {
namespace {

TEST(Concurrency, TenThreadsOnOneManager) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.max_to_keep = 2;
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(0, state(0)).value());
  std::atomic<std::int64_t> next = 1;
  std::atomic<int> restored_count = 0;
  constexpr std::int64_t last = 60;
  const auto running = [&] { return next.load() <= last; };
  const auto save = [&] {
    for (std::int64_t step; (step = next++) <= last;) {
      const auto saved = manager.save(
          step, state(step), {.force = true, .mode = all_modes[static_cast<std::size_t>(step) % std::size(all_modes)]});
      EXPECT_TRUE(saved.has_value()) << saved.error().to_string();
    }
  };
  const auto restore_latest = [&] {
    do {
      auto restored = manager.restore();
      if (restored.has_error()) {
        ADD_FAILURE() << restored.error().to_string();
        continue;
      }
      EXPECT_EQ(difference(small_tree(static_cast<std::uint64_t>(restored->step)), restored->tree()), "");
      ++restored_count;
    } while (running());
  };
  const auto restore_listed = [&] {
    do {
      for (const std::int64_t step : manager.all_steps(next % 2 == 0).value()) {
        auto restored = manager.restore(step);
        // It may have been removed in between, which is no damage.
        if (restored.has_error()) {
          EXPECT_EQ(restored.error().code(), ErrorCode::not_found) << restored.error().to_string();
        } else {
          EXPECT_EQ(difference(small_tree(static_cast<std::uint64_t>(step)), restored->tree()), "");
        }
      }
    } while (running());
  };
  const auto wait = [&] {
    do {
      EXPECT_OK(manager.wait_until_finished());
      EXPECT_OK(manager.wait_until(SaveEvent::captured));
      EXPECT_OK(manager.wait_until(SaveEvent::durable));
    } while (running());
  };
  const auto look = [&] {
    do {
      manager.fence();
      int here = 0;
      manager.fence(&here, sizeof(here));
      EXPECT_OK(manager.check_for_errors());
      manager.latest_step();
      manager.save_progress();
      manager.is_saving_in_progress();
      manager.last_save();
      std::this_thread::yield();
    } while (running());
  };
  std::vector<std::thread> threads;
  for (const std::function<void()>& task : std::vector<std::function<void()>>{
           save, save, restore_latest, restore_latest, restore_listed, wait, wait, look, look}) {
    threads.emplace_back(task);
  }
  threads.emplace_back([&] {
    do {
      const auto latest = manager.latest_step();
      auto reader = manager.open_step(*latest);
      if (reader.has_error()) continue;
      std::thread restoring([&] { (void)reader->restore({}).has_value(); });
      (void)reader->verify().has_value();
      restoring.join();
    } while (running());
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_GT(restored_count, 0);
  // What was being read when its turn came goes now.
  ASSERT_TRUE(manager.save(last + 1, state(last + 1)).value());
  EXPECT_OK(manager.wait_until_finished());
  const auto steps = manager.all_steps().value();
  EXPECT_EQ(steps, manager.all_steps(true).value());
  EXPECT_EQ(steps, (std::vector<std::int64_t>{last, last + 1}));
  for (const std::int64_t step : steps) EXPECT_HOLDS(manager, step, small_tree(static_cast<std::uint64_t>(step)));
}

// Each saves its own steps and deletes old ones; one more is opened, and sweeps, all the time.
TEST(Concurrency, ManagersOnOneDirectory) {
  const TempDir directory;
  std::atomic<int> saving = 2;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      auto options = small_options();
      options.max_to_keep = 1;
      options.step_prefix = t == 0 ? "a_" : "b_";
      auto manager = open_manager(options, directory.string());
      for (std::int64_t step = 0; step < 25; ++step) {
        const auto saved = manager.save(step, state(step));
        ASSERT_TRUE(saved.has_value()) << saved.error().to_string();
        EXPECT_OK(manager.wait_until_finished());
      }
      EXPECT_HOLDS(manager, 24, small_tree(24));
      --saving;
    });
  }
  threads.emplace_back([&] {
    while (saving > 0) EXPECT_OK(CheckpointManager::open(directory.string(), small_options()));
  });
  for (std::thread& thread : threads) thread.join();
}

TEST(Concurrency, DISABLED_InChildWithoutIoUring) {
  EXPECT_EQ(available_io_backend(), IoBackend::threads);
  const TempDir directory;
  auto manager = open_manager(small_options(), directory.string());
  const Tree tree = full_tree(3);
  for (const std::int64_t step : {1, 2, 3}) {
    ASSERT_TRUE(
        manager
            .save(step, {{"state", tree}},
                  {.mode = static_cast<SnapshotMode>(step - 1), .codec = step == 1 ? Codec::none() : Codec::fast()})
            .value());
  }
  EXPECT_OK(manager.wait_until_finished());
  for (const std::int64_t step : {1, 2, 3}) EXPECT_HOLDS(manager, step, tree);
  EXPECT_TRUE(manager.open_step(1)->verify().value().empty());
}

// In a process of its own, which starts afresh: what the kernel allows is asked once in a process.
TEST(Concurrency, SavesWhereIoUringIsForbidden) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const scmp_filter_ctx context = ::seccomp_init(SCMP_ACT_ALLOW);
    if (::seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SYS_io_uring_setup, 0) != 0) ::_exit(3);
    if (::seccomp_load(context) != 0) ::_exit(4);
    ::execl("/proc/self/exe", "engine_test", "--gtest_filter=Concurrency.DISABLED_InChildWithoutIoUring",
            "--gtest_also_run_disabled_tests", "--gtest_brief=1", static_cast<char*>(nullptr));
    ::_exit(5);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Concurrency, OpeningSaysThatNoThreadsAreToBeHad) {
  const TempDir directory;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const scmp_filter_ctx context = ::seccomp_init(SCMP_ACT_ALLOW);
    for (const int call : {SYS_clone, SYS_clone3}) {
      if (::seccomp_rule_add(context, SCMP_ACT_ERRNO(EAGAIN), call, 0) != 0) ::_exit(3);
    }
    if (::seccomp_load(context) != 0) ::_exit(4);
    for (const std::shared_ptr<Store>& store : {std::shared_ptr<Store>(), std::shared_ptr<Store>(new SimulatedStore)}) {
      const auto opened = CheckpointManager::open(directory.string(), small_options(store));
      if (opened.has_value() || opened.error().code() != ErrorCode::unavailable) ::_exit(5);
    }
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace milepost::testing
