// A disk that stops, at each operation of a save: whoever waits is told in time, and all works after the thaw.
#include "tests/crash/life.h"
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/support/planted_bug.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace milepost::testing {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

milliseconds duration_of(const std::function<void()>& call) {
  const auto begin = steady_clock::now();
  call();
  return duration_cast<milliseconds>(steady_clock::now() - begin);
}

// What waiting for a frozen disk takes longer than it was told to; the machine of a test run in short is a busy one.
milliseconds overshoot_max() { return trials(milliseconds(2000), milliseconds(100)); }

struct Waits {
  std::size_t count = 0;
  milliseconds overshoot{0};  // of the longest
};

// Freezes the disk before the Nth operation of a save and all after it, for every N, while `wait` waits.
template <class Wait> Waits freeze_everywhere(const Wait& wait) {
  constexpr milliseconds timeout(3);
  const auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(hooks);
  options.max_to_keep = 1;
  options.timeout = timeout;
  auto manager = open_manager(options);
  Waits waits;
  bool frozen = true;
  for (std::int64_t n = 0; frozen && !::testing::Test::HasFailure(); ++n) {
    SCOPED_TRACE("frozen before operation " + std::to_string(n));
    Gate thaw;
    std::atomic<std::int64_t> next = 0;
    hooks->before([&](Operation, const std::string&) {
      if (next++ >= n) thaw.pass();
    });
    const SaveOptions save{.force = true, .mode = n % 2 == 0 ? SnapshotMode::lazy : SnapshotMode::borrow};
    EXPECT_TRUE(manager.save(n, {{"state", tree_of(n)}}, save).value());
    while (next <= n && manager.is_saving_in_progress()) std::this_thread::yield();
    frozen = next > n;
    Result<void> waited;
    const auto overshoot = duration_of([&] { waited = wait(manager, timeout); }) - timeout;
    if (frozen) {
      ++waits.count;
      waits.overshoot = std::max(waits.overshoot, overshoot);
      EXPECT_EQ(waited.has_error() ? waited.error().code() : ErrorCode::internal, ErrorCode::deadline_exceeded);
      EXPECT_LE(overshoot, overshoot_max());
      Result<bool> next_save;
      EXPECT_LE(duration_of([&] {
                  next_save = manager.save(n + 1, {{"state", tree_of(n)}}, save);
                }),
                timeout + overshoot_max());
      EXPECT_EQ(next_save.has_error() ? next_save.error().code() : ErrorCode::internal, ErrorCode::deadline_exceeded);
      EXPECT_LE(duration_of([&] { EXPECT_OK(manager.check_for_errors()); }), overshoot_max());
    }
    thaw.open();
    EXPECT_OK(manager.wait_until_finished(std::chrono::hours(1)));
    hooks->before({});
    EXPECT_HOLDS(manager, n, tree_of(n));
    EXPECT_EQ(manager.all_steps(true).value(), std::vector<std::int64_t>{n});
  }
  return waits;
}

TEST(FrozenDisk, WaitingEndsInTimeAndAllWorksAfterTheThaw) {
  const Waits waits = freeze_everywhere(
      [](CheckpointManager& manager, milliseconds timeout) { return manager.wait_until_finished(timeout); });
  EXPECT_GT(waits.count, 20u);
  report_trials("operations of a save on a frozen disk", waits.count);
  report_trials("ms that waiting for it took too long, at most", static_cast<std::size_t>(waits.overshoot.count()));
}

TEST(FrozenDisk, WhatIsWrongIsNoticed) {
  EXPECT_TRUE(fails([] {
    freeze_everywhere([](CheckpointManager& manager, milliseconds) { return manager.check_for_errors(); });
  })) << "who says that all is well";
}

}  // namespace
}  // namespace milepost::testing
