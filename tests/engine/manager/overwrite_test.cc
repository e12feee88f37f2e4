// Saving a step that is there: the old one goes when the new one is committed, whatever happens to either.
#include "tests/engine/saving.h"
#include "tests/engine/small_steps.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const SaveOptions overwrite = {.overwrite = true};

class Overwrite : public ::testing::Test {
 protected:
  CheckpointManagerOptions options() {
    auto options = small_options(faults);
    options.on_event = [this](const ManagerEvent& event) {
      story.push_back(std::string(to_string(event.kind)) + " " + std::to_string(event.step));
    };
    return options;
  }

  const std::shared_ptr<SimulatedStore> disk = std::make_shared<SimulatedStore>();
  const std::shared_ptr<FaultStore> faults = std::make_shared<FaultStore>(disk);
  std::vector<std::string> story;
};

// The new step is committed; only what it replaced is still about, under the name of a dead attempt.
TEST_F(Overwrite, OfWhatCannotBePutInTheTrashIsCommittedAllTheSame) {
  auto manager = open_manager(options());
  save_all(manager, {1, 2});
  story.clear();
  faults->inject({.operations = {Operation::rename}, .path_contains = ".trash-"});
  ASSERT_TRUE(manager.save(1, state(5), overwrite).value());
  EXPECT_THAT(error_of(manager.wait_until_finished()),
              HasSubstr("step 1 is committed, but old steps could not be removed: what it replaced could not be put in "
                        "the trash"));
  EXPECT_THAT(story, ElementsAre("save_started 1", "save_committed 1", "removal_failed 1"));
  EXPECT_EQ(manager.counters().failed, 0u);
  EXPECT_EQ(manager.last_save()->step, 1);
  EXPECT_HOLDS(manager, 1, tree_of(5));
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
  EXPECT_EQ(names_in(*faults).size(), 4u) << "the old step is still there";

  // Another process sweeps it.
  {
    const auto left = std::shared_ptr<Store>(disk->after_process_death());
    auto next = open_manager(small_options(left));
    EXPECT_THAT(names_in(*left), ElementsAre("1", "2", "milepost.json"));
    EXPECT_HOLDS(next, 1, tree_of(5));
  }
  // So does this one, with its next save.
  save_all(manager, {3});
  EXPECT_THAT(names_in(*faults), ElementsAre("1", "2", "3", "milepost.json"));
  EXPECT_HOLDS(manager, 1, tree_of(5));
}

// Meanwhile it has the name of a dead attempt, and another process sweeps those.
TEST_F(Overwrite, LeavesNothingForSweepersToTake) {
  auto hooks = std::make_shared<HookStore>(disk);
  auto manager = open_manager(small_options(hooks));
  save_all(manager, {1});
  std::vector<std::string> names;
  hooks->before([&](Operation operation, const std::string& path) {
    if (operation != Operation::rename || !path.starts_with(".trash-")) return;
    open_manager(small_options(disk));
    names = names_in(*disk);
  });
  ASSERT_TRUE(manager.save(1, state(5), overwrite).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_THAT(names, ElementsAre(StartsWith(".tmp-1-"), "1", "milepost.json"));
  EXPECT_THAT(names_in(*disk), ElementsAre("1", "milepost.json"));
  EXPECT_HOLDS(manager, 1, tree_of(5));
}

TEST_F(Overwrite, LeavesNothingAtTheEndOfItsManager) {
  auto manager = open_manager(options());
  save_all(manager, {1});
  faults->inject({.operations = {Operation::rename}, .path_contains = ".trash-"});
  ASSERT_TRUE(manager.save(1, state(5), overwrite).value());
  EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::io);
  EXPECT_TRUE(manager.close().has_error()) << "it is the error of the last save";
  EXPECT_THAT(names_in(*faults), ElementsAre("1", "milepost.json"));
}

// Refused before anything is written, in every mode; and at the commit, if the reader comes while it is being written.
TEST_F(Overwrite, OfAStepThatSomebodyReadsIsRefusedAtOnce) {
  auto hooks = std::make_shared<HookStore>(disk);
  auto manager = open_manager(small_options(hooks));
  save_all(manager, {1});
  std::optional<StepReader> reader = manager.open_step(1).value();
  for (const SnapshotMode mode : all_modes) {
    const auto refused = manager.save(1, state(5), {.overwrite = true, .mode = mode});
    ASSERT_TRUE(refused.has_error());
    EXPECT_EQ(refused.error().code(), ErrorCode::unavailable);
    EXPECT_THAT(error_of(refused), HasSubstr("step 1: the step cannot be overwritten while somebody has it open: 1"));
  }
  EXPECT_EQ(manager.counters().started, 1u);
  reader.reset();

  Stop stop(*hooks, Operation::rename, "1");
  ASSERT_TRUE(manager.save(1, state(5), overwrite).value());
  stop.gate.wait_for_arrival();
  reader = StepReader::open({.store = disk.get()}, "1").value();
  stop.gate.open();
  EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::unavailable);
  reader.reset();
  EXPECT_HOLDS(manager, 1, tree_of(1));
  ASSERT_TRUE(manager.save(1, state(5), overwrite).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, 1, tree_of(5));
}

TEST_F(Overwrite, OfWhatIsNoStepIsRefusedAtOnce) {
  auto manager = open_manager(options());
  EXPECT_OK(disk->make_directory("7"));
  const auto refused = manager.save(7, state(7), overwrite);
  EXPECT_EQ(refused.error().code(), ErrorCode::already_exists);
  EXPECT_THAT(error_of(refused), HasSubstr("step 7: 7 is not a step"));
  EXPECT_EQ(manager.counters().started, 0u);
}

}  // namespace
}  // namespace milepost::testing
