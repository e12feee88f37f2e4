// A tensor in parts that a restore can read one after the other.
#pragma once

#include "milepost/engine/state/tensor.h"

#include <cstdint>
#include <vector>

namespace milepost::tool {

struct Block {
  Shape start;
  Shape extent;
};

// Rectangles of at most `block_elements_max` elements (at least 1) that hold, in row-major order and
// without gaps, at least the first `elements` elements of a tensor and as few more as rectangles allow.
std::vector<Block> leading_blocks(const Shape& shape, std::int64_t elements, std::int64_t block_elements_max);

}  // namespace milepost::tool
