// Followers beside a manager that saves and removes steps. Where events are promised no test would end, but for the
// suite's time limit, without them: the intervals of polling are a day.
#include "milepost/engine/follow.h"

#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>
#include <semaphore>
#include <thread>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
constexpr auto day = std::chrono::hours(24);
constexpr auto no_time = std::chrono::nanoseconds(0);

static_assert(std::input_iterator<CheckpointsIterator::Iterator>);
static_assert(std::sentinel_for<std::default_sentinel_t, CheckpointsIterator::Iterator>);

FollowOptions by_events() {
  FollowOptions options;
  options.polling_interval = day;
  options.rescan_interval = day;
  return options;
}

FollowOptions look_once() {
  FollowOptions options;
  options.timeout = no_time;
  return options;
}

void save(CheckpointManager& manager, std::int64_t step) {
  EXPECT_TRUE(manager.save(step, {{"state", small_tree(static_cast<std::uint64_t>(step))}}).value());
}

void commit(CheckpointManager& manager, std::int64_t step) {
  save(manager, step);
  EXPECT_OK(manager.wait_until_finished());
}

TEST(Follow, EachCommitWakesTheFollower) {
  const TempDir directory;
  const std::string root = directory.string() + "/not/there/yet";
  std::counting_semaphore<> seen(0);
  std::thread trainer([&] {
    auto manager = open_manager(small_options(), root);
    for (std::int64_t step = 1; step <= 10; ++step) {
      commit(manager, step);
      seen.acquire();
    }
  });
  auto steps = checkpoints_iterator(root, by_events());
  for (std::int64_t step = 1; step <= 10; ++step) {
    EXPECT_EQ(steps.next().value(), step);
    seen.release();
  }
  trainer.join();
}

// With retention at work, in another process: each step yielded was there, they ascend, and the last one is among them.
TEST(Follow, AnotherProcessThatRemovesOldSteps) {
  const TempDir directory;
  constexpr std::int64_t last = 30;
  const pid_t trainer = ::fork();
  ASSERT_GE(trainer, 0);
  if (trainer == 0) {
    auto options = small_options();
    options.max_to_keep = 1;
    auto manager = open_manager(options, directory.string());
    for (std::int64_t step = 1; step <= last; ++step) save(manager, step);
    ::_exit(manager.close().has_error());
  }
  std::vector<std::int64_t> followed;
  std::optional<CheckpointManager> reader;
  auto following = by_events();
  following.timeout = std::chrono::seconds(60);  // lest a trainer that died be waited for
  for (const Result<std::int64_t>& step : checkpoints_iterator(directory.string(), following)) {
    ASSERT_TRUE(step.has_value()) << step.error().to_string();
    followed.push_back(*step);
    if (!reader) {
      auto options = small_options();
      options.read_only = true;
      reader = open_manager(options, directory.string());
    }
    auto restored = reader->restore(*step);
    if (restored.has_value()) {
      EXPECT_EQ(difference(small_tree(static_cast<std::uint64_t>(*step)), restored->tree()), "");
    } else {
      EXPECT_EQ(restored.error().code(), ErrorCode::not_found) << restored.error().to_string();
      EXPECT_NE(*step, last);  // only a newer one makes a step go
    }
    if (*step == last) break;
  }
  EXPECT_TRUE(std::is_sorted(followed.begin(), followed.end()));
  EXPECT_EQ(std::adjacent_find(followed.begin(), followed.end()), followed.end());
  ASSERT_FALSE(followed.empty());
  EXPECT_EQ(followed.back(), last);
  int status = 0;
  ASSERT_EQ(::waitpid(trainer, &status, 0), trainer);
  EXPECT_EQ(status, 0);
}

