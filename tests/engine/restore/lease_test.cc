// A step that is open is not removed or overwritten, by this process or another, until its reader is done
// or dead; and a reader who comes while a step is being removed reads the whole step, or hears that it is gone.
#include "milepost/engine/collector.h"
#include "milepost/engine/restore/restore.h"
#include "milepost/io/posix_store.h"
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/small_steps.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

Result<StepReader> open_step(Store& store, const std::string& directory) {
  return StepReader::open({.store = &store}, directory);
}

std::unique_ptr<Store> open_store(const std::string& root) { return PosixStore::open(root).value(); }

TEST(Lease, AStepThatIsOpenStays) {
  SimulatedStore store;
  EXPECT_OK(commit_step(store, 1));
  const std::string attempt = attempt_of(store, "1").value();
  Collector collector(store);
  {
    auto reader = open_step(store, "1").value();
    const auto moved = std::move(reader);
    EXPECT_THAT(collector.collect({{1, "1"}}).in_use, ElementsAre(1));
    const auto overwritten = commit_step(store, 1, true);
    ASSERT_TRUE(overwritten.has_error());
    EXPECT_EQ(overwritten.error().code(), ErrorCode::unavailable);
    EXPECT_THAT(names_in(store), ElementsAre("1")) << "nothing is left of the attempt";
    EXPECT_EQ(attempt_of(store, "1").value(), attempt);
  }
  EXPECT_OK(commit_step(store, 1, true));
  EXPECT_NE(attempt_of(store, "1").value(), attempt);
  EXPECT_OK(collector.empty_trash());
  EXPECT_THAT(names_in(store), ElementsAre("1"));
  EXPECT_THAT(collector.retry().removed, ElementsAre(1));
}

TEST(Lease, OverwritingWhatIsNotThereOrNoStep) {
  SimulatedStore store;
  EXPECT_OK(commit_step(store, 1, true));
  EXPECT_OK(store.make_directory("2"));
  EXPECT_OK(write_file(store, "2/theirs", {}));
  EXPECT_EQ(commit_step(store, 2, true).error().code(), ErrorCode::already_exists);
  EXPECT_EQ(commit_step(store, 1).error().code(), ErrorCode::already_exists);
  EXPECT_THAT(names_in(store), ElementsAre("1", "2"));
  EXPECT_THAT(names_in(store, "2"), ElementsAre("theirs"));
}

// A step is removed between the first try to overwrite it and the second.
TEST(Lease, OverwritingAStepThatIsRemovedMeanwhile) {
  const auto disk = std::make_shared<SimulatedStore>();
  HookStore store(disk);
  EXPECT_OK(commit_step(store, 1));
  store.before([&](Operation operation, const std::string& path) {
    if (operation == Operation::lock && path == "1") {
      EXPECT_THAT(Collector(*disk).collect({{1, "1"}}).removed, ElementsAre(1));
    }
  });
  EXPECT_OK(commit_step(store, 1, true));
  EXPECT_OK(attempt_of(store, "1"));
  EXPECT_THAT(names_in(store), ElementsAre("1"));
}

// Its remover holds the step for a moment; then it is gone, or stays after all.
TEST(Lease, AReaderWaitsForWhoIsAboutToRemoveTheStep) {
  for (const bool removed : {true, false}) {
    const auto disk = std::make_shared<SimulatedStore>();
    HookStore store(disk);
    EXPECT_OK(commit_step(*disk, 1));
    auto remover = disk->lock_directory("1", LockKind::exclusive).value();
    int tries = 0;
    store.before([&](Operation operation, const std::string&) {
      if (operation != Operation::lock || ++tries != 3) return;
      if (removed) {
        EXPECT_OK(disk->rename_no_replace("1", "elsewhere"));
      }
      remover.reset();
    });
    const auto reader = open_step(store, "1");
    EXPECT_EQ(tries, 3);
    if (removed) {
      EXPECT_EQ(reader.error().code(), ErrorCode::not_found);
    } else {
      EXPECT_OK(reader);
    }
  }
}

TEST(Lease, WithoutThePermissionToLockAStepIsReadAllTheSame) {
  FaultStore store(std::make_shared<SimulatedStore>());
  EXPECT_OK(commit_step(store, 1));
  for (const int refusal : {EACCES, EPERM}) {
    store.inject({.system_errno = refusal, .forever = true, .operations = {Operation::lock}});
    EXPECT_OK(open_step(store, "1"));
  }
  store.inject({.system_errno = EIO, .operations = {Operation::lock}});
  EXPECT_EQ(open_step(store, "1").error().code(), ErrorCode::io);
}

// Runs a disabled test of this program in `directory`, in a process of its own.
class OtherProcess {
 public:
  OtherProcess(
      const char* test, const std::string& directory, const std::function<void()>& prepare = [] {}) {
    const std::string filter = std::string("--gtest_filter=") + test;
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    child_ = ::fork();
    if (child_ == 0) {
      prepare();
      if (::chdir(directory.c_str()) != 0 || ::dup2(ends[1], told) != told) ::_exit(3);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execl("/proc/self/exe", "engine_restore_test", filter.c_str(), "--gtest_also_run_disabled_tests",
              "--gtest_brief=1", static_cast<char*>(nullptr));
      ::_exit(4);
    }
    ::close(ends[1]);
    heard_ = ends[0];
  }
  ~OtherProcess() { ::close(heard_); }

  // In the other process: says that it has come so far, and waits to be killed.
  static void tell_and_wait() {
    EXPECT_EQ(::write(told, "x", 1), 1);
    for (;;) ::pause();
  }

