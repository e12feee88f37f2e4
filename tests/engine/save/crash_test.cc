// The power fails, or the process dies, at every point of a run of saves: what was acknowledged is there
// and right, nothing torn is ever listed, and the next process goes on.
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/forgetful_store.h"
#include "tests/support/planted_bug.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::Contains;

constexpr int max_to_keep = 2;

// Saves, with an overwrite among them: the steps, and which content each gets.
struct Save {
  std::int64_t step;
  std::uint64_t content;
};
constexpr Save saves[] = {{1, 1}, {2, 2}, {3, 3}, {2, 102}, {4, 4}};

Items two_items(std::uint64_t content) { return {{"model", small_tree(content)}, {"values", Tree::list({1, "two"})}}; }

CheckpointManagerOptions crash_options(std::shared_ptr<Store> store) {
  auto options = small_options(std::move(store));
  options.max_to_keep = max_to_keep;
  return options;
}

// Saves until the process is dead; how many saves were acknowledged.
std::size_t live(const std::shared_ptr<Store>& store) {
  auto opened = CheckpointManager::open("simulated", crash_options(store));
  if (opened.has_error()) return 0;
  std::size_t acknowledged = 0;
  for (const auto& [step, content] : saves) {
    const SaveOptions options{
        .force = true, .overwrite = content > 100, .codec = step % 2 == 0 ? Codec::none() : Codec::fast()};
    if (opened->save(step, two_items(content), options).has_error()) break;
    const auto waited = opened->wait_until_finished();
    // An error of the removal of old steps comes after the commit.
    if (waited.has_error() && waited.error().to_string().find("is committed") == std::string::npos) break;
    ++acknowledged;
    if (waited.has_error()) break;
  }
  return acknowledged;
}

// The contents that a step may have when so many saves were acknowledged: that of the last of them, or of the one
// after.
std::set<std::uint64_t> contents_of(std::int64_t step, std::size_t acknowledged) {
  std::set<std::uint64_t> contents;
  for (std::size_t i = 0; i < std::min(acknowledged + 1, std::size(saves)); ++i) {
    if (saves[i].step != step) continue;
    if (i < acknowledged) contents.clear();
    contents.insert(saves[i].content);
  }
  return contents;
}

// A new process on what is left.
void expect_good(const std::shared_ptr<SimulatedStore>& disk, std::size_t acknowledged) {
  auto opened = CheckpointManager::open("simulated", crash_options(disk));
  ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
  const auto steps = opened->all_steps().value();
  std::set<std::int64_t> saved;
  for (std::size_t i = 0; i < acknowledged; ++i) saved.insert(saves[i].step);
  if (acknowledged > 0) {
    ASSERT_FALSE(steps.empty());
    EXPECT_GE(steps.back(), *saved.rbegin());
    // Nor is more gone than what a later save was allowed to remove.
    EXPECT_GE(steps.size(), std::min<std::size_t>(saved.size(), max_to_keep)) << "after " << acknowledged << " saves";
  }
  for (const std::int64_t step : steps) {
    auto restored = opened->restore(step);
    ASSERT_TRUE(restored.has_value()) << restored.error().to_string();
    std::vector<std::string> differences;
    for (const std::uint64_t content : contents_of(step, acknowledged)) {
      std::string& different = differences.emplace_back();
      for (const Item& item : two_items(content)) different += difference(item.tree, restored->tree(item.name));
    }
    EXPECT_THAT(differences, Contains("")) << "step " << step;
  }
  for (const DirectoryEntry& entry : disk->list_directory("").value()) {
    EXPECT_FALSE(entry.name.starts_with(".")) << "not swept: " << entry.name;
  }
  const auto next = opened->save(9, two_items(9));
  ASSERT_TRUE(next.has_value()) << next.error().to_string();
  const auto waited = opened->wait_until_finished();
  ASSERT_TRUE(waited.has_value()) << waited.error().to_string();
  EXPECT_EQ(difference(two_items(9)[0].tree, opened->restore(9)->tree("model")), "");
}

TEST(Crash, AtEveryPoint) {
  const auto states_of_a_point = trials<std::uint64_t>(2, 20);
  std::set<std::size_t> seen;
  std::size_t states = 0;
  for (std::uint64_t n = 0;; n += stride_under_sanitizer(3)) {
    const auto store = std::make_shared<SimulatedStore>();
    store->crash_after(n);
    const std::size_t acknowledged = live(store);
    seen.insert(acknowledged);
    SCOPED_TRACE("after " + std::to_string(n) + " operations, with " + std::to_string(acknowledged) +
                 " saves acknowledged");
    for (std::uint64_t i = 0; i < states_of_a_point; ++i) {
      SCOPED_TRACE("state " + std::to_string(i));
      expect_good(store->crash((seed() + n) * 1000 + i), acknowledged);
      ++states;
    }
    expect_good(store->after_process_death(), acknowledged);
    if (::testing::Test::HasFatalFailure() || store->operations() < n) break;
  }
  EXPECT_EQ(seen, (std::set<std::size_t>{0, 1, 2, 3, 4, 5}));
  report_trials("power cuts on the simulated disk", states);
}

// Whether a power cut at any moment of a run shows that its manager forgets to flush something.
bool shows(Operation forgotten) {
  bool dead = true;
  for (std::uint64_t n = 0; dead; ++n) {
    const auto disk = std::make_shared<SimulatedStore>();
    disk->crash_after(n);
    const std::size_t acknowledged = live(std::make_shared<ForgetfulStore>(disk, forgotten));
    dead = disk->operations() >= n;
    if (fails([&] { expect_good(disk->crash(n), acknowledged); })) return true;
  }
  return false;
}

TEST(Crash, ShowsThatFilesAreNotFlushed) { EXPECT_TRUE(shows(Operation::sync)); }
TEST(Crash, ShowsThatDirectoriesAreNotFlushed) { EXPECT_TRUE(shows(Operation::sync_directory)); }

}  // namespace
}  // namespace milepost::testing
