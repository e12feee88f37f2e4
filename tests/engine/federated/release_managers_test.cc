// Releasing in the engine's own format, to several managers, in part, and on other threads.
#include "milepost/engine/federated/file_release_manager.h"
#include "milepost/engine/federated/filtering_release_manager.h"
#include "milepost/engine/federated/grouping_release_manager.h"
#include "tests/engine/federated/releases.h"
#include "tests/support/fault_store.h"
#include "tests/support/temp_dir.h"

#include <functional>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace milepost::testing {
namespace {

using Map = ProgramValue::Map;
using List = ProgramValue::List;

// Keeps what is released to it, or fails.
class MemoryReleaseManager final : public ReleaseManager<std::string> {
 public:
  std::function<Result<void>()> outcome = [] { return Result<void>(); };
  std::vector<std::pair<std::string, Tree>> released;

  Result<void> release(const ProgramValue& value, const std::string& key) override {
    const auto result = outcome();
    const std::lock_guard lock(mutex_);
    if (result.has_value()) released.emplace_back(key, materialize(value).value());
    return result;
  }

 private:
  std::mutex mutex_;
};

TEST(FileReleaseManager, ValuesComeBack) {
  const TempDir directory;
  auto manager = FileReleaseManager::open(directory.string() + "/new").value();
  const Tree large = full_tree(7);
  EXPECT_OK(manager.release(large, 7));
  EXPECT_OK(manager.release(0.5, 3));
  EXPECT_OK(manager.release(Map{{"loss", 1}, {"none", List{}}}, 0));
  EXPECT_EQ(difference(large, manager.get_value(7).value()), "");
  EXPECT_EQ(difference(0.5, manager.get_value(3).value()), "");
  EXPECT_TRUE(std::filesystem::exists(directory.path() / "new/release_7/step.json"));
  expect_error(manager.get_value(1), ErrorCode::not_found, {"release 1"});
  expect_error(manager.get_value(-1), ErrorCode::invalid_argument, {"release -1", "0 and above"});
  expect_error(manager.release(0.5, -1), ErrorCode::invalid_argument, {"release -1", "0 and above"});
  expect_error(manager.release(Map{{"x", Tensor::abstract(DType::f32, {2})}}, 8), ErrorCode::invalid_argument,
               {"release 8", "x"});
  expect_error(manager.get_value(8), ErrorCode::not_found, {});
  auto next = FileReleaseManager::open(directory.string() + "/new").value();
  EXPECT_EQ(difference(large, next.get_value(7).value()), "");
}

TEST(FileReleaseManager, AKeyIsOverwrittenAtOnce) {
  for (std::uint64_t n = 0;; ++n) {
    const auto disk = std::make_shared<SimulatedStore>();
    {
      auto manager = open_files(disk);
      EXPECT_OK(manager.release("old", 5));
    }
    const std::uint64_t start = disk->operations();
    disk->crash_after(n);
    bool done = false;
    if (auto opened = FileReleaseManager::open("simulated", {.store = disk}); opened.has_value()) {
      done = opened->release("new", 5).has_value();
    }
    for (std::uint64_t seed = 0; seed < 2; ++seed) {
      auto next = open_files(disk->crash(n * 8 + seed));
      const auto value = next.get_value(5);
      ASSERT_TRUE(value.has_value()) << value.error().to_string();
      const std::string text = *value->get_if<std::string>();
      ASSERT_TRUE(text == "new" || (text == "old" && !done)) << text << " after " << n;
    }
    if (done && disk->operations() - start < n) break;
  }
}

TEST(FileReleaseManager, SharesItsDirectory) {
  const auto store = std::make_shared<SimulatedStore>();
  auto first = open_files(store);
  auto other = FileReleaseManager::open("simulated", {.prefix = "weights_", .store = store}).value();
  EXPECT_OK(first.release(1, 1));
  EXPECT_OK(other.release(2, 1));
  EXPECT_EQ(difference(1, first.get_value(1).value()), "");
  EXPECT_EQ(difference(2, other.get_value(1).value()), "");
  expect_error(FileReleaseManager::open("simulated", {.prefix = "v2", .store = store}), ErrorCode::invalid_argument,
               {});
}

TEST(FileReleaseManager, ManyThreads) {
  const auto store = std::make_shared<SimulatedStore>();
  auto manager = open_files(store);
  std::vector<std::thread> threads;
  for (std::int64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (std::int64_t key = t; key < 9; key += 3) EXPECT_OK(manager.release(key * 10, key));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::int64_t key = 0; key < 9; ++key) EXPECT_EQ(difference(key * 10, manager.get_value(key).value()), "");
}

TEST(GroupingReleaseManager, TriesAllAndSaysWhichFailed) {
  const auto good = std::make_shared<MemoryReleaseManager>();
  const auto bad = std::make_shared<MemoryReleaseManager>();
  const auto throwing = std::make_shared<MemoryReleaseManager>();
  const auto last = std::make_shared<MemoryReleaseManager>();
  bad->outcome = [] { return Error(ErrorCode::no_space, "full"); };
  throwing->outcome = []() -> Result<void> { throw std::runtime_error("oops"); };
  auto group = GroupingReleaseManager<std::string>::of({good, bad, throwing, last}).value();
  expect_error(group.release(1, "a"), ErrorCode::no_space,
               {"2 of 4 managers failed", "manager 2: full", "manager 3: it threw: oops"});
  EXPECT_EQ(good->released.size(), 1u);
  EXPECT_EQ(last->released.size(), 1u);
  bad->outcome = throwing->outcome = [] { return Result<void>(); };
  EXPECT_OK(group.release(2, "b"));
  for (const auto& manager : {good, last}) EXPECT_EQ(manager->released.back().first, "b");
  EXPECT_EQ(bad->released.size(), 1u);
}

TEST(GroupingReleaseManager, NeedsManagers) {
  using Group = GroupingReleaseManager<std::string>;
  expect_error(Group::of({}), ErrorCode::invalid_argument, {"no manager"});
  expect_error(Group::of({nullptr}), ErrorCode::invalid_argument, {"null"});
}

struct Filtered {
  ProgramValue value;
  ReleaseFilter filter;
  std::optional<Tree> left;
};

TEST(FilteringReleaseManager, LeavesOutWhatThePredicateTurnsDown) {
  const auto all = [](const std::string&) { return true; };
  const auto none = [](const std::string&) { return false; };
  const auto is = [](std::string wanted) { return [=](const std::string& path) { return path == wanted; }; };
  const ProgramValue nested = Map{{"a", List{1, Map{{"b", 2}}, 3}}, {"c/d", 4}, {"empty", Map{}}};
  const Filtered cases[] = {
      {1, all, Tree(1)},
      {1, none, std::nullopt},
      {1, is(""), Tree(1)},
      {nullptr, all, Tree()},
      {Map{}, all, std::nullopt},
      {nested, all, Tree(Tree::Map{{"a", Tree::List{1, Tree::Map{{"b", 2}}, 3}}, {"c/d", 4}})},
      {nested, is("a/2"), Tree(Tree::Map{{"a", Tree::List{3}}})},
      {nested, is("a/1/b"), Tree(Tree::Map{{"a", Tree::List{Tree::Map{{"b", 2}}}}})},
      {nested, is("c~1d"), Tree(Tree::Map{{"c/d", 4}})},
      {nested, is("a"), std::nullopt},
  };
  for (const Filtered& filtered : cases) {
    const auto memory = std::make_shared<MemoryReleaseManager>();
    FilteringReleaseManager<std::string> manager(memory, filtered.filter);
    EXPECT_OK(manager.release(filtered.value, "key"));
    ASSERT_EQ(memory->released.size(), filtered.left ? 1u : 0u);
    if (filtered.left) {
      EXPECT_EQ(difference(*filtered.left, memory->released[0].second), "");
    }
  }
}

TEST(FilteringReleaseManager, DoesNotAwaitWhatItLeavesOut) {
  const auto memory = std::make_shared<MemoryReleaseManager>();
  FilteringReleaseManager<std::string> manager(memory, [](const std::string& path) { return path == "now"; });
  std::promise<double> never;
  EXPECT_OK(manager.release(Map{{"now", 1}, {"never", make_value_reference(never.get_future())}}, "key"));
  EXPECT_EQ(difference(Tree::Map{{"now", 1}}, memory->released[0].second), "");
}

TEST(FilteringReleaseManager, APredicateThatThrowsIsAnError) {
  const auto memory = std::make_shared<MemoryReleaseManager>();
  FilteringReleaseManager<std::string> manager(memory,
                                               [](const std::string&) -> bool { throw std::runtime_error("no"); });
  expect_error(manager.release(1, "key"), ErrorCode::failed_precondition, {"the filter threw: no"});
  EXPECT_TRUE(memory->released.empty());
}

TEST(ReleaseAsync, ReturnsWhileTheValueIsAwaited) {
  const auto memory = std::make_shared<MemoryReleaseManager>();
  std::promise<double> loss;
  auto future = release_async(memory, ProgramValue(make_value_reference(loss.get_future())), std::string("key"));
  loss.set_value(0.5);
  EXPECT_OK(future.get());
  EXPECT_EQ(difference(0.5, memory->released[0].second), "");
  memory->outcome = []() -> Result<void> { throw std::runtime_error("oops"); };
  expect_error(release_async(memory, ProgramValue(1), std::string("key")).get(), ErrorCode::failed_precondition,
               {"oops"});
}

}  // namespace
}  // namespace milepost::testing