  void wait_to_be_told() const {
    char byte = 0;
    EXPECT_EQ(::read(heard_, &byte, 1), 1);
  }

  void kill() const {
    EXPECT_EQ(::kill(child_, SIGKILL), 0);
    int status = 0;
    EXPECT_EQ(::waitpid(child_, &status, 0), child_);
  }

  int exit_status() const {
    int status = 0;
    EXPECT_EQ(::waitpid(child_, &status, 0), child_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  static constexpr int told = 100;  // descriptor
  pid_t child_ = -1;
  int heard_ = -1;
};

TEST(Lease, DISABLED_InChildWithAStepOpen) {
  const auto store = open_store(".");
  const auto reader = open_step(*store, "1").value();
  OtherProcess::tell_and_wait();
}

TEST(Lease, AReaderInAnotherProcessHoldsItsStepUntilItIsKilled) {
  const TempDir directory;
  {
    const auto store = open_store(directory.string());
    for (const std::int64_t step : {1, 2}) EXPECT_OK(commit_step(*store, step));
  }
  const OtherProcess reader("Lease.DISABLED_InChildWithAStepOpen", directory.string());
  reader.wait_to_be_told();
  const auto store = open_store(directory.string());
  Collector collector(*store);
  const Collected collected = collector.collect({{1, "1"}, {2, "2"}});
  EXPECT_THAT(collected.removed, ElementsAre(2));
  EXPECT_THAT(collected.in_use, ElementsAre(1));
  EXPECT_EQ(commit_step(*store, 1, true).error().code(), ErrorCode::unavailable);
  EXPECT_OK(attempt_of(*store, "1"));
  reader.kill();
  EXPECT_THAT(collector.retry().removed, ElementsAre(1));
  EXPECT_THAT(names_in(*store), ::testing::IsEmpty());
}

// As on a file system without locks: all works, and nothing is held off.
TEST(Lease, DISABLED_InChildWithoutLocks) {
  const auto store = open_store(".");
  EXPECT_OK(commit_step(*store, 1));
  const std::string old = attempt_of(*store, "1").value();
  const auto reader = open_step(*store, "1").value();
  EXPECT_OK(commit_step(*store, 1, true));
  EXPECT_NE(attempt_of(*store, "1").value(), old);
  Collector collector(*store);
  EXPECT_OK(collector.empty_trash());
  EXPECT_THAT(names_in(*store), ElementsAre("1"));
  EXPECT_OK(collector.remove({1, "1"}));
  const std::string attempt = ".tmp-1-01234567-89ab-4cde-8f01-23456789abcd";
  EXPECT_OK(store->make_directory(attempt));
  EXPECT_OK(collector.sweep());
  EXPECT_THAT(names_in(*store), ElementsAre(attempt)) << "nobody knows whether it is dead";
}

TEST(Lease, WorksWhereThereAreNoLocks) {
  const TempDir directory;
  const OtherProcess process("Lease.DISABLED_InChildWithoutLocks", directory.string(), [] {
    const scmp_filter_ctx context = ::seccomp_init(SCMP_ACT_ALLOW);
    if (::seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOLCK), SYS_flock, 0) != 0 || ::seccomp_load(context) != 0) {
      ::_exit(5);
    }
  });
  EXPECT_EQ(process.exit_status(), 0);
}

// Steps come, are overwritten and go, in the background, while others read: whoever has a step open sees
// one attempt's files, and all of them.
TEST(Lease, ReadersBesideAWriterThatRemoves) {
  const TempDir directory;
  constexpr std::int64_t last = 60;
  std::atomic<std::int64_t> newest = 0;
  std::atomic<int> read = 0;
  EXPECT_OK(commit_step(*open_store(directory.string()), 0));
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      const auto store = open_store(directory.string());
      while (newest < last) {
        const std::string name = std::to_string(newest);
        const auto reader = open_step(*store, name);
        if (reader.has_error()) {
          EXPECT_EQ(reader.error().code(), ErrorCode::not_found) << reader.error().to_string();
          continue;
        }
        const auto attempt = attempt_of(*store, name);
        if (attempt.has_value()) {
          EXPECT_EQ(*attempt, reader->record().attempt);
          ++read;
        } else {
          ADD_FAILURE() << attempt.error().to_string();
        }
      }
    });
  }
  const auto store = open_store(directory.string());
  {
    Collector collector(*store, {.background = true, .threads = 2});
    for (std::int64_t step = 1; step <= last; ++step) {
      EXPECT_OK(commit_step(*store, step));
      newest = step;
      const auto overwritten = commit_step(*store, step, true);
      if (overwritten.has_error()) {
        EXPECT_EQ(overwritten.error().code(), ErrorCode::unavailable) << overwritten.error().to_string();
      }
      EXPECT_OK(collector.empty_trash());
      std::vector<Victim> victims;
      for (const std::string& name : names_in(*store)) {
        if (!name.starts_with('.') && name != std::to_string(step)) victims.push_back({std::stoll(name), name});
      }
      EXPECT_FALSE(collector.collect(std::move(victims)).error);
    }
    for (std::thread& reader : readers) reader.join();
    EXPECT_FALSE(collector.retry().error);
    EXPECT_OK(collector.wait());
  }
  EXPECT_GT(read, 0);
  EXPECT_THAT(names_in(*store), ElementsAre(std::to_string(last)));
}

}  // namespace
}  // namespace milepost::testing
