// A job is told to stop at every point of its saves and at random times, once and twice: it has saved its
// last step by the deadline, or, if it is killed before, all steps that were committed are intact.
#include "milepost/engine/preemption.h"
#include "milepost/policy/preemption_agreement.h"
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/support/child_process.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

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

constexpr int random_times = under_sanitizer ? 5 : 120;
constexpr int stride = under_sanitizer ? 5 : 1;

constexpr std::int64_t save_interval = 3;

Tree job_state(std::int64_t step) { return small_tree(static_cast<std::uint64_t>(step)); }

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
    if (manager.save(step, {{"state", job_state(step)}}, {.force = last}).has_error()) return std::nullopt;
    if (!last) continue;
    if (manager.wait_until_finished().has_error()) return std::nullopt;
    return PreemptionWatcher::Clock::now() <= watcher.deadline() ? std::optional(step) : std::nullopt;
  }
}

void expect_whole(CheckpointManager& manager) {
  const auto steps = manager.all_steps(true);
  ASSERT_TRUE(steps.has_value());
  for (const std::int64_t step : *steps) EXPECT_HOLDS(manager, step, job_state(step));
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

// Tells 0 when it trains, and at last the step it has saved.
void live(const std::string& directory, const ChildProcess::Tell& tell) {
  static const auto watcher = PreemptionWatcher::start().value();  // to the end: the second signal may come late
  auto manager = open_manager(job_options(), directory);
  tell(0);
  tell(train(manager, *watcher).value());
  manager.close().value();
}

TEST(PreemptedProcess, SavesItsLastStepWheneverTheSignalsCome) {
  const TempDir directory(parent_in_memory());
  std::minstd_rand random(20240607);
  const auto up_to = [&](int us) {
    return std::chrono::microseconds(std::uniform_int_distribution<int>(0, us)(random));
  };
  std::int64_t last = 0;
  for (int trial = 0; trial < random_times; ++trial) {
    SCOPED_TRACE("trial " + std::to_string(trial));
    ChildProcess child([&](const auto& tell) { live(directory.string(), tell); });
    EXPECT_EQ(child.hear(), 0);
    std::this_thread::sleep_for(up_to(30'000));  // not to wait for anything: the random time
    child.kill(SIGTERM);
    if (trial % 2 == 1) {
      std::this_thread::sleep_for(up_to(5'000));
      child.kill(SIGTERM);
    }
    const auto told = child.hear();
    EXPECT_TRUE(child.ended_well()) << "status " << child.wait();
    ASSERT_TRUE(told);
    EXPECT_GT(*told, last) << "the next process went on from there";
    last = *told;

    auto manager = open_manager(job_options(), directory.string());
    EXPECT_EQ(manager.latest_step(), last);
    expect_whole(manager);
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace milepost::testing
