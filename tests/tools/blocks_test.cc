#include "tools/milepost/blocks.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace milepost::tool {
namespace {

// Row-major positions of a block's elements, in order.
std::vector<std::int64_t> positions_of(const Block& block, const Shape& shape) {
  const Strides strides = contiguous_strides(shape);
  std::vector<std::int64_t> positions = {0};
  for (std::size_t d = 0; d < shape.size(); ++d) {
    std::vector<std::int64_t> next;
    for (const std::int64_t position : positions) {
      for (std::int64_t i = 0; i < block.extent[d]; ++i) next.push_back(position + (block.start[d] + i) * strides[d]);
    }
    positions = std::move(next);
  }
  return positions;
}

TEST(LeadingBlocks, HoldAPrefixInOrderWithoutGaps) {
  const bool ok = rc::check([] {
    const auto rank = *rc::gen::inRange<std::size_t>(0, 5);
    const Shape shape = *rc::gen::container<std::vector<std::int64_t>>(rank, rc::gen::inRange<std::int64_t>(0, 6));
    const std::int64_t total = *element_count(shape);
    const auto elements = *rc::gen::inRange<std::int64_t>(0, total + 3);
    const auto block_max = *rc::gen::inRange<std::int64_t>(1, 40);
    std::int64_t seen = 0;
    for (const Block& block : leading_blocks(shape, elements, block_max)) {
      const std::vector<std::int64_t> positions = positions_of(block, shape);
      RC_ASSERT(static_cast<std::int64_t>(positions.size()) <= block_max);
      RC_ASSERT(seen < elements);  // no block more than needed
      for (const std::int64_t position : positions) RC_ASSERT(position == seen++);
    }
    RC_ASSERT(seen >= std::min(elements, total));
  });
  EXPECT_TRUE(ok);
}

TEST(LeadingBlocks, TakeFewBlocksAndFewElementsMore) {
  // The first 100 of a large matrix: a part of its first row, not the row.
  const std::vector<Block> one = leading_blocks({1000, 4096}, 100, 1 << 20);
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0].extent, (Shape{1, 100}));
  // Whole rows as long as they fit.
  const std::vector<Block> all = leading_blocks({1000, 4096}, 1000 * 4096, 300 * 4096);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[3].start, (Shape{900, 0}));
  EXPECT_EQ(all[3].extent, (Shape{100, 4096}));
}

}  // namespace
}  // namespace milepost::tool
