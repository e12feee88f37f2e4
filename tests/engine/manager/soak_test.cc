// A long run on a store that fails now and then: what it holds of the system stays what it was.
#include "tests/engine/saving.h"
#include "tests/support/holding.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;

// One operation in a hundred fails.
class UnreliableStore final : public ForwardingStore {
 public:
  UnreliableStore(std::shared_ptr<Store> inner, std::uint64_t seed)
      : ForwardingStore(std::move(inner)), random_(seed) {}
  void heal() { healed_ = true; }
  std::uint64_t failures() const { return failures_; }

 private:
  Verdict begin(Operation operation, const std::string& path) override {
    static constexpr int errnos[] = {EIO, ENOSPC, EMFILE};
    const std::lock_guard lock(mutex_);
    if (healed_ || random_() % 100 != 0) return {};
    ++failures_;
    return {Error::from_errno(errnos[random_() % 3], std::string(to_string(operation)) + " " + path), false};
  }

  std::atomic<bool> healed_{false};
  std::atomic<std::uint64_t> failures_{0};
  std::mutex mutex_;
  std::mt19937_64 random_;  // guarded by mutex_
};

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(Soak, NoticesADescriptorThatLeaks) {
  const Holding before;
  const int leak = ::dup(0);
  EXPECT_EQ(before.grown(), "descriptors ");
  ::close(leak);
  EXPECT_EQ(before.grown(), "");
}

TEST(Soak, NothingGrows) {
  const TempDir root(parent_in_memory());
  const Holding before_all;
  const auto count = trials<std::int64_t>(150, 10'000);
  std::uint64_t failures = 0;
  std::int64_t committed = 0;
  {
    auto store = std::make_shared<UnreliableStore>(PosixStore::open(root.string()).value(), seed());
    auto options = small_options(store);
    options.max_to_keep = 3;
    options.enable_background_delete = true;
    std::optional<CheckpointManager> manager;
    while (!manager) {
      auto opened = CheckpointManager::open(root.string(), options);
      if (opened.has_value()) manager.emplace(std::move(opened).value());
    }
    // Memory that is kept is taken now: later on it would come by the huge page.
    const float value = 0;
    Tree larger_than_staging;
    larger_than_staging["w"] = Tensor::of(&value, {32 << 20}, {0});
    EXPECT_OK(manager->warm_up({{"state", larger_than_staging}}));
    std::optional<Holding> warm;
    std::size_t plateau_bytes = 0;
    for (std::int64_t step = 0; step < count; ++step) {
      const auto saved = manager->save(
          step, state(step),
          {.mode = static_cast<SnapshotMode>(step % 3), .codec = step % 2 == 0 ? Codec::fast() : Codec::none()});
      manager->fence();
      const auto finished = manager->wait_until_finished();
      if (saved.has_value() && finished.has_value()) ++committed;
      auto restored = manager->restore();
      if (restored.has_value()) {
        ASSERT_EQ(difference(tree_of(restored->step), restored->tree()), "") << "seed " << seed();
      }
      if (step == count / 10) {
        warm.emplace();
        plateau_bytes = resident_bytes();
      }
    }
    EXPECT_EQ(warm->grown(), "") << "seed " << seed();
    if (in_full() && !under_sanitizer) {
      const auto end_bytes = resident_bytes();
      std::cout << "resident after a tenth: " << plateau_bytes << " bytes, at the end: " << end_bytes << '\n';
      EXPECT_LT(static_cast<double>(end_bytes), 1.01 * static_cast<double>(plateau_bytes));
    }
    std::size_t left = 0;
    for (const auto& entry : fs::directory_iterator(root.path())) {
      left += entry.path().filename().string().starts_with(".") ? 1 : 0;
    }
    EXPECT_LT(left, 10u) << "what failed saves wrote is not removed";
    failures = store->failures();
    store->heal();
    static_cast<void>(manager->close());
  }
  EXPECT_EQ(before_all.grown(), "");
  EXPECT_GT(failures, static_cast<std::uint64_t>(count / 10));
  EXPECT_GT(committed, count / 3);
  // What failures left behind goes when the next manager opens.
  EXPECT_OK(open_manager(small_options(), root.string()).close());
  for (const auto& entry : fs::directory_iterator(root.path())) {
    const std::string name = entry.path().filename();
    EXPECT_FALSE(name.starts_with(".")) << name;
  }
  report_trials("saves and restores under random faults", static_cast<std::size_t>(count));
}

}  // namespace
}  // namespace milepost::testing
