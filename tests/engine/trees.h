// State to save, and how to tell whether what comes back is that state. Independent of the library's
// own gathering and scattering: bytes are compared element by element.
#pragma once

#include "milepost/engine/items.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace milepost::testing {

// How a tensor's elements lie in memory.
enum class Layout { packed, transposed, sliced, reversed, broadcast };
inline constexpr Layout layouts[] = {Layout::packed, Layout::transposed, Layout::sliced, Layout::reversed,
                                     Layout::broadcast};

// A tensor that owns its memory, filled with what `seed` says. Elements narrower than a byte are always packed;
// broadcast gives the first dimension a stride of zero.
Tensor make_tensor(DType dtype, const Shape& shape, Layout layout, std::uint64_t seed);

// The elements in row-major order, one by one.
std::vector<std::byte> packed(const Tensor& tensor);

// What the first leaf is that differs, and how; empty if the trees are equal to the last bit of every element.
std::string difference(const Tree& expected, const Tree& found);

// The same tree in memory of its own, packed.
Tree deep_copy(const Tree& tree);
// Overwrites every byte between the first and the last element of every tensor.
void scribble(const Tree& tree);
// Tensors of the same dtypes and shapes, with other content, in that layout; other leaves changed.
Tree target_like(const Tree& tree, Layout layout);
// The same without memory.
Tree abstract_like(const Tree& tree);

// A tree of maps and lists with every kind of leaf, drawn by `seed`; small.
Tree random_tree(std::uint64_t seed);
// One leaf of every kind and size that is treated in a way of its own, and a tensor of every dtype and layout.
Tree full_tree(std::uint64_t seed);
// A map with a float tensor, an integer tensor, a scalar and a long string, some 8 KiB: for tests that save it often.
Tree small_tree(std::uint64_t seed);

}  // namespace milepost::testing
