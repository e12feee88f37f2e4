// An older step in place of one that cannot be restored: only when asked for, with the reason, and nothing is removed.
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/restore/resealing.h"
#include "tests/engine/saving.h"
#include "tests/engine/trees.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

namespace milepost::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const RestoreOptions with_fallback = {.fallback = true};

FileBytes flipped(FileBytes bytes) {
  bytes.back() ^= std::byte{1};
  return bytes;
}

// Steps 1, 2 and 3, and a manager that only reads.
class Fallback : public ::testing::Test {
 protected:
  Fallback() {
    CheckpointManager writer = open_manager(small_options(files_));
    save_all(writer, {1, 2, 3});
  }

  void damage(const std::vector<std::string>& paths) {
    Damaged damaged;
    for (const std::string& path : paths) damaged.emplace(path, flipped(read_file(*files_, path, 1 << 20).value()));
    store_->damage(std::move(damaged));
  }

  const std::shared_ptr<SimulatedStore> files_ = std::make_shared<SimulatedStore>();
  const std::shared_ptr<DamagedStore> store_ = std::make_shared<DamagedStore>(files_);
  CheckpointManager manager_ = open_manager(small_options(store_));
};

TEST_F(Fallback, HappensOnlyWhenAskedFor) {
  damage({"3/state/data-0.bin"});
  for (const auto& error : {error_of(manager_.restore()), error_of(manager_.restore(3))}) {
    EXPECT_THAT(error, AllOf(HasSubstr("step 3: item state: leaf"), HasSubstr("3/state/data-0.bin@")));
  }
  Tree target = target_like(tree_of(1), Layout::packed);
  EXPECT_THAT(error_of(manager_.restore_latest(target)), HasSubstr("step 3"));

  const FileMap before = read_files(*files_, "3");
  auto restored = manager_.restore(std::nullopt, with_fallback);
  ASSERT_EQ(error_of(restored), "");
  EXPECT_EQ(restored->step, 2);
  EXPECT_EQ(difference(tree_of(2), restored->tree()), "");
  ASSERT_EQ(restored->skipped.size(), 1u);
  EXPECT_EQ(restored->skipped[0].step, 3);
  EXPECT_EQ(restored->skipped[0].reason.code(), ErrorCode::corruption);
  EXPECT_THAT(restored->skipped[0].reason.to_string(), HasSubstr("3/state/data-0.bin@"));
  EXPECT_THAT(manager_.all_steps(true).value(), ElementsAre(1, 2, 3));
  EXPECT_EQ(read_files(*files_, "3"), before);
}

TEST_F(Fallback, IsNotNeededForAGoodStep) {
  auto restored = manager_.restore(std::nullopt, with_fallback);
  ASSERT_EQ(error_of(restored), "");
  EXPECT_EQ(restored->step, 3);
  EXPECT_THAT(restored->skipped, IsEmpty());
}

TEST_F(Fallback, PassesOverWhateverCannotBeRead) {
  const std::string newer = [&] {
    std::string body = text_of(read_file(*files_, "3/step.json", 1 << 20).value());
    body = body.substr(body.find('\n') + 1);
    replace_all(body, "\"major\":1", "\"major\":2");
    return sealed_record(body);
  }();
  const std::map<std::string, Damaged> cases = {
      {"3/step.json", {{"3/step.json", FileBytes(100)}}},
      {"3/state/manifest.json", {{"3/state/manifest.json", std::nullopt}}},
      {"3/state/chunks-0.bin", {{"3/state/chunks-0.bin", FileBytes()}}},
      {"version 2", {{"3/step.json", bytes_of(newer)}}},
  };
  for (const auto& [reason, damaged] : cases) {
    SCOPED_TRACE(reason);
    store_->damage(damaged);
    auto restored = manager_.restore(std::nullopt, with_fallback);
    ASSERT_EQ(error_of(restored), "");
    EXPECT_EQ(restored->step, 2);
    ASSERT_EQ(restored->skipped.size(), 1u);
    EXPECT_THAT(restored->skipped[0].reason.to_string(), HasSubstr(reason));
  }
  store_->damage({});
  const auto faults = std::make_shared<FaultStore>(files_);
  CheckpointManager manager = open_manager(small_options(faults));
  faults->inject({.forever = true, .operations = {Operation::read}, .path_contains = "3/state/data"});
  auto restored = manager.restore(std::nullopt, with_fallback);
  ASSERT_EQ(error_of(restored), "");
  EXPECT_EQ(restored->step, 2);
  EXPECT_EQ(restored->skipped.at(0).reason.code(), ErrorCode::io);
}

