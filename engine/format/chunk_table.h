// The chunk table: fixed-width little-endian records, one a chunk (docs/format.md). The chunks of a
// stream, in order, hold its raw bytes without gap or overlap; in the data file each begins at a
// multiple of 4 KiB (behind the one before it, packed, when all chunks are raw), in any order.
#pragma once

#include "milepost/engine/format/manifest.h"
#include "milepost/io/codec/codec.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace milepost {

// Raw bytes of a chunk at most; also the size of a staging block.
inline constexpr std::size_t chunk_bytes_max = std::size_t{4} << 20;

struct Chunk {
  std::uint64_t raw_offset = 0;   // in the stream
  std::uint64_t file_offset = 0;  // in the data file
  std::uint32_t raw_bytes = 0;
  std::uint32_t stored_bytes = 0;
  ChunkEncoding encoding = ChunkEncoding::raw;
  ElementKind kind = ElementKind::other;
  Digest raw_digest;
  Digest stored_digest;
  bool operator==(const Chunk&) const = default;
};

// A 64-byte header, then 64 bytes a chunk.
std::vector<std::byte> encode_chunk_table(std::span<const Chunk> chunks);

// Parses and validates against the stream it belongs to; assumes hostile bytes. corruption says
// which record and what: raw ranges that do not tile [0, raw_bytes), a chunk over chunk_bytes_max,
// stored ranges that overlap, exceed the data file or lie below data_offset, sizes that do not fit
// the encoding, unknown codes. The caller has compared the digest of `bytes`.
Result<std::vector<Chunk>> decode_chunk_table(std::span<const std::byte> bytes, const Stream& stream);

}  // namespace milepost
