// The stored form of a chunk of floats (ChunkEncoding::float_planes; docs/format-float-planes.md):
// pieces of 256 Ki elements, each split into planes of bytes that are stored raw or coded on their
// own. A piece is small enough to stay in the cache, so that the chunk passes through memory once.
//
// Not thread-safe; one for each worker. Scratch memory is kept from call to call.
#pragma once

#include "milepost/io/codec/plane_choice.h"
#include "milepost/io/codec/zstd_coder.h"
#include "milepost/io/digest.h"
#include "milepost/io/error.h"

#include <cstddef>
#include <memory>
#include <span>

namespace milepost {

struct PlaneHeader;

inline constexpr std::size_t piece_elements = std::size_t{256} << 10;
// Elements handled at a time within a piece: their words and planes fit the first-level cache.
inline constexpr std::size_t block_elements = 4096;

// Scratch of a coder: for each plane, room for the plane, or for its codes; then for each plane a block.
inline constexpr std::size_t scratch_blocks_at = element_bytes_max * piece_elements;
inline constexpr std::size_t planes_scratch_bytes = scratch_blocks_at + element_bytes_max * block_elements;

class FloatPlanesEncoder {
 public:
  FloatPlanesEncoder();

  // Codes `raw` into `out` and returns the bytes written; 0 when `out` is too small for them. The
  // raw digest is complete in both cases, the stored one only in the first.
  std::size_t encode(std::size_t element_bytes, std::span<const std::byte> raw, std::span<std::byte> out,
                     DigestStream& raw_digest, DigestStream& stored_digest);

 private:
  struct Piece;
  std::size_t encode_planes(Piece& piece, std::span<std::byte> out);
  std::size_t encode_verbatim(Piece& piece, std::span<std::byte> out);
  bool split(Piece& piece, PieceChoice& choice, const PlanePointers& whole);
  bool write_plane(const Piece& piece, const PlaneChoice& choice, std::size_t k, const std::byte* whole,
                   std::span<std::byte> out, PlaneHeader& header);

  ZstdEncoder zstd_;
  std::unique_ptr<std::byte[]> scratch_;
};

class FloatPlanesDecoder {
 public:
  FloatPlanesDecoder();

  // Fills exactly `raw` from exactly `stored`, which is hostile, and digests it.
  Result<void> decode(std::size_t element_bytes, std::span<const std::byte> stored, std::span<std::byte> raw,
                      DigestStream& raw_digest);

 private:
  struct Plane;
  Result<void> decode_planes(std::size_t element_bytes, bool rotated, std::span<const std::byte> piece,
                             std::span<std::byte> raw, DigestStream& raw_digest);
  Result<void> open_plane(const PlaneHeader& header, std::span<const std::byte> payload, std::size_t count,
                          std::size_t k, Plane& plane);

  ZstdDecoder zstd_;
  std::unique_ptr<std::byte[]> scratch_;
};

}  // namespace milepost
