// States with the bytes of real ones: a trained one, and weights as they are published.
#pragma once

#include "milepost/engine/state/tree.h"
#include "milepost/io/error.h"

#include <cstdint>
#include <string>

namespace milepost::bench {

// The latest step of the directory of checkpoints that $MILEPOST_BENCH_CHECKPOINT names; without it, the
// GPT example trained for 20 steps. not_found if there is no text to train on.
Result<Tree> trained_state();

// The safetensors file that $MILEPOST_BENCH_WEIGHTS names; not_found if it names none.
Result<Tree> published_weights();
// The tensors of such a file, each under its name.
Result<Tree> read_safetensors(const std::string& path);

// The tree, as often as it takes to reach `bytes`: the memory is the same each time, the bytes on disk are not.
Tree repeat(const Tree& tree, std::uint64_t bytes);

// Only the tensors of that type.
Tree only(const Tree& tree, DType dtype);

// What an order-0 coder could make of all tensors, in bytes.
double order0_bytes(const Tree& tree);
// Of all tensors.
std::uint64_t byte_count(const Tree& tree);

}  // namespace milepost::bench
