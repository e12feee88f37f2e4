// Elements of one type as elements of another.
#pragma once

#include "milepost/engine/state/dtype.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace milepost {

// Whether cast() knows how: between two floats of f64, f32, bf16, f16, f8_e5m2, f8_e4m3, f8_e5m2fnuz and f8_e4m3fnuz,
// and between two of boolean and the integers; also from a type to itself, as it is. Never between floats and integers,
// nor of c64, f8_e8m0 and elements under a byte.
bool can_cast(DType from, DType to);

// The first element that the other type cannot hold.
struct CastMisfit {
  std::size_t index = 0;
  std::string value;
};

// Casts `count` packed elements at any addresses that do not overlap. Floats are rounded to the nearest, ties to even;
// what is too large becomes infinity, or NaN in f8 types without one, NaN stays NaN, and nothing misfits. Integers
// keep their value: one that the other type does not have misfits, and of a bool there are 0 and 1 (any other byte of
// one counts as 1). After a misfit the result has no meaning.
std::optional<CastMisfit> cast(DType from, const std::byte* elements, DType to, std::byte* result, std::size_t count);

}  // namespace milepost
