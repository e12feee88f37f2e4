// Limits that are not injected: file systems without room for another byte or another file, and what the kernel grants
// a process. A save that meets one fails with an error, and kills nobody; the steps before are whole; and once there is
// room, saving goes on.
#include "milepost/io/unique_fd.h"
#include "tests/crash/life.h"
#include "tests/engine/open_manager.h"
#include "tests/support/child_process.h"
#include "tests/support/planted_bug.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trials.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>

namespace milepost::testing {
namespace {

// Why a limit cannot be had on this machine.
struct NotHere {
  std::string reason;
};

// Runs `body` in a process of its own, which it may limit; its expectations are this test's. Skips if it throws
// NotHere.
void in_child(const std::function<void()>& body) {
  constexpr std::int64_t skipped = 1;
  ChildProcess child([&](const ChildProcess::Tell& tell) {
    try {
      body();
    } catch (const NotHere& not_to_be_had) {
      std::printf("%s\n", not_to_be_had.reason.c_str());
      std::fflush(stdout);
      tell(skipped);
    }
    if (::testing::Test::HasFailure()) throw std::logic_error("an expectation failed");
  });
  const auto told = child.hear();
  EXPECT_TRUE(child.ended_well()) << "status " << child.wait();
  if (told == skipped) GTEST_SKIP() << "not to be had here";
}

void write_text(const std::string& file, const std::string& text) {
  std::ofstream out(file);
  out << text << std::flush;
  if (!out) throw NotHere{"write " + file};
}

// A small file system that goes with this process.
void mount_tmpfs(const std::string& directory, const std::string& options) {
  const std::string user = "0 " + std::to_string(::geteuid()) + " 1";
  const std::string group = "0 " + std::to_string(::getegid()) + " 1";
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) throw NotHere{"unshare"};
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", user);
    write_text("/proc/self/gid_map", group);
  }
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", directory.c_str(), "tmpfs", 0, options.c_str()) != 0) {
    throw NotHere{"mount tmpfs"};
  }
}

// Saves steps until there is no room, and then makes some.
void fill_and_go_on(const std::string& directory) {
  auto options = small_options();
  options.io_backend = IoBackend::threads;
  auto opened = CheckpointManager::open(directory, options);
  if (opened.has_error()) {  // not even for the directory's own record
    EXPECT_EQ(opened.error().code(), ErrorCode::no_space) << opened.error().to_string();
    return;
  }
  auto& manager = *opened;
  std::int64_t step = 1;
  for (;; ++step) {
    ASSERT_LT(step, 1000);
    auto saved = manager.save(step, {{"state", tree_of(step)}}, {.mode = static_cast<SnapshotMode>(step % 3)});
    ASSERT_TRUE(saved.has_value()) << saved.error().to_string();
    const auto waited = manager.wait_until_finished();
    if (waited.has_value()) continue;
    EXPECT_EQ(waited.error().code(), ErrorCode::no_space) << waited.error().to_string();
    EXPECT_EQ(waited.error().system_errno(), ENOSPC);
    EXPECT_NE(waited.error().to_string().find("step " + std::to_string(step) + ": "), std::string::npos);
    break;
  }
  const auto steps = manager.all_steps(true).value();
  EXPECT_EQ(static_cast<std::int64_t>(steps.size()), step - 1);
  for (const std::int64_t there : steps) EXPECT_HOLDS(manager, there, tree_of(there));
  if (steps.empty()) return;
  EXPECT_OK(manager.delete_step(1));
  EXPECT_TRUE(manager.save(step, {{"state", tree_of(step)}}).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, step, tree_of(step));
  EXPECT_OK(manager.close());
}

// Of each size, as tmpfs is told it.
void fill_file_systems(const char* of_what, int count, const std::function<std::string(int)>& size_option) {
  for (int i = 0; i < count; ++i) {
    SCOPED_TRACE("trial " + std::to_string(i));
    const TempDir there;
    in_child([&] {
      mount_tmpfs(there.string(), size_option(i));
      fill_and_go_on(there.string());
    });
    if (::testing::Test::IsSkipped()) return;
  }
  report_trials(std::string("file systems full of ") + of_what, static_cast<std::size_t>(count));
}

TEST(Limits, AFileSystemWithoutRoomForAnotherByte) {
  fill_file_systems("bytes", trials(8, 64), [](int i) { return "size=" + std::to_string(4 * (1 + i)) + "k"; });
}

TEST(Limits, AFileSystemWithoutRoomForAnotherFile) {
  fill_file_systems("files", trials(8, 40), [](int i) { return "nr_inodes=" + std::to_string(2 + i); });
}