TEST_F(Fallback, ReachesAnyStepAndSaysWhyNoneIsLeft) {
  damage({"3/state/data-0.bin", "2/step.json"});
  auto restored = manager_.restore(std::nullopt, with_fallback);
  ASSERT_EQ(error_of(restored), "");
  EXPECT_EQ(restored->step, 1);
  ASSERT_EQ(restored->skipped.size(), 2u);
  EXPECT_EQ(restored->skipped[0].step, 3);
  EXPECT_EQ(restored->skipped[1].step, 2);

  damage({"3/state/data-0.bin", "2/step.json", "1/state/manifest.json"});
  const auto none = manager_.restore(std::nullopt, with_fallback);
  ASSERT_TRUE(none.has_error());
  EXPECT_EQ(none.error().code(), ErrorCode::corruption);
  EXPECT_THAT(none.error().to_string(), AllOf(HasSubstr("none of the 3 steps"), HasSubstr("3/state/data-0.bin"),
                                              HasSubstr("2/step.json"), HasSubstr("1/state/manifest.json")));
  CheckpointManager empty = open_manager(small_options(std::make_shared<SimulatedStore>()));
  EXPECT_EQ(empty.restore(std::nullopt, with_fallback).error().code(), ErrorCode::not_found);
}

// In place: what the damaged step had already put into the target is overwritten by the older one.
TEST_F(Fallback, FillsTheWholeTarget) {
  damage({"3/state/data-0.bin"});
  const Tree target = target_like(tree_of(1), Layout::sliced);
  RestoreOptions options = with_fallback;
  options.items = {{.name = "state", .target = target}};
  auto restored = manager_.restore(std::nullopt, options);
  ASSERT_EQ(error_of(restored), "");
  EXPECT_EQ(difference(tree_of(2), restored->tree()), "");
  for_each_leaf(target, [&](const std::string& path, const Tree& leaf) {
    if (const auto* tensor = leaf.get_if<Tensor>()) {
      EXPECT_EQ(difference(*restored->tree().find(path), Tree(*tensor)), "") << path;
    }
  });
}

TEST_F(Fallback, IsNoAnswerToAWrongCall) {
  damage({"2/state/data-0.bin"});
  const auto error = [&](RestoreOptions options, std::optional<std::int64_t> step = std::nullopt) {
    options.fallback = true;
    const auto restored = manager_.restore(step, options);
    EXPECT_TRUE(restored.has_error());
    return restored.has_error() ? restored.error() : Error();
  };
  EXPECT_EQ(error({.items = {{.name = "other"}}}).code(), ErrorCode::not_found);
  EXPECT_EQ(error({.items = {{.name = "state", .target = Tree(true)}}}).code(), ErrorCode::structure_mismatch);
  EXPECT_EQ(error({.items = {{.name = "state", .select = {"nothing"}}}}).code(), ErrorCode::not_found);
  EXPECT_EQ(error({}, 3).code(), ErrorCode::invalid_argument);
  const auto thrown = error({.on_progress = [](const Progress&) { throw std::runtime_error("enough"); }});
  EXPECT_THAT(thrown.to_string(), AllOf(HasSubstr("step 3"), HasSubstr("enough")));
  const auto opened = manager_.open_step(3)->restore(with_fallback);
  ASSERT_TRUE(opened.has_error());
  EXPECT_EQ(opened.error().code(), ErrorCode::invalid_argument);
}

// Not passed over, but gone: the directory is looked at again.
TEST_F(Fallback, DoesNotBlameAStepThatIsRemovedMeanwhile) {
  const auto hooks = std::make_shared<HookStore>(files_);
  CheckpointManager manager = open_manager(small_options(hooks));
  CheckpointManager other = open_manager(small_options(files_));
  const Meanwhile meanwhile(*hooks, Operation::lock, "3", [&] { EXPECT_OK(other.delete_step(3)); });
  auto restored = manager.restore(std::nullopt, with_fallback);
  ASSERT_EQ(error_of(restored), "");
  EXPECT_TRUE(meanwhile.happened());
  EXPECT_EQ(restored->step, 2);
  EXPECT_THAT(restored->skipped, IsEmpty());
}

TEST_F(Fallback, InAnotherDirectory) {
  const TempDir dir;
  {
    CheckpointManager writer = open_manager(small_options(), dir.string());
    save_all(writer, {4, 5});
  }
  std::filesystem::resize_file(dir.path() / "5/state/data-0.bin", 10);
  RestoreOptions options = with_fallback;
  options.directory = dir.string();
  auto restored = manager_.restore(std::nullopt, options);
  ASSERT_EQ(error_of(restored), "");
  EXPECT_EQ(restored->step, 4);
  ASSERT_EQ(restored->skipped.size(), 1u);
  EXPECT_EQ(restored->skipped[0].step, 5);
}

}  // namespace
}  // namespace milepost::testing
