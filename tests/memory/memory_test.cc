// Every single allocation of everything that a manager does fails, once or with all that follow, in whatever thread it
// is made. Nothing ends the process, hangs, or keeps a descriptor or a thread; what is not done says so, with no_space;
// older steps stay as they were; and with memory back the next save works.
#include "tests/memory/survival.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {
namespace {

using namespace std::chrono_literals;

const std::vector<Setting> one_setting = {{SnapshotMode::copy, Codec::fast()}};

// What the caller makes is the caller's: only the calls themselves run out of memory.
void save_step_3(CheckpointManager& manager, AllocationFaults& faults, Complaints& complaints, SaveOptions options,
                 bool with_fences = true) {
  const Items items{{"state", tree_of_step(3)}};
  const ItemsView view(items);
  const auto& large = *items[0].tree.find("large")->get_if<Tensor>();
  faults.start();
  const auto saved = manager.save(3, view, std::move(options));
  if (with_fences) {
    manager.fence(large.data(), large.byte_count() / 3);
    manager.fence();
  }
  const auto finished = manager.wait_until_finished(60s);
  faults.stop();
  manager.fence();  // the state goes, and a save that hangs still reads it
  complaints.unless_for_memory("the save", saved);
  complaints.unless_for_memory("waiting", finished);
  if (saved.has_error() || finished.has_error()) return;
  const std::string differs = difference_to_saved(manager, 3, tree_of_step(3));
  complaints.unless(differs.empty(), "a save was acknowledged: " + differs);
}

void save_step_3(CheckpointManager& manager, AllocationFaults& faults, Complaints& complaints) {
  save_step_3(manager, faults, complaints, {.force = true});
}

// A store without memory for the rename that commits, which takes it for done.
class ForgetfulStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<void> rename_no_replace(const std::string& from, const std::string& to) override {
    const std::string name = to;
    AllocationFaults faults(0, false);
    faults.start();
    try {
      return ForwardingStore::rename_no_replace(from, name);
    } catch (const std::bad_alloc&) {
      return {};
    }
  }
};

TEST(Memory, ACommitThatOnlySeemsToBeIsFound) {
  SavedSteps steps({});
  steps.options.store =
      std::make_shared<ForgetfulStore>(PosixStore::open(steps.path(), {.backend = available_io_backend()}).value());
  Complaints complaints;
  constexpr std::uint64_t none = ~std::uint64_t{0};
  survives(
      steps, none, false, [](auto&... all) { save_step_3(all...); }, complaints);
  EXPECT_NE(complaints.text().find("a save was acknowledged: "), std::string::npos) << complaints.text();
}

TEST(Memory, OfASave) {
  expect_survival("a save", all_settings(), [](auto&... all) { save_step_3(all...); });
}

// Nobody helps to capture what no worker could be called for.
TEST(Memory, OfASaveThatIsOnlyWaitedFor) {
  const std::vector<Setting> settings = {
      {SnapshotMode::lazy, Codec::none()}, {SnapshotMode::cow, Codec::none()}, {SnapshotMode::borrow, Codec::none()}};
  expect_survival("a save without a fence", settings,
                  [](auto&... all) { save_step_3(all..., {.force = true}, false); });
}

TEST(Memory, OfAnOverwrite) {
  expect_survival("an overwrite", one_setting, [](CheckpointManager& manager, AllocationFaults& faults, Complaints& c) {
    c.error_of("the first", manager.save(3, {{"state", tree_of_step(3)}}, {.overwrite = true}));
    c.error_of("its end", manager.wait_until_finished());
    save_step_3(manager, faults, c, {.overwrite = true});
  });
}

TEST(Memory, OfClosingWithASaveInFlight) {
  const auto deed = [](CheckpointManager&, AllocationFaults& faults, Complaints& complaints, const SavedSteps& steps) {
    auto manager = open_manager(steps.options, steps.path() + "-other");
    complaints.error_of("saving", manager.save(3, {{"state", tree_of_step(3)}}, {.overwrite = true}));
    faults.start();
    const auto closed = manager.close();
    std::optional<CheckpointManager> goes(std::move(manager));
    goes.reset();
    faults.stop();
    complaints.unless_for_memory("closing", closed);
  };
  std::size_t count = 0;
  for (const bool forever : {false, true}) {
    SavedSteps steps(one_setting[0]);
    const std::string found = fail_each(
        [&](std::uint64_t nth, Complaints& complaints) {
          return survives(
              steps, nth, forever, [&](auto& manager, auto& faults, auto& all) { deed(manager, faults, all, steps); },
              complaints);
        },
        count);
    EXPECT_EQ(found, "");
  }
  report_trials("allocations that fail in closing", count);
}

TEST(Memory, OfRetention) {
  for (const bool background : {false, true}) {
    expect_survival(
        background ? "retention in the background" : "retention", one_setting,
        [](CheckpointManager& manager, AllocationFaults& faults, Complaints& complaints) {
          // Step 1 is there for the first trial; then each one makes its own.
          complaints.error_of("an old step", manager.save(1, {{"state", tree_of_step(1)}}, {.overwrite = true}));
          complaints.error_of("its end", manager.wait_until_finished());
          save_step_3(manager, faults, complaints);
        },
        [&](SavedSteps& steps) {
          steps.options.preservation_policy = CustomSteps{{2}};
          steps.options.enable_background_delete = background;
          steps.options.deletion_threads = 2;
        });
  }
}

