// A job is told to stop at every point of its saves and at random times, once and twice: it has saved its
// last step by the deadline, or, if it is killed before, all steps that were committed are intact.
#include "milepost/engine/preemption.h"
#include "milepost/policy/preemption_agreement.h"
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>

namespace milepost::testing {
namespace {

using namespace std::chrono_literals;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int random_times = 5;
constexpr int stride = 5;
#else
constexpr int random_times = 120;
constexpr int stride = 1;
#endif

constexpr std::int64_t save_interval = 3;

Tree state(std::int64_t step) { return small_tree(static_cast<std::uint64_t>(step)); }

CheckpointManagerOptions job_options(std::shared_ptr<Store> store = nullptr) {
  auto options = small_options(std::move(store));
  options.save_interval_steps = save_interval;
  options.max_to_keep = 2;
  return options;
}

// Trains on from the latest step until told to stop, and saves the step it is at; that step, if it is
// committed by the deadline.
std::optional<std::int64_t> train(CheckpointManager& manager, const PreemptionWatcher& watcher) {
  PreemptionAgreement agreement;
  for (std::int64_t step = manager.latest_step().value_or(0) + 1;; ++step) {
    const bool last = agreement.reached(step, watcher.signalled());
    if (manager.save(step, {{"state", state(step)}}, {.force = last}).has_error()) return std::nullopt;
    if (!last) continue;
    if (manager.wait_until_finished().has_error()) return std::nullopt;
    return PreemptionWatcher::Clock::now() <= watcher.deadline() ? std::optional(step) : std::nullopt;
  }
}

void expect_whole(CheckpointManager& manager) {
  const auto steps = manager.all_steps(true);
  ASSERT_TRUE(steps.has_value());
  for (const std::int64_t step : *steps) EXPECT_HOLDS(manager, step, state(step));
}

// Sends SIGTERM before some of a store's operations, and waits until the watcher has heard of the first.
class Bell {
 public:
  Bell(HookStore& store, std::vector<std::uint64_t> operations) : operations_(std::move(operations)) {
    store.before([this](Operation, const std::string&) {
      if (std::find(operations_.begin(), operations_.end(), next_++) == operations_.end()) return;
      kill(getpid(), SIGTERM);
      watcher_->wait_for(std::chrono::hours(1));
    });
  }
  const PreemptionWatcher& watcher() const { return *watcher_; }

 private:
  const std::vector<std::uint64_t> operations_;
  const std::shared_ptr<PreemptionWatcher> watcher_ = PreemptionWatcher::start().value();
  std::atomic<std::uint64_t> next_{0};
};

// A second signal may come late, when the watcher of its job is about to go.
class PreemptedJob : public ::testing::Test {
 private:
  const std::shared_ptr<PreemptionWatcher> there_is_always_one_ = PreemptionWatcher::start().value();
};

TEST_F(PreemptedJob, SavesItsLastStepWhereverTheSignalsStrike) {
  for (std::uint64_t n = 0;; n += stride) {
    SCOPED_TRACE("before operation " + std::to_string(n));
    const auto disk = std::make_shared<SimulatedStore>();
    const auto store = std::make_shared<HookStore>(disk);
    const Bell bell(*store, {n, n + 1 + n % 7});
    std::optional<std::int64_t> last;
    {
      auto manager = open_manager(job_options(store));
      last = train(manager, bell.watcher());
    }
    ASSERT_TRUE(last);
    auto manager = open_manager(job_options(disk->after_process_death()));
    EXPECT_EQ(manager.latest_step(), last);
    expect_whole(manager);
    if (HasFailure() || *last > 3 * save_interval) break;
  }
}

TEST_F(PreemptedJob, KilledBeforeItHasSavedLosesNothingCommitted) {
  for (std::uint64_t n = 0;; n += stride) {
    const std::uint64_t grace = 1 + n % 11;  // in operations
    SCOPED_TRACE("told before operation " + std::to_string(n) + ", killed " + std::to_string(grace) + " later");
    const auto disk = std::make_shared<SimulatedStore>();
    const auto store = std::make_shared<HookStore>(disk);
    const Bell bell(*store, {n});
    disk->crash_after(n + grace);
    std::int64_t committed = 0;
    if (auto opened = CheckpointManager::open("simulated", job_options(store)); opened.has_value()) {
      (void)train(*opened, bell.watcher());
      if (const auto report = opened->last_save()) committed = report->step;
    }
    for (std::uint64_t seed = 0; seed < 2; ++seed) {
      auto manager = open_manager(job_options(disk->crash(seed)));
      EXPECT_GE(manager.latest_step().value_or(0), committed);
      expect_whole(manager);
    }
    if (HasFailure() || committed > 2 * save_interval) break;
  }
}

// --- In a process of its own.

// Writes the step it has saved last to `pipe_end`, after a zero that says: training.
[[noreturn]] void run_process(const std::string& directory, int pipe_end) {
  const auto tell = [&](std::int64_t step) { return write(pipe_end, &step, sizeof step) == sizeof step; };
  auto watcher = PreemptionWatcher::start();
  auto manager = CheckpointManager::open(directory, job_options());
  if (watcher.has_error() || manager.has_error() || !tell(0)) _exit(2);
  const auto last = train(*manager, **watcher);
  _exit(last && tell(*last) && manager->close().has_value() ? 0 : 3);
}

TEST(PreemptedProcess, SavesItsLastStepWheneverTheSignalsCome) {
  // In memory, if possible: nothing here depends on the disk but how long it takes.
  const TempDir directory(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ".");
  std::minstd_rand random(20240607);
  const auto up_to = [&](int us) {
    return std::chrono::microseconds(std::uniform_int_distribution<int>(0, us)(random));
  };
  std::int64_t last = 0;
  for (int trial = 0; trial < random_times; ++trial) {
    SCOPED_TRACE("trial " + std::to_string(trial));
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) run_process(directory.string(), ends[1]);
    ASSERT_GT(child, 0);
    close(ends[1]);
    const auto hear = [&] {
      std::int64_t step = -1;
      return read(ends[0], &step, sizeof step) == sizeof step ? step : -1;
    };
    EXPECT_EQ(hear(), 0);
    std::this_thread::sleep_for(up_to(30'000));  // not to wait for anything: the random time
    kill(child, SIGTERM);
    if (trial % 2 == 1) {
      std::this_thread::sleep_for(up_to(5'000));
      kill(child, SIGTERM);
    }
    const std::int64_t told = hear();
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    close(ends[0]);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
    EXPECT_GT(told, last) << "the next process went on from there";
    last = told;

    auto manager = open_manager(job_options(), directory.string());
    EXPECT_EQ(manager.latest_step(), last);
    expect_whole(manager);
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace milepost::testing
