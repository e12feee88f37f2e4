// Several clients of a network file system, which see late what the others did: nobody takes anything for what it is
// not. At worst a step is seen later, or an error says that it is gone or that it is to be tried again.
#include "milepost/engine/catalog.h"
#include "milepost/engine/follow.h"
#include "tests/engine/saving.h"
#include "tests/engine/small_steps.h"
#include "tests/support/delayed_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

namespace milepost::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class Visibility : public ::testing::Test {
 protected:
  std::shared_ptr<DelayedStore> client() const { return std::make_shared<DelayedStore>(disk); }
  CheckpointManager manager_on(std::shared_ptr<Store> store, std::optional<int> max_to_keep = std::nullopt) const {
    auto options = small_options(std::move(store));
    options.max_to_keep = max_to_keep;
    return open_manager(options);
  }

  const std::shared_ptr<SimulatedStore> disk = std::make_shared<SimulatedStore>();
};

bool is_told_to_try_again(const Error& error) {
  return error.code() == ErrorCode::not_found || error.code() == ErrorCode::unavailable;
}

// What a client may be told of steps whose contents were, or are, these.
void expect_right_or_late(CheckpointManager& manager, std::int64_t step, const std::set<std::int64_t>& contents) {
  auto restored = manager.restore(step);
  if (restored.has_error()) {
    EXPECT_TRUE(is_told_to_try_again(restored.error())) << restored.error().to_string();
    return;
  }
  EXPECT_TRUE(std::any_of(contents.begin(), contents.end(),
                          [&](std::int64_t content) { return difference(tree_of(content), restored->tree()).empty(); }))
      << "step " << step;
}

// The listing shows, and goes on to show, steps that are gone.
TEST_F(Visibility, AnOldListingNamesNoStepThatIsGone) {
  auto trainer = manager_on(disk);
  save_all(trainer, {1, 2});
  const auto late = client();
  EXPECT_THAT(list_steps(*late, "").value(), ElementsAre(1, 2));
  save_all(trainer, {3});
  EXPECT_OK(trainer.delete_step(1));
  late->refresh_attributes();
  EXPECT_THAT(list_steps(*late, "").value(), ElementsAre(2));

  // None is left of those that it shows, but there are others: that is not a directory without steps.
  EXPECT_OK(trainer.delete_step(2));
  late->refresh_attributes();
  EXPECT_EQ(list_steps(*late, "").error().code(), ErrorCode::unavailable);
  EXPECT_EQ(CheckpointManager::open("simulated", small_options(late)).error().code(), ErrorCode::unavailable);
  late->refresh();
  EXPECT_THAT(list_steps(*late, "").value(), ElementsAre(3));
}

TEST_F(Visibility, ARestoreOfTheLatestNeverSaysThatThereIsNone) {
  auto trainer = manager_on(disk, 1);
  save_all(trainer, {1});
  const auto late = client();
  auto reader = manager_on(late);
  for (std::int64_t step = 2; step <= 6; ++step) {
    EXPECT_OK(reader.all_steps(true));
    save_all(trainer, {step});
    for (int i = 0; i < 2; ++i) {
      Tree target;
      const auto latest = reader.restore_latest(target);
      ASSERT_TRUE(latest.has_error());
      EXPECT_TRUE(is_told_to_try_again(latest.error())) << latest.error().to_string();
      late->refresh_attributes();
    }
    late->refresh_listings();
    EXPECT_EQ(reader.restore()->step, step);
  }
}

