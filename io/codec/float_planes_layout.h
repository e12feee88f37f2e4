// The bytes around the planes of a piece; docs/format-float-planes.md shows them as a table.
#pragma once

#include "milepost/io/codec/plane_choice.h"

#include <cstddef>
#include <cstdint>

namespace milepost {

// Pieces, and what follows their headers, start on multiples of this in the chunk.
inline constexpr std::size_t piece_alignment = 64;

constexpr std::size_t aligned_up(std::size_t bytes) {
  return (bytes + piece_alignment - 1) / piece_alignment * piece_alignment;
}

// Written to disk: values are fixed.
enum class PieceForm : std::uint8_t { verbatim = 0, planes = 1 };

// All numbers are little-endian; `zero` is 0.
struct PieceHeader {
  std::uint32_t stored_bytes;  // of the whole piece, with this header and the padding at its end
  std::uint8_t form;
  std::uint8_t rotated;  // 0 or 1
  std::uint16_t zero;
};
static_assert(sizeof(PieceHeader) == 8);

// One a plane, lowest first, after the header of a piece in form `planes`.
struct PlaneHeader {
  std::uint8_t mode;
  std::uint8_t value;  // constant: the value; nibbles: the first value of the window; else 0
  std::uint16_t zero;
  std::uint32_t coded_bytes;   // raw: the plane; bytes and nibbles: the frame; constant: 0
  std::uint32_t escape_count;  // nibbles: bytes that follow the frame; else 0
};
static_assert(sizeof(PlaneHeader) == 12);

// Where the planes, or the words of a piece in form `verbatim`, start in the piece.
constexpr std::size_t piece_header_bytes(PieceForm form, std::size_t element_bytes) {
  return aligned_up(sizeof(PieceHeader) + (form == PieceForm::planes ? element_bytes * sizeof(PlaneHeader) : 0));
}

}  // namespace milepost
