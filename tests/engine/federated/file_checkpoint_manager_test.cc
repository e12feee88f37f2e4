// Simulation checkpoints: the façade's own rules; all else is that of program state.
#include "milepost/engine/federated/file_checkpoint_manager.h"

#include "tests/engine/federated/program_states.h"
#include "tests/engine/hook_store.h"
#include "tests/engine/small_steps.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <utility>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

FileCheckpointManagerOptions small_checkpoints(std::shared_ptr<Store> store = nullptr) {
  FileCheckpointManagerOptions options;
  options.staging_bytes = staging_bytes_min;
  options.worker_threads = 2;
  options.store = std::move(store);
  return options;
}

std::vector<std::string> rounds_in(Store& store) {
  std::vector<std::string> names;
  for (const std::string& name : names_in(store)) {
    if (name != "milepost.json") names.push_back(name);
  }
  return names;
}

TEST(FileCheckpointManager, DoesNothingBeforeItHasTo) {
  const TempDir dir;
  const std::string root = dir.string() + "/rounds";
  FileCheckpointManager manager(root, small_checkpoints());
  EXPECT_FALSE(manager.load_latest_checkpoint(structure()).value().has_value());
  expect_error(manager.load_checkpoint(structure(), 1), ErrorCode::not_found, {"step 1"});
  EXPECT_FALSE(fs::exists(root)) << "loading makes no directory";
  EXPECT_TRUE(manager.save_checkpoint(state_of(1), 1).value());
  EXPECT_TRUE(fs::exists(root + "/ckpt_1"));
  EXPECT_EQ(difference_to_state(manager.load_checkpoint(structure(), 1), 1), "");

  FileCheckpointManager reader(root, small_checkpoints());
  EXPECT_EQ(reader.load_latest_checkpoint(structure()).value()->round, 1);
  EXPECT_TRUE(manager.save_checkpoint(state_of(2), 2).value());
  EXPECT_EQ(reader.load_latest_checkpoint(structure()).value()->round, 2) << "somebody else saved";
  EXPECT_TRUE(reader.save_checkpoint(state_of(3), 3).value()) << "and now it saves, too";
  EXPECT_EQ(difference_to_state(manager.load_checkpoint(structure(), 3), 3), "");
}

TEST(FileCheckpointManager, SavesTheDefaultIfThereIsNothing) {
  const auto disk = std::make_shared<SimulatedStore>();
  FileCheckpointManager manager("simulated", small_checkpoints(disk));
  const auto first = manager.load_latest_checkpoint_or_default(state_of(8)).value();
  EXPECT_EQ(first.round, 0);
  EXPECT_EQ(difference_to_state(first.state, 8), "");
  EXPECT_EQ(difference_to_state(manager.load_checkpoint(structure(), 0), 8), "");
  EXPECT_TRUE(manager.save_checkpoint(state_of(2), 2).value());
  const auto second = manager.load_latest_checkpoint_or_default(state_of(9)).value();
  EXPECT_EQ(second.round, 2);
  EXPECT_EQ(difference_to_state(second.state, 2), "");
}

TEST(FileCheckpointManager, SomebodyElseMaySaveTheDefaultFirst) {
  for (const Operation moment : {Operation::make_directory, Operation::rename}) {
    const auto disk = std::make_shared<SimulatedStore>();
    FileCheckpointManager faster("simulated", small_checkpoints(disk));
    const auto hooks = std::make_shared<HookStore>(disk);
    bool happened = false;
    hooks->before([&](Operation operation, const std::string&) {
      if (operation != moment || std::exchange(happened, true)) return;
      EXPECT_TRUE(faster.save_checkpoint(state_of(8), 0).value());
    });
    FileCheckpointManager manager("simulated", small_checkpoints(hooks));
    const auto latest = manager.load_latest_checkpoint_or_default(state_of(9));
    ASSERT_TRUE(latest.has_value()) << error_of(latest);
    EXPECT_TRUE(happened);
    EXPECT_EQ(latest->round, 0);
    EXPECT_EQ(difference_to_state(latest->state, 8), "");
  }
  // What only has the name of a round is no checkpoint to wait for.
  const auto disk = std::make_shared<SimulatedStore>();
  EXPECT_OK(disk->make_directory("ckpt_0"));
  FileCheckpointManager manager("simulated", small_checkpoints(disk));
  expect_error(manager.load_latest_checkpoint_or_default(state_of(9)), ErrorCode::already_exists, {"ckpt_0"});
}

