// A disk lies: it drops, tears or misdirects writes, or reads what is elsewhere or was before. What is restored is
// right, or it is an error; and verify() finds whatever keeps a step from being restored.
#include "tests/engine/open_manager.h"
#include "tests/support/lying_store.h"
#include "tests/support/planted_bug.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

Items state(std::int64_t step) {
  Tree large = small_tree(static_cast<std::uint64_t>(step) + 100);
  large["more"] = make_tensor(DType::bf16, {100, 300}, Layout::packed, static_cast<std::uint64_t>(step));
  return {{"model", large}, {"optimizer", small_tree(static_cast<std::uint64_t>(step))}};
}

struct Found {
  std::size_t lies = 0;
  std::size_t refused = 0;  // the save, or what was restored of it
};

// What comes of step 2 is right, or nothing.
void expect_right_or_refused(CheckpointManager& manager, Found& found) {
  auto restored = manager.restore(2);
  auto reader = manager.open_step(2);
  const auto damage = reader.has_value() ? reader->verify() : Result<std::vector<Damage>>(reader.error());
  if (restored.has_error()) {
    ++found.refused;
    EXPECT_TRUE(damage.has_error() || !damage->empty()) << restored.error().to_string();
    return;
  }
  for (const Item& item : state(2)) EXPECT_EQ(difference(item.tree, restored->tree(item.name)), "");
}

// Saves two steps, and reads the second, with lies while that is written or while it is read.
void live_with_lies(Lie lie, const LyingStore::Choice& choice, Codec codec, Found& found) {
  const auto disk = std::make_shared<SimulatedStore>();
  const auto store = std::make_shared<LyingStore>(disk);
  auto options = small_options(store);
  options.codec = codec;
  auto manager = open_manager(options);
  EXPECT_TRUE(manager.save(1, state(1)).value());
  EXPECT_OK(manager.wait_until_finished());
  const bool of_writes = lie != Lie::misdirected_read && lie != Lie::stale_read;
  if (of_writes) store->lie(lie, choice);
  const auto saved = manager.save(2, state(2));
  const auto waited = manager.wait_until_finished();
  found.lies = store->told();
  store->lie(lie, {});
  if (saved.has_error() || waited.has_error()) {
    ++found.refused;
    return;
  }
  if (of_writes) return expect_right_or_refused(manager, found);

  store->lie(lie, choice, "1");
  auto restored = manager.restore(2);
  found.lies = store->told();
  store->lie(lie, {});
  if (restored.has_error()) {
    ++found.refused;
    return;
  }
  for (const Item& item : state(2)) EXPECT_EQ(difference(item.tree, restored->tree(item.name)), "");
}

const Codec codecs[] = {Codec::none(), Codec::fast(), Codec::zstd(1)};

TEST(LyingDisk, EveryLieIsNoticedOrMakesNoDifference) {
  std::size_t told = 0;
  std::size_t refused = 0;
  for (const Lie lie : lies) {
    for (const Codec& codec : codecs) {
      for (std::uint64_t n = 0;; ++n) {
        SCOPED_TRACE("lie " + std::to_string(static_cast<int>(lie)) + ", " + codec.to_string() + ", operation " +
                     std::to_string(n));
        Found found;
        live_with_lies(
            lie, [=](std::uint64_t operation) { return operation == n; }, codec, found);
        told += found.lies;
        refused += found.refused;
        if (found.lies == 0 || HasFailure()) break;
      }
    }
  }
  EXPECT_GT(refused, told / 2);
  report_trials("lies of a disk, each alone", told);
}

TEST(LyingDisk, ManyLies) {
  std::mt19937_64 random(seed());
  const auto count = trials<std::size_t>(60, 2000);
  std::size_t told = 0;
  for (std::size_t i = 0; i < count && !HasFailure(); ++i) {
    SCOPED_TRACE("trial " + std::to_string(i));
    const Lie lie = lies[random() % std::size(lies)];
    const std::uint64_t which = random();
    Found found;
    live_with_lies(
        lie, [=](std::uint64_t operation) { return (which >> operation % 64 & 1) != 0; }, codecs[random() % 3], found);
    told += found.lies;
  }
  report_trials("lies of a disk, many at once", told);
}

TEST(LyingDisk, WhatIsWrongIsNoticed) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  EXPECT_TRUE(manager.save(2, state(3)).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_TRUE(fails([&] {
    Found found;
    expect_right_or_refused(manager, found);
  }));
}

}  // namespace
}  // namespace milepost::testing
