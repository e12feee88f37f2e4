// The kernels of the float codec: words of 2, 4 or 8 bytes to and from planes of bytes, and a plane
// of bytes to and from a window of 4-bit codes. Pure functions, vectorized with Highway; the best
// target that the processor has is chosen at run time, and all targets give the same bytes.
//
// No alignment is asked of any pointer, and nothing is read or written outside of what is given.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace milepost {

inline constexpr std::size_t element_bytes_max = 8;
// Planes of one block of elements: plane 0 holds the lowest byte of every word.
using PlanePointers = std::array<std::byte*, element_bytes_max>;
using ConstPlanePointers = std::array<const std::byte*, element_bytes_max>;

// Splits `count` little-endian words of element_bytes (2, 4 or 8) into that many planes of `count`
// bytes. With `rotate`, each word is first rotated left by one bit, so that the sign becomes the
// lowest bit and the top byte starts with the exponent.
void split_planes(std::size_t element_bytes, bool rotate, const std::byte* words, std::size_t count,
                  const PlanePointers& planes);

// Undoes split_planes.
void merge_planes(std::size_t element_bytes, bool rotated, const ConstPlanePointers& planes, std::size_t count,
                  std::byte* words);

// A byte b has code (b - base) mod 256 when that is below nibble_escape; else its code is
// nibble_escape, and the byte itself is appended to the escapes.
inline constexpr std::uint8_t nibble_escape = 15;

// Writes (count + 1) / 2 bytes of codes, the code of an even element in the low half of its byte;
// the last high half of an odd count is 0. Returns the number of escapes written, up to `count`.
std::size_t pack_nibbles(const std::byte* plane, std::size_t count, std::uint8_t base, std::byte* codes,
                         std::byte* escapes);

// Undoes pack_nibbles. Returns the number of escapes used; nothing if more than escape_count were
// needed, or if codes or escapes are not what pack_nibbles writes (then `plane` has no meaning).
std::optional<std::size_t> unpack_nibbles(const std::byte* codes, std::size_t count, std::uint8_t base,
                                          const std::byte* escapes, std::size_t escape_count, std::byte* plane);

}  // namespace milepost
