// The power fails, or the process dies, at every point of a run of saves: what was acknowledged is there
// and right, nothing torn is ever listed, and the next process goes on.
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/simulated_store.h"

#include <set>

namespace milepost::testing {
namespace {

constexpr int max_to_keep = 2;

Items state(std::int64_t step) {
  const auto seed = static_cast<std::uint64_t>(step);
  return {{"model", small_tree(seed)}, {"values", Tree::list({1, "two"})}};
}

CheckpointManagerOptions crash_options(std::shared_ptr<Store> store) {
  auto options = small_options(std::move(store));
  options.max_to_keep = max_to_keep;
  return options;
}

// Saves 1, 2, 3, 4 until the process is dead; the last step that was acknowledged, 0 if none was.
std::int64_t live(const std::shared_ptr<Store>& store) {
  auto opened = CheckpointManager::open("simulated", crash_options(store));
  if (opened.has_error()) return 0;
  std::int64_t acknowledged = 0;
  for (std::int64_t step = 1; step <= 4; ++step) {
    if (opened->save(step, state(step), {.codec = step % 2 == 0 ? Codec::none() : Codec::fast()}).has_error()) break;
    const auto waited = opened->wait_until_finished();
    // An error of the removal of old steps comes after the commit.
    if (waited.has_error() && waited.error().to_string().find("is committed") == std::string::npos) break;
    acknowledged = step;
    if (waited.has_error()) break;
  }
  return acknowledged;
}

// A new process on what is left.
void expect_good(const std::shared_ptr<SimulatedStore>& disk, std::int64_t acknowledged) {
  auto opened = CheckpointManager::open("simulated", crash_options(disk));
  ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
  const auto steps = opened->all_steps().value();
  if (acknowledged > 0) {
    ASSERT_FALSE(steps.empty());
    EXPECT_GE(steps.back(), acknowledged);
    // Nor is more gone than what a later save was allowed to remove.
    const auto expected = static_cast<std::size_t>(std::min<std::int64_t>(acknowledged, max_to_keep));
    EXPECT_GE(steps.size(), expected) << "after step " << acknowledged;
  }
  for (const std::int64_t step : steps) {
    auto restored = opened->restore(step);
    ASSERT_TRUE(restored.has_value()) << restored.error().to_string();
    for (const Item& item : state(step)) EXPECT_EQ(difference(item.tree, restored->tree(item.name)), "");
  }
  for (const DirectoryEntry& entry : disk->list_directory("").value()) {
    EXPECT_FALSE(entry.name.starts_with(".")) << "not swept: " << entry.name;
  }
  const auto saved = opened->save(9, state(9));
  ASSERT_TRUE(saved.has_value()) << saved.error().to_string();
  const auto waited = opened->wait_until_finished();
  ASSERT_TRUE(waited.has_value()) << waited.error().to_string();
  EXPECT_EQ(difference(state(9)[0].tree, opened->restore(9)->tree("model")), "");
}

TEST(Crash, AtEveryPoint) {
  std::set<std::int64_t> seen;
  for (std::uint64_t n = 0;; ++n) {
    const auto store = std::make_shared<SimulatedStore>();
    store->crash_after(n);
    const std::int64_t acknowledged = live(store);
    seen.insert(acknowledged);
    SCOPED_TRACE("after " + std::to_string(n) + " operations, with step " + std::to_string(acknowledged) +
                 " acknowledged");
    for (std::uint64_t seed = 0; seed < 2; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      expect_good(store->crash(n * 16 + seed), acknowledged);
    }
    expect_good(store->after_process_death(), acknowledged);
    if (::testing::Test::HasFatalFailure() || store->operations() < n) break;
  }
  EXPECT_EQ(seen, (std::set<std::int64_t>{0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace milepost::testing