TEST(FileCheckpointManager, SavesEveryStepRounds) {
  const auto disk = std::make_shared<SimulatedStore>();
  auto options = small_checkpoints(disk);
  options.prefix = "round-";
  options.step = 3;
  FileCheckpointManager manager("simulated", options);
  for (std::int64_t round = 0; round < 8; ++round) {
    EXPECT_EQ(manager.save_checkpoint(state_of(round), round).value(), round % 3 == 0);
  }
  EXPECT_THAT(rounds_in(*disk), ElementsAre("round-0", "round-3", "round-6"));
  expect_error(manager.save_checkpoint(state_of(3), 3), ErrorCode::already_exists, {"step 3"});
  EXPECT_THAT(rounds_in(*disk), ElementsAre("round-0", "round-3", "round-6")) << "nothing stays behind";
}

// The original deletes nothing at all with keep_total = 1 and keep_first, and takes a name without digits for round -1.
TEST(FileCheckpointManager, KeepsTheFirstAndTheLatest) {
  struct Case {
    std::int64_t keep_total;
    bool keep_first;
    std::vector<std::string> left;
  };
  for (const Case& c :
       {Case{5, true, {"ckpt_1", "ckpt_4", "ckpt_5", "ckpt_6", "ckpt_7"}}, Case{2, true, {"ckpt_1", "ckpt_7"}},
        Case{1, true, {"ckpt_1", "ckpt_7"}}, Case{2, false, {"ckpt_6", "ckpt_7"}}, Case{1, false, {"ckpt_7"}},
        Case{0, false, {"ckpt_1", "ckpt_2", "ckpt_3", "ckpt_4", "ckpt_5", "ckpt_6", "ckpt_7"}},
        Case{-1, true, {"ckpt_1", "ckpt_2", "ckpt_3", "ckpt_4", "ckpt_5", "ckpt_6", "ckpt_7"}}}) {
    const auto disk = std::make_shared<SimulatedStore>();
    EXPECT_OK(disk->make_directory("ckpt_best"));
    auto options = small_checkpoints(disk);
    options.keep_total = c.keep_total;
    options.keep_first = c.keep_first;
    FileCheckpointManager manager("simulated", options);
    EXPECT_FALSE(manager.load_latest_checkpoint(structure()).value().has_value());
    for (std::int64_t round = 1; round <= 7; ++round) EXPECT_TRUE(manager.save_checkpoint(Tree(round), round).value());
    auto expected = c.left;
    expected.push_back("ckpt_best");
    EXPECT_EQ(rounds_in(*disk), expected) << c.keep_total << c.keep_first;
  }
}

TEST(FileCheckpointManager, RefusesWhatIsWrongWhenItIsUsed) {
  const auto disk = std::make_shared<SimulatedStore>();
  struct Case {
    const char* part;
    FileCheckpointManagerOptions options;
  };
  std::vector<Case> cases(3, {"", small_checkpoints(disk)});
  cases[0].part = "step is 0";
  cases[0].options.step = 0;
  cases[1].part = "prefix";
  cases[1].options.prefix = "round7";
  cases[2].part = "root_dir is empty";
  cases[2].options.store = nullptr;
  for (Case& c : cases) {
    FileCheckpointManager manager("", c.options);
    expect_error(manager.load_checkpoint(structure(), 1), ErrorCode::invalid_argument, {c.part});
    expect_error(manager.load_latest_checkpoint(structure()), ErrorCode::invalid_argument, {c.part});
    expect_error(manager.load_latest_checkpoint_or_default(structure()), ErrorCode::invalid_argument, {c.part});
    expect_error(manager.save_checkpoint(structure(), 1), ErrorCode::invalid_argument, {c.part});
  }
  auto options = small_checkpoints(disk);
  options.step = 2;
  FileCheckpointManager manager("simulated", options);
  for (const std::int64_t round : {-1, -2}) {
    expect_error(manager.save_checkpoint(structure(), round), ErrorCode::invalid_argument, {"negative"});
  }
  expect_error(manager.load_checkpoint(structure(), 1), ErrorCode::not_found, {"step 1"});
  EXPECT_TRUE(manager.save_checkpoint(state_of(2), 2).value());
  expect_error(manager.load_checkpoint(Tree(1), 2), ErrorCode::structure_mismatch, {"step 2", "(root)"});
  expect_error(manager.load_latest_checkpoint_or_default(Tree(1)), ErrorCode::structure_mismatch, {"step 2"});
}

}  // namespace
}  // namespace milepost::testing