TEST_F(Visibility, AFollowerMissesAndRepeatsNothing) {
  for (std::uint32_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE(seed);
    std::minstd_rand random(seed + 1);
    const auto server = std::make_shared<SimulatedStore>();
    const auto one = std::make_shared<DelayedStore>(server);
    const auto other = std::make_shared<DelayedStore>(server);
    auto each = checkpoints_iterator("unused", {.every_step = true, .timeout = 0ns, .store = one});
    auto newest = checkpoints_iterator("unused", {.timeout = 0ns, .store = other});
    std::vector<std::int64_t> followed;
    std::int64_t last = -1;
    for (std::int64_t step = 0; step < 12;) {
      switch (random() % 5) {
        case 0: EXPECT_OK(commit_step(*server, step++)); break;
        case 1: random() % 2 == 0 ? one->refresh_listings() : one->refresh_attributes(); break;
        case 2: random() % 2 == 0 ? other->refresh_listings() : other->refresh_attributes(); break;
        case 3:
          if (const auto next = each.next().value()) followed.push_back(*next);
          break;
        default:
          if (const auto next = newest.next().value()) {
            EXPECT_GT(*next, last);
            last = *next;
          }
      }
    }
    one->refresh();
    other->refresh();
    while (const auto next = each.next().value()) followed.push_back(*next);
    EXPECT_THAT(followed, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    if (const auto next = newest.next().value()) last = *next;
    EXPECT_EQ(last, 11);
  }
}

// The trainer removes what its follower has not seen go: that waits for what comes, and ends with no error.
TEST_F(Visibility, AFollowerOutlivesTheStepsThatItRemembers) {
  auto trainer = manager_on(disk, 1);
  const auto late = client();
  auto steps = checkpoints_iterator("unused", {.timeout = 0ns, .store = late});
  for (std::int64_t step = 1; step <= 5; ++step) {
    save_all(trainer, {step});
    late->refresh_attributes();
    if (step > 1) {
      EXPECT_EQ(steps.next().value(), std::nullopt) << "the listing is old";
    }
    late->refresh();
    EXPECT_EQ(steps.next().value(), step);
  }
}

TEST_F(Visibility, TwoManagersThatSaveTheSameStep) {
  const auto late = client();
  auto first = manager_on(disk);
  auto second = manager_on(late);
  for (const SnapshotMode mode : all_modes) {
    const auto step = static_cast<std::int64_t>(mode) + 1;
    EXPECT_OK(second.reload());
    EXPECT_EQ(late->stat(std::to_string(step)).error().code(), ErrorCode::not_found);
    save_all(first, {step});
    ASSERT_TRUE(second.save(step, state(step + 50), {.force = true, .mode = mode}).value()) << "it cannot know";
    EXPECT_EQ(second.wait_until_finished().error().code(), ErrorCode::already_exists);
    EXPECT_HOLDS(first, step, tree_of(step));
  }
}

// Two trainers, one for even and one for odd steps, each prunes; a reader restores whatever it sees. All see late.
TEST_F(Visibility, ManagersThatPruneAndReadersAreSafe) {
  for (std::uint32_t seed = 0; seed < 3; ++seed) {
    SCOPED_TRACE(seed);
    std::minstd_rand random(seed + 1);
    const auto server = std::make_shared<SimulatedStore>();
    const std::shared_ptr<DelayedStore> clients[] = {std::make_shared<DelayedStore>(server),
                                                     std::make_shared<DelayedStore>(server),
                                                     std::make_shared<DelayedStore>(server)};
    std::vector<CheckpointManager> managers;
    for (const auto& client : clients) managers.push_back(manager_on(client, 2));
    CheckpointManager& reader = managers[2];
    std::map<std::int64_t, std::set<std::int64_t>> contents;
    std::int64_t newest = -1;
    for (int turn = 0; turn < 60; ++turn) {
      const std::size_t who = random() % 2;
      switch (random() % 6) {
        case 0:
        case 1: {
          const std::int64_t step = (newest + 2) / 2 * 2 + static_cast<std::int64_t>(who);
          contents[step].insert(step);
          save_all(managers[who], {step});
          newest = step;
          break;
        }
        case 2: {
          const auto known = managers[who].latest_step();
          if (!known) break;
          const std::int64_t content = *known + 1000 * (turn + 1);
          contents[*known].insert(content);
          const auto saved = managers[who].save(*known, state(content), {.overwrite = true});
          if (saved.has_value()) {
            EXPECT_OK(managers[who].wait_until_finished());
          } else {
            EXPECT_TRUE(is_told_to_try_again(saved.error()) || saved.error().code() == ErrorCode::already_exists)
                << saved.error().to_string();
          }
          newest = std::max(newest, *known);
          break;
        }
        case 3: clients[random() % 3]->refresh_listings(); break;
        case 4: clients[random() % 3]->refresh_attributes(); break;
        default:
          if (const auto listed = reader.all_steps(true); listed.has_error()) {
            EXPECT_EQ(listed.error().code(), ErrorCode::unavailable);
          }
          for (const std::int64_t step : reader.all_steps().value()) expect_right_or_late(reader, step, contents[step]);
      }
      const auto steps = list_steps(*server, "").value();
      if (newest >= 0) {
        ASSERT_FALSE(steps.empty());
        EXPECT_EQ(steps.back(), newest);
      }
    }
    auto truth = manager_on(server);
    for (const std::int64_t step : truth.all_steps().value()) {
      EXPECT_TRUE(truth.open_step(step)->verify().value().empty());
      expect_right_or_late(truth, step, contents[step]);
    }
  }
}

}  // namespace
}  // namespace milepost::testing