TEST(Follow, GoesStraightToTheNewestOrThroughEveryStep) {
  const TempDir directory;
  auto manager = open_manager(small_options(), directory.string());
  for (const std::int64_t step : {1, 2, 3}) commit(manager, step);

  auto newest = checkpoints_iterator(directory.string(), look_once());
  EXPECT_EQ(newest.next().value(), 3);
  EXPECT_EQ(newest.next().value(), std::nullopt);

  auto options = look_once();
  options.every_step = true;
  auto every = checkpoints_iterator(directory.string(), options);
  EXPECT_EQ(every.next().value(), 1);
  fs::remove_all(directory.path() / "2");  // before it was its turn
  EXPECT_EQ(every.next().value(), 3);
  EXPECT_EQ(every.next().value(), std::nullopt);

  for (const std::int64_t step : {4, 5}) commit(manager, step);
  EXPECT_EQ(every.next().value(), 4);
  EXPECT_EQ(newest.next().value(), 5);
  EXPECT_EQ(every.next().value(), 5);
}

TEST(Follow, WaitsForAStepOfAtLeast) {
  const TempDir directory;
  auto manager = open_manager(small_options(), directory.string());
  for (const std::int64_t step : {4, 7}) commit(manager, step);
  auto options = look_once();
  EXPECT_EQ(wait_for_new_checkpoint(directory.string(), options).value(), 7);
  options.until_step = 7;
  EXPECT_EQ(wait_for_new_checkpoint(directory.string(), options).value(), 7);
  options.until_step = 8;
  EXPECT_EQ(wait_for_new_checkpoint(directory.string(), options).value(), std::nullopt);
  constexpr auto largest = std::numeric_limits<std::int64_t>::max();
  commit(manager, largest);
  auto steps = checkpoints_iterator(directory.string(), by_events());
  EXPECT_EQ(steps.next().value(), largest);
  EXPECT_EQ(steps.next().value(), std::nullopt);  // at once: none can follow
}

TEST(Follow, OnlyCommittedStepsOfItsNamingCount) {
  const TempDir directory;
  fs::create_directories(directory.path() / "5");
  fs::create_directories(directory.path() / ".tmp-6-01234567-89ab-4cde-8f01-23456789abcd");
  EXPECT_EQ(wait_for_new_checkpoint(directory.string(), look_once()).value(), std::nullopt);
  auto options = small_options();
  options.step_prefix = "ckpt_";
  auto manager = open_manager(options, directory.string());
  commit(manager, 3);
  EXPECT_EQ(wait_for_new_checkpoint(directory.string(), look_once()).value(), std::nullopt);
  auto prefixed = look_once();
  prefixed.step_naming = "ckpt_";
  EXPECT_EQ(wait_for_new_checkpoint(directory.string(), prefixed).value(), 3);
}

TEST(Follow, ATimeoutEndsTheWaitUnlessTheFunctionSaysNo) {
  const TempDir directory;
  EXPECT_EQ(wait_for_new_checkpoint(directory.string(), look_once()).value(), std::nullopt);
  EXPECT_EQ(wait_for_new_checkpoint(directory.string() + "/missing", look_once()).value(), std::nullopt);
  auto options = by_events();
  options.timeout = std::chrono::milliseconds(1);
  int asked = 0;
  options.timeout_fn = [&] { return ++asked == 3; };
  auto steps = checkpoints_iterator(directory.string(), options);
  EXPECT_EQ(steps.next().value(), std::nullopt);
  EXPECT_EQ(asked, 3);
  // After a timeout it goes on where it was.
  auto manager = open_manager(small_options(), directory.string());
  commit(manager, 1);
  EXPECT_EQ(steps.next().value(), 1);
}

TEST(Follow, AStopEndsTheWaitAtOnce) {
  const TempDir directory;
  auto manager = open_manager(small_options(), directory.string());
  commit(manager, 1);
  std::stop_source source;
  auto options = by_events();
  options.stop = source.get_token();
  std::vector<std::int64_t> followed;
  std::counting_semaphore<> seen(0);
  std::thread stopper([&] {
    seen.acquire();
    source.request_stop();
  });
  for (const Result<std::int64_t>& step : checkpoints_iterator(directory.string(), options)) {
    followed.push_back(step.value());
    seen.release();
  }
  stopper.join();
  EXPECT_THAT(followed, ElementsAre(1));
  EXPECT_EQ(wait_for_new_checkpoint(directory.string(), options).value(), std::nullopt);  // stopped before
}