// In fresh memory and in place, everything and parts, checked first or not.
TEST(Memory, OfARestore) {
  const std::vector<Setting> settings = {{SnapshotMode::copy, Codec::none()},
                                         {SnapshotMode::copy, Codec::fast()},
                                         {SnapshotMode::copy, Codec::fast(), IoBackend::threads}};
  expect_survival("a restore", settings,
                  [](CheckpointManager& manager, AllocationFaults& faults, Complaints& complaints) {
                    RestoreOptions everything{.verify_first = true};
                    RestoreOptions in_place{
                        .items = {{.name = "state", .target = target_like(tree_of_step(2), Layout::transposed)}}};
                    Tree target = target_like(tree_of_step(2), Layout::packed);
                    faults.start();
                    auto restored = manager.restore(2, std::move(everything));
                    auto placed = manager.restore(2, std::move(in_place));
                    const auto latest = manager.restore_latest(target);
                    faults.stop();
                    complaints.unless_for_memory("a restore", restored);
                    complaints.unless_for_memory("a restore in place", placed);
                    complaints.unless_for_memory("the latest", latest);
                    const Tree& saved = tree_of_step(2);
                    if (restored.has_value())
                      complaints.unless(difference(saved, restored->tree()).empty(), "restored wrongly");
                    if (placed.has_value())
                      complaints.unless(difference(saved, placed->tree()).empty(), "placed wrongly");
                    if (latest.has_value()) complaints.unless(difference(saved, target).empty(), "the latest is wrong");
                  });
}

TEST(Memory, OfLooking) {
  expect_survival("looking", one_setting,
                  [](CheckpointManager& manager, AllocationFaults& faults, Complaints& complaints) {
                    faults.start();
                    const auto steps = manager.all_steps(true);
                    const auto best = manager.best_step();
                    const auto plan = manager.preservation_plan();
                    const auto metadata = manager.metadata(2);
                    const auto metrics = manager.metrics(2);
                    const auto decision = manager.save_decision(9);
                    auto reader = manager.open_step(2);
                    const auto damage = reader.has_value() ? reader->verify() : Result<std::vector<Damage>>();
                    static_cast<void>(manager.last_save());
                    static_cast<void>(manager.should_save(9));
                    static_cast<void>(manager.latest_step());
                    faults.stop();
                    complaints.unless_for_memory("listing", steps);
                    complaints.unless_for_memory("the best", best);
                    complaints.unless_for_memory("planning", plan);
                    complaints.unless_for_memory("metadata", metadata);
                    complaints.unless_for_memory("metrics", metrics);
                    complaints.unless_for_memory("deciding", decision);
                    complaints.unless_for_memory("opening a step", reader);
                    complaints.unless_for_memory("verifying", damage);
                    if (damage.has_error()) return;
                    for (const Damage& place : *damage)
                      complaints.unless_for_memory("damage", Result<void>(place.error));
                  });
}

void open_twice(AllocationFaults& faults, Complaints& complaints, IoBackend backend) {
  const TempDir fresh(parent_in_memory());
  const std::string path = fresh.string() + "/steps";
  for (const bool again : {false, true}) {
    auto options = small_options();
    options.max_to_keep = 2;
    options.io_backend = backend;
    faults.start();
    auto opened = CheckpointManager::open(path, std::move(options));
    faults.stop();
    complaints.unless_for_memory(again ? "opening again" : "opening", opened);
    if (opened.has_error()) continue;
    complaints.error_of("a save", opened->save(1, {{"state", tree_of_step(1)}}, {.overwrite = true}));
    complaints.error_of("its end", opened->close());
  }
}

TEST(Memory, OfOpening) {
  expect_survival("opening", one_setting, [](CheckpointManager&, AllocationFaults& faults, Complaints& complaints) {
    open_twice(faults, complaints, IoBackend::threads);
  });
}

// Asio's service for io_uring, interrupted while it is made, loses its ring and its event descriptor.
constexpr std::size_t lost_by_asio_max = 4;

TEST(Memory, OfOpeningWithIoUring) {
  if (available_io_backend() != IoBackend::io_uring) GTEST_SKIP() << "io_uring is forbidden here";
  expect_survival(
      "opening with io_uring", one_setting,
      [](CheckpointManager&, AllocationFaults& faults, Complaints& complaints) {
        open_twice(faults, complaints, IoBackend::io_uring);
      },
      [](SavedSteps& steps) { steps.descriptors_lost_max = lost_by_asio_max; });
}

// Which makes the ring, and does without where that fails.
TEST(Memory, OfTheFirstSaveOfAManager) {
  expect_survival(
      "a first save", one_setting, [](auto&... all) { save_step_3(all...); },
      [](SavedSteps& steps) {
        steps.options.io_backend = IoBackend::automatic;
        steps.descriptors_lost_max = lost_by_asio_max;
      });
}

}  // namespace
}  // namespace milepost::testing
