// The state that milepost and its peers are measured with: that of the main job, as wide as a larger GPT's.
#pragma once

#include "milepost/engine/state/tree.h"
#include "milepost/io/error.h"

#include <cstdint>
#include <string>

namespace milepost::bench {

// trained_state() with every extent that is a multiple of the model's width scaled, to a multiple of 64, as models have
// them, until all takes about `bytes`. A leaf's values are those of the trained leaves of its kind (weights, first
// moments, second moments, bf16 copies), one behind the other, from where its own begin on, and around as often as it
// takes. One level, keys like "params.blocks.3.mlp.up.w".
Result<Tree> wide_state(std::uint64_t bytes);

// `count` leaves of 256 floats each, cut out of the floats of such a state. Borrows its memory.
Tree small_leaves(const Tree& state, int count);

}  // namespace milepost::bench
