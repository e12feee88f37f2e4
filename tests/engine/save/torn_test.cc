// Thousands of saves, each of whose buffers are overwritten at the first moment at which the contract allows it: what
// comes back is the state of the call, and holds not one byte of what was written later.
#include "tests/engine/saving.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <string>

namespace milepost::testing {
namespace {

// Returns when the state may change, and may have changed parts of it already.
using AwaitLeave = std::function<void(CheckpointManager&, const Tree&)>;

void at_once(CheckpointManager&, const Tree&) {}
void after_fence(CheckpointManager& manager, const Tree&) { manager.fence(); }
void after_capture(CheckpointManager& manager, const Tree&) {
  EXPECT_TRUE(manager.wait_until(SaveEvent::captured).value());
}

// Leaf by leaf, as an optimizer updates them. For trees without negative strides.
void leaf_by_leaf(CheckpointManager& manager, const Tree& tree) {
  for_each_leaf(tree, [&](const std::string&, const Tree& leaf) {
    const auto* tensor = leaf.get_if<Tensor>();
    if (!tensor) return;
    manager.fence(tensor->data(), tensor->byte_count());
    scribble(leaf);
  });
}

std::string torn_by(CheckpointManager& manager, std::int64_t step, const Tree& tree, SaveOptions options,
                    const AwaitLeave& await_leave) {
  const Tree expected = deep_copy(tree);
  const auto saved = manager.save(step, {{"state", tree}}, std::move(options));
  if (saved.has_error()) return error_of(saved);
  await_leave(manager, tree);
  scribble(tree);
  const auto finished = manager.wait_until_finished();
  if (finished.has_error()) return error_of(finished);
  return difference_to_saved(manager, step, expected);
}

// A few chunks, packed and strided, large and small.
Tree mid_size_tree(std::uint64_t seed) {
  Tree tree = small_tree(seed);
  tree["large"] = make_tensor(DType::f32, {200000}, Layout::packed, seed);
  tree["strided"] = make_tensor(DType::bf16, {100, 300}, Layout::transposed, seed);
  for (int i = 0; i < 20; ++i) tree["many"][std::to_string(i)] = make_tensor(DType::f32, {500}, Layout::packed, seed);
  return tree;
}

// More than all the staging memory.
Tree streaming_tree(std::uint64_t seed) {
  Tree tree;
  for (std::uint64_t i = 0; i < 5; ++i) {
    tree[std::to_string(i)] = make_tensor(DType::f32, {4 << 20}, Layout::packed, seed + i);
  }
  return tree;
}

TEST(Torn, IsNoticed) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(hooks));
  Stop stop(*hooks, Operation::make_directory);
  const SaveOptions borrowed{.mode = SnapshotMode::borrow};
  const std::string torn = torn_by(manager, 1, small_tree(1), borrowed, [&](CheckpointManager&, const Tree& tree) {
    scribble(tree);  // too early: nothing has been read
    stop.gate.open();
  });
  EXPECT_NE(torn, "");
}

TEST(Torn, NoSaveIs) {
  const TempDir root(parent_in_memory());
  auto options = small_options();
  options.max_to_keep = 1;
  auto manager = open_manager(options, root.string());
  std::mt19937_64 random(seed());
  const auto count = trials<std::int64_t>(100, 10'000);
  for (std::int64_t step = 0; step < count; ++step) {
    const auto mode = all_modes[static_cast<std::size_t>(step) % std::size(all_modes)];
    const Codec codec = random() % 2 == 0 ? Codec::none() : Codec::fast();
    const bool streaming = in_full() && step % 1000 == 0;
    const bool mid_size = !streaming && random() % 4 == 0;
    const Tree tree = streaming           ? streaming_tree(random())
                      : mid_size          ? mid_size_tree(random())
                      : random() % 2 == 0 ? small_tree(random())
                                          : random_tree(random());
    AwaitLeave await_leave = at_once;
    const bool needs_fence = mode == SnapshotMode::lazy || mode == SnapshotMode::borrow;
    if (needs_fence) await_leave = random() % 2 == 0 ? after_fence : after_capture;
    if (needs_fence && (mid_size || streaming) && random() % 2 == 0) await_leave = leaf_by_leaf;
    ASSERT_EQ(torn_by(manager, step, tree, {.mode = mode, .codec = codec}, await_leave), "")
        << "step " << step << ", " << to_string(mode) << ", " << codec.to_string() << ", seed " << seed();
  }
  EXPECT_OK(manager.close());
  report_trials("saves whose state changes at once", static_cast<std::size_t>(count));
}

}  // namespace
}  // namespace milepost::testing