TEST(Follow, KeepsItsMinimumInterval) {
  const TempDir directory;
  auto manager = open_manager(small_options(), directory.string());
  commit(manager, 1);
  std::stop_source source;
  auto options = by_events();
  options.min_interval = day;
  options.stop = source.get_token();
  auto steps = checkpoints_iterator(directory.string(), options);
  EXPECT_EQ(steps.next().value(), 1);
  std::thread trainer([&] {
    commit(manager, 2);
    source.request_stop();
  });
  EXPECT_EQ(steps.next().value(), std::nullopt);
  trainer.join();
}

// As on a network file system: no events, and what is committed shows only some looks later.
TEST(Follow, PollsWhereThereAreNoEvents) {
  const auto disk = std::make_shared<SimulatedStore>();
  auto manager = open_manager(small_options(disk));
  commit(manager, 1);
  std::atomic<int> looks = 0;
  const auto watched = std::make_shared<HookStore>(disk);
  watched->before([&](Operation operation, const std::string&) {
    if (operation == Operation::list && ++looks == 4) commit(manager, 2);
  });
  auto options = look_once();
  options.timeout = std::nullopt;
  options.polling_interval = std::chrono::microseconds(100);
  options.rescan_interval = day;
  options.store = watched;
  auto steps = checkpoints_iterator("simulated", options);
  EXPECT_EQ(steps.next().value(), 1);
  EXPECT_EQ(steps.next().value(), 2);
  EXPECT_EQ(looks, 4);
}

TEST(Follow, ErrorsSurfaceAndMayBeRetried) {
  const TempDir directory;
  const std::string root = directory.string() + "/root";
  std::ofstream(root) << "a file";
  auto steps = checkpoints_iterator(root, look_once());
  const auto failed = steps.next();
  ASSERT_TRUE(failed.has_error());
  EXPECT_THAT(failed.error().to_string(), HasSubstr("follow " + root));
  EXPECT_EQ(failed.error().system_errno(), ENOTDIR);
  int elements = 0;
  for (const Result<std::int64_t>& step : checkpoints_iterator(root, look_once())) {
    ++elements;
    EXPECT_TRUE(step.has_error());
  }
  EXPECT_EQ(elements, 1);
  fs::remove(root);
  auto manager = open_manager(small_options(), root);
  commit(manager, 1);
  EXPECT_EQ(steps.next().value(), 1);

  fs::permissions(root, fs::perms::none);
  if (::access(root.c_str(), R_OK) != 0) {  // not for root, who may read everything
    const auto refused = steps.next();
    ASSERT_TRUE(refused.has_error());
    EXPECT_EQ(refused.error().system_errno(), EACCES);
  }
  fs::permissions(root, fs::perms::owner_all);
}

TEST(Follow, RefusesOptionsThatMeanNothing) {
  const TempDir directory;
  const auto story = [&](const auto& change) {
    auto options = look_once();
    change(options);
    const auto result = wait_for_new_checkpoint(directory.string(), options);
    return result.has_error() ? result.error().to_string() : "";
  };
  EXPECT_THAT(story([](FollowOptions& o) { o.until_step = -1; }), HasSubstr("until_step"));
  EXPECT_THAT(story([](FollowOptions& o) { o.polling_interval = no_time; }), HasSubstr("polling_interval"));
  EXPECT_THAT(story([](FollowOptions& o) { o.rescan_interval = no_time; }), HasSubstr("rescan_interval"));
  EXPECT_THAT(story([](FollowOptions& o) { o.step_naming = "a/"; }), HasSubstr("step_naming"));
}

}  // namespace
}  // namespace milepost::testing
