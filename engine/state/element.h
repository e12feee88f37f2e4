// Single elements of tensors.
#pragma once

#include "milepost/engine/state/dtype.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace milepost {

// Element i of packed Ts at any address.
template <class T> T load_element(const std::byte* data, std::int64_t i) {
  T value;
  std::memcpy(&value, data + static_cast<std::size_t>(i) * sizeof(T), sizeof(T));
  return value;
}

// The bits of element i of a packed tensor whose elements have at most 16; narrower ones than a byte are packed from
// the lowest bit of each byte up.
std::uint32_t element_bits(DType dtype, const std::byte* data, std::int64_t i);

// Element i of a packed tensor: exact, but for 64-bit integers, which are rounded. c64 is its real part here.
double element_as_double(DType dtype, const std::byte* data, std::int64_t i);

}  // namespace milepost
