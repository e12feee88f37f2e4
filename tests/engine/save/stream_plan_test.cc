// Where a stream is cut.
#include "milepost/engine/save/stream_plan.h"
#include "tests/engine/trees.h"

#include <gtest/gtest.h>

#include <vector>

namespace milepost::testing {
namespace {

std::vector<std::uint64_t> chunk_offsets(const Tree& tree, const Codec& codec) {
  std::vector<std::uint64_t> offsets;
  for (const PlannedChunk& chunk : plan_stream(tree, codec).chunks) offsets.push_back(chunk.raw_offset);
  return offsets;
}

// Those of whole pages come first. A stream that is not coded is cut on pages only.
TEST(StreamPlans, LargeLeavesHaveChunksOfTheirOwn) {
  constexpr std::int64_t large = 1 << 20;
  Tree tree;
  tree["a small one"] = make_tensor(DType::u8, {100}, Layout::packed, 1);
  tree["b of whole pages"] = make_tensor(DType::u8, {large}, Layout::packed, 2);
  tree["c not of whole pages"] = make_tensor(DType::u8, {large + 8}, Layout::packed, 3);
  tree["d of whole pages"] = make_tensor(DType::u8, {large}, Layout::packed, 4);
  EXPECT_EQ(chunk_offsets(tree, Codec::none()), (std::vector<std::uint64_t>{0, large, 2 * large}));
  EXPECT_EQ(chunk_offsets(tree, Codec::fast()), (std::vector<std::uint64_t>{0, large, 2 * large, 2 * large + 100}));
}

}  // namespace
}  // namespace milepost::testing
