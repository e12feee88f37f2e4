#include "tools/milepost/blocks.h"

#include <algorithm>

namespace milepost::tool {

std::vector<Block> leading_blocks(const Shape& shape, std::int64_t elements, std::int64_t block_elements_max) {
  std::vector<Block> blocks;
  const std::int64_t end = std::min(element_count(shape).value_or(0), elements);
  if (end <= 0) return blocks;
  if (shape.empty()) return {Block{}};
  // A block is full in the dimensions behind `cut`, a range in that one, and a single index before it.
  const Strides strides = contiguous_strides(shape);
  std::size_t cut = 0;
  while (cut + 1 < shape.size() && strides[cut] > std::min(block_elements_max, end)) ++cut;
  const std::int64_t rows_max = std::max<std::int64_t>(1, block_elements_max / strides[cut]);
  for (std::int64_t at = 0; at < end;) {
    Block block = {.start = Shape(shape.size(), 0), .extent = shape};
    for (std::size_t d = 0; d <= cut; ++d) {
      block.start[d] = at / strides[d] % shape[d];
      block.extent[d] = 1;
    }
    const std::int64_t rows_wanted = (end - at + strides[cut] - 1) / strides[cut];
    block.extent[cut] = std::min({rows_max, shape[cut] - block.start[cut], rows_wanted});
    at += block.extent[cut] * strides[cut];
    blocks.push_back(std::move(block));
  }
  return blocks;
}

}  // namespace milepost::tool
