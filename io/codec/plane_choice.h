// How each plane of a piece of floats is to be stored, decided from a sample of about a thousand
// elements: the cost of looking stays near 1 % of the cost of coding.
#pragma once

#include "milepost/io/codec/planes.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace milepost {

// Written to disk: values are fixed.
enum class PlaneMode : std::uint8_t {
  raw = 0,       // the plane itself
  constant = 1,  // one value
  bytes = 2,     // one zstd frame of the plane
  nibbles = 3,   // one zstd frame of pairs of 4-bit codes, and escapes
};

struct PlaneChoice {
  PlaneMode mode = PlaneMode::raw;
  std::uint8_t base = 0;    // nibbles: the first value of the window
  bool repetitive = false;  // under half a bit an element: matches beat entropy coding alone
};

struct PieceChoice {
  bool rotate = false;
  std::array<PlaneChoice, element_bytes_max> planes{};
  // No plane is worth coding: the piece is best stored as it is.
  bool incompressible = true;
  // Three words in four are zero, and scattered: matches between whole words beat planes.
  bool sparse = false;
};

// `words`: count elements of element_bytes (2, 4 or 8); any alignment.
PieceChoice choose_planes(std::size_t element_bytes, const std::byte* words, std::size_t count);

}  // namespace milepost