TEST(Limits, AFileTooLargeFailsTheSaveAndKillsNobody) {
  const rlim_t limits[] = {0, 1, 100, 4095, 4096, 8192, 10'000, 1 << 20, (4 << 20) + 1};
  for (const IoBackend backend : {IoBackend::automatic, IoBackend::threads}) {
    in_child([&] {
      const TempDir there;
      Tree large = tree_of(2);
      large["large"] = make_tensor(DType::f32, {1 << 21}, Layout::packed, 1);
      auto options = small_options();
      options.io_backend = backend;
      auto manager = open_manager(options, there.string());
      EXPECT_TRUE(manager.save(1, {{"state", tree_of(1)}}).value());
      EXPECT_OK(manager.wait_until_finished());
      rlimit before{};
      ::getrlimit(RLIMIT_FSIZE, &before);
      std::int64_t step = 2;
      for (const rlim_t limit : limits) {
        for (const Codec& codec : {Codec::none(), Codec::fast()}) {
          SCOPED_TRACE("limit " + std::to_string(limit));
          const rlimit now{limit, before.rlim_max};
          ::setrlimit(RLIMIT_FSIZE, &now);
          const auto saved =
              manager.save(step, {{"state", large}}, {.mode = static_cast<SnapshotMode>(step % 3), .codec = codec});
          const auto waited = manager.wait_until_finished();
          ::setrlimit(RLIMIT_FSIZE, &before);
          EXPECT_TRUE(saved.has_value());
          ASSERT_TRUE(waited.has_error());
          EXPECT_EQ(waited.error().code(), ErrorCode::no_space);
          EXPECT_EQ(waited.error().system_errno(), EFBIG) << waited.error().to_string();
          EXPECT_FALSE(manager.all_steps(true)->back() == step);
          ++step;
          EXPECT_TRUE(manager.save(step, {{"state", tree_of(step)}}).value());
          EXPECT_OK(manager.wait_until_finished());
          EXPECT_HOLDS(manager, step, tree_of(step));
          ++step;
        }
      }
      struct sigaction action {};
      sigset_t set;
      ::sigaction(SIGXFSZ, nullptr, &action);
      EXPECT_EQ(action.sa_handler, SIG_DFL) << "the program's own";
      ::pthread_sigmask(SIG_BLOCK, nullptr, &set);
      EXPECT_EQ(::sigismember(&set, SIGXFSZ), 0);
      ::sigpending(&set);
      EXPECT_EQ(::sigismember(&set, SIGXFSZ), 0);
    });
  }
}

TEST(Limits, WhatIsWrongIsNoticed) {
  const TempDir there(parent_in_memory());
  EXPECT_TRUE(fails([&] {
    in_child([&] {
      const rlimit limit{10, RLIM_INFINITY};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      const UniqueFd file(::open((there.string() + "/file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
      while (::write(file.get(), "0123456789", 10) > 0) {
      }
    });
  })) << "a signal that ends the process";
}

int open_files() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {})) - 1;
}

TEST(Limits, DescriptorsThatAreNotGranted) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UndefinedBehaviorSanitizer opens a pipe to look at an object's type";
#endif
  for (const IoBackend backend : {IoBackend::automatic, IoBackend::threads}) {
    in_child([&] {
      const TempDir there(parent_in_memory());
      auto options = small_options();
      options.io_backend = backend;
      options.max_to_keep = 2;
      rlimit before{};
      ::getrlimit(RLIMIT_NOFILE, &before);
      const auto grant = [&](int more) {
        const rlimit now{more < 0 ? before.rlim_cur : static_cast<rlim_t>(open_files() + more), before.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &now);
      };
      auto manager = open_manager(options, there.string());
      EXPECT_TRUE(manager.save(0, {{"state", tree_of(0)}}).value());
      EXPECT_OK(manager.wait_until_finished());
      std::int64_t step = 1;
      bool enough = false;
      for (int more = 0; !enough; ++more) {
        SCOPED_TRACE(std::to_string(more) + " more descriptors");
        grant(more);
        const auto other = CheckpointManager::open(there.string(), options);
        const auto saved =
            manager.save(step, {{"state", tree_of(step)}}, {.mode = static_cast<SnapshotMode>(step % 3)});
        const auto waited = saved.has_error() ? Result<void>(saved.error()) : manager.wait_until_finished();
        auto restored = manager.restore(step - 1);
        grant(-1);
        for (const std::string& error : {error_of(other), error_of(waited), error_of(restored)}) {
          EXPECT_TRUE(error.empty() || error.find("Too many open files") != std::string::npos) << error;
        }
        if (waited.has_value()) {
          EXPECT_HOLDS(manager, step, tree_of(step));
        }
        if (restored.has_value()) {
          EXPECT_EQ(difference(tree_of(step - 1), restored->tree()), "");
        }
        enough = other.has_value() && waited.has_value() && restored.has_value();
        ++step;
        EXPECT_TRUE(manager.save(step, {{"state", tree_of(step)}}).value());
        EXPECT_OK(manager.wait_until_finished());
        EXPECT_HOLDS(manager, step, tree_of(step));
        ++step;
        if (::testing::Test::HasFailure()) return;
      }
      EXPECT_GT(step, 6);
    });
  }
}

}  // namespace
}  // namespace milepost::testing
