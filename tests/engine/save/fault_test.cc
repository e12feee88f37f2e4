// Every operation of a save fails once, or from then on: the error is told, nothing is lost, nothing is
// claimed that is not so, and saving goes on when the fault is gone.
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <optional>
#include <random>

namespace milepost::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Items three_items(std::int64_t step) {
  const auto seed = static_cast<std::uint64_t>(step);
  return {{"model", small_tree(seed)}, {"optimizer", small_tree(seed + 100)}, {"nothing", Tree::map()}};
}

void expect_holds(CheckpointManager& manager, std::int64_t step) {
  auto restored = manager.restore(step);
  ASSERT_TRUE(restored.has_value()) << restored.error().to_string();
  for (const Item& item : three_items(step))
    EXPECT_EQ(difference(item.tree, restored->tree(item.name)), "") << "step " << step;
}

struct SaveVariant {
  int system_errno;
  bool forever;
  bool takes_effect;
  SnapshotMode mode;
  Codec codec;
};

class FaultOfEveryOperation : public ::testing::TestWithParam<SaveVariant> {};

// Step 3 is saved with the Nth operation failing, retention of step 1 included.
TEST_P(FaultOfEveryOperation, LosesNothingAndIsTold) {
  const SaveVariant variant = GetParam();
  for (std::uint64_t n = 0;; ++n) {
    SCOPED_TRACE("operation " + std::to_string(n));
    auto disk = std::make_shared<SimulatedStore>();
    auto faults = std::make_shared<FaultStore>(disk);
    auto options = small_options(faults);
    options.max_to_keep = 2;
    options.mode = variant.mode;
    options.codec = variant.codec;
    auto manager = open_manager(options);
    for (const std::int64_t step : {1, 2}) ASSERT_TRUE(manager.save(step, three_items(step)).value());
    ASSERT_TRUE(manager.wait_until_finished().has_value());

    faults->inject({.system_errno = variant.system_errno,
                    .after = n,
                    .forever = variant.forever,
                    .takes_effect = variant.takes_effect});
    std::optional<Error> error;
    if (auto saved = manager.save(3, three_items(3)); saved.has_error()) {
      error = saved.error();
    } else if (auto waited = manager.wait_until_finished(); waited.has_error()) {
      error = waited.error();
      const auto again = manager.check_for_errors();
      EXPECT_TRUE(again.has_error() && again.error().to_string() == error->to_string());
    }
    const bool fired = faults->faults_fired() > 0;
    faults->heal();

    std::string operation;
    for (const LoggedOperation& entry : faults->log()) {
      if (entry.failed_on_purpose && operation.empty())
        operation = std::string(to_string(entry.operation)) + " " + entry.path;
    }
    SCOPED_TRACE(operation);
    EXPECT_THAT(faults->violations(), IsEmpty());
    if (fired) {
      ASSERT_TRUE(error.has_value()) << "nobody was told";
      const bool no_space = variant.system_errno == ENOSPC || variant.system_errno == EDQUOT;
      EXPECT_EQ(error->code(), no_space ? ErrorCode::no_space : ErrorCode::io) << error->to_string();
      EXPECT_EQ(error->system_errno(), variant.system_errno);
      EXPECT_THAT(error->to_string(), HasSubstr("step 3"));
    } else {
      EXPECT_FALSE(error.has_value()) << error->to_string();
    }

    // Whatever is listed is whole.
    const auto steps = manager.all_steps(true).value();
    EXPECT_THAT(steps, Contains(2));
    if (!error) {
      EXPECT_THAT(steps, Contains(3));
    }
    for (const std::int64_t step : steps) expect_holds(manager, step);

    const auto saved = manager.save(4, three_items(4));
    ASSERT_TRUE(saved.has_value()) << saved.error().to_string();
    const auto waited = manager.wait_until_finished();
    ASSERT_TRUE(waited.has_value()) << waited.error().to_string();
    expect_holds(manager, 4);
    EXPECT_EQ(manager.latest_step(), 4);
    EXPECT_LE(manager.all_steps(true)->size(), 2u) << "retention goes on";

    // What could not be removed is swept.
    options.store = disk->after_process_death();
    auto next = open_manager(options);
    for (const DirectoryEntry& entry : options.store->list_directory("").value()) {
      EXPECT_FALSE(entry.name.starts_with(".")) << entry.name;
    }
    expect_holds(next, 4);
    if (!fired) {
      EXPECT_GT(n, 30u);
      break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Save, FaultOfEveryOperation,
                         ::testing::Values(SaveVariant{EIO, false, false, SnapshotMode::copy, Codec::fast()},
                                           SaveVariant{EIO, true, false, SnapshotMode::lazy, Codec::none()},
                                           SaveVariant{ENOSPC, false, true, SnapshotMode::borrow, Codec::zstd(1)},
                                           SaveVariant{ENOSPC, true, false, SnapshotMode::copy, Codec::none()},
                                           SaveVariant{EDQUOT, true, false, SnapshotMode::lazy, Codec::fast()},
                                           SaveVariant{EACCES, false, false, SnapshotMode::copy, Codec::none()}));

// A second operation fails: while the first failure is cleared away, in the next save, or when the directory is opened
// again.
TEST(Fault, OfASecondOperationLosesNothingEither) {
  std::mt19937_64 random(seed());
  const auto count = trials<std::size_t>(100, 5000);
  for (std::size_t i = 0; i < count && !HasFailure(); ++i) {
    SCOPED_TRACE("trial " + std::to_string(i));
    const auto disk = std::make_shared<SimulatedStore>();
    const auto faults = std::make_shared<FaultStore>(disk);
    auto options = small_options(faults);
    options.max_to_keep = 2;
    options.enable_background_delete = random() % 2 == 0;
    std::int64_t committed = 2;
    {
      auto manager = open_manager(options);
      for (const std::int64_t step : {1, 2}) ASSERT_TRUE(manager.save(step, three_items(step)).value());
      EXPECT_OK(manager.wait_until_finished());
      const int errnos[] = {EIO, ENOSPC, EDQUOT, EACCES};
      faults->inject({.system_errno = errnos[random() % 4],
                      .after = random() % 80,
                      .again_after = 1 + random() % 60,
                      .takes_effect = random() % 4 == 0});
      bool told = false;
      for (const std::int64_t step : {3, 4}) {
        const auto saved = manager.save(step, three_items(step), {.mode = all_modes[random() % std::size(all_modes)]});
        const auto waited = manager.wait_until_finished();
        const bool good = saved.has_value() && waited.has_value();
        if (good) committed = step;
        told = told || !good;
      }
      EXPECT_EQ(told, faults->faults_fired() > 0);
      faults->heal();
      const auto steps = manager.all_steps(true).value();
      EXPECT_GE(steps.back(), committed);
      EXPECT_GE(steps.size(), 2u);
      for (const std::int64_t step : steps) expect_holds(manager, step);
    }
    faults->inject({.after = random() % 40, .again_after = 1 + random() % 10});
    const bool opened = CheckpointManager::open("simulated", options).has_value();
    EXPECT_TRUE(opened || faults->faults_fired() > 0);
    EXPECT_THAT(faults->violations(), IsEmpty());

    const std::shared_ptr<SimulatedStore> next = disk->after_process_death();
    options.store = next;
    auto manager = open_manager(options);
    EXPECT_OK(manager.wait_until_finished());  // for the sweep
    for (const DirectoryEntry& entry : next->list_directory("").value()) EXPECT_FALSE(entry.name.starts_with("."));
    EXPECT_GE(manager.latest_step(), committed);
    for (const std::int64_t step : manager.all_steps().value()) expect_holds(manager, step);
    ASSERT_TRUE(manager.save(9, three_items(9)).value());
    EXPECT_OK(manager.wait_until_finished());
    expect_holds(manager, 9);
  }
  report_trials("pairs of failing operations", count);
}

// The same for opening: an error, and the next try works.
TEST(Fault, OfEveryOperationOfOpening) {
  for (const bool fresh : {true, false}) {
    for (std::uint64_t n = 0;; ++n) {
      SCOPED_TRACE("operation " + std::to_string(n));
      auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
      if (!fresh) {
        auto manager = open_manager(small_options(faults));
        ASSERT_TRUE(manager.save(1, three_items(1)).value());
        EXPECT_OK(manager.close());
        EXPECT_OK(faults->make_directory(".trash-9-01234567-89ab-4cde-8f01-23456789abcd"));
      }
      faults->inject({.after = n});
      const auto opened = CheckpointManager::open("simulated", small_options(faults));
      const bool fired = faults->faults_fired() > 0;
      if (opened.has_error()) {
        EXPECT_EQ(opened.error().code(), ErrorCode::io) << opened.error().to_string();
      }
      faults->heal();
      auto manager = open_manager(small_options(faults));
      if (!fresh) expect_holds(manager, 1);
      for (const DirectoryEntry& entry : faults->list_directory("").value())
        EXPECT_FALSE(entry.name.starts_with(".")) << entry.name;
      if (!fired) {
        EXPECT_TRUE(opened.has_value());
        break;
      }
    }
  }
}

// And for restoring: an error or the right content, never anything else.
TEST(Fault, OfEveryOperationOfRestoring) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(faults));
  ASSERT_TRUE(manager.save(1, three_items(1)).value());
  EXPECT_OK(manager.wait_until_finished());
  std::uint64_t fired = 0;
  for (std::uint64_t n = 0;; ++n) {
    faults->inject({.after = n});
    auto restored = manager.restore(1);
    const bool failed = faults->faults_fired() > fired;
    fired = faults->faults_fired();
    EXPECT_EQ(restored.has_error(), failed);
    if (restored.has_error()) {
      EXPECT_EQ(restored.error().code(), ErrorCode::io) << restored.error().to_string();
      EXPECT_THAT(restored.error().to_string(), HasSubstr("step 1"));
      continue;
    }
    for (const Item& item : three_items(1)) EXPECT_EQ(difference(item.tree, restored->tree(item.name)), "");
    EXPECT_GT(n, 10u);
    break;
  }
}

}  // namespace
}  // namespace milepost::testing
