#include "milepost/io/codec/float_planes.h"
#include "milepost/io/codec/float_planes_layout.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace milepost {
namespace {

Error malformed(std::string what) { return Error(ErrorCode::corruption, std::move(what)); }

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

// A plane being read: where its next block comes from.
struct FloatPlanesDecoder::Plane {
  PlaneMode mode;
  std::uint8_t base;
  const std::byte* source;  // the plane, or its codes, or a block of its one value
  std::span<const std::byte> escapes;
};

FloatPlanesDecoder::FloatPlanesDecoder() : scratch_(new std::byte[planes_scratch_bytes]) {}

Result<void> FloatPlanesDecoder::decode(std::size_t element_bytes, std::span<const std::byte> stored,
                                        std::span<std::byte> raw, DigestStream& raw_digest) {
  std::size_t number = 0;
  while (raw.size() >= element_bytes) {
    const auto words = raw.first(std::min(piece_elements, raw.size() / element_bytes) * element_bytes);
    PieceHeader header;
    const auto at_piece = [&](Error error) { return std::move(error).within("piece " + std::to_string(number)); };
    if (stored.size() < sizeof(header)) return at_piece(malformed("the chunk ends before its header"));
    std::memcpy(&header, stored.data(), sizeof(header));
    if (header.stored_bytes > stored.size()) return at_piece(malformed("it is longer than the chunk"));
    if (header.zero != 0 || header.rotated > 1) return at_piece(malformed("its header is malformed"));
    const auto piece = stored.first(header.stored_bytes);
    if (header.form == static_cast<std::uint8_t>(PieceForm::planes)) {
      auto decoded = decode_planes(element_bytes, header.rotated != 0, piece, words, raw_digest);
      if (decoded.has_error()) return at_piece(std::move(decoded).error());
    } else if (header.form == static_cast<std::uint8_t>(PieceForm::verbatim)) {
      const std::size_t at = piece_header_bytes(PieceForm::verbatim, element_bytes);
      if (piece.size() != aligned_up(at + words.size()) || header.rotated != 0 ||
          !all_zero(piece.subspan(sizeof(header), at - sizeof(header))) ||
          !all_zero(piece.subspan(at + words.size()))) {
        return at_piece(malformed("it is verbatim, but not as large as its words, or not padded with zeros"));
      }
      std::memcpy(words.data(), piece.data() + at, words.size());
      raw_digest.update(words);
    } else {
      return at_piece(malformed("its form " + std::to_string(header.form) + " is unknown"));
    }
    stored = stored.subspan(piece.size());
    raw = raw.subspan(words.size());
    ++number;
  }
  if (stored.size() != raw.size()) {
    return malformed(std::to_string(stored.size()) + " bytes follow the last piece, not " + std::to_string(raw.size()));
  }
  if (!raw.empty()) std::memcpy(raw.data(), stored.data(), raw.size());
  raw_digest.update(raw);
  return {};
}

Result<void> FloatPlanesDecoder::decode_planes(std::size_t element_bytes, bool rotated,
                                               std::span<const std::byte> piece, std::span<std::byte> raw,
                                               DigestStream& raw_digest) {
  const std::size_t count = raw.size() / element_bytes;
  const std::size_t headers_end = sizeof(PieceHeader) + element_bytes * sizeof(PlaneHeader);
  std::size_t at = piece_header_bytes(PieceForm::planes, element_bytes);
  if (piece.size() < at) return malformed("it ends within its header");
  if (!all_zero(piece.subspan(headers_end, at - headers_end))) return malformed("its header is not padded with zeros");

  std::array<Plane, element_bytes_max> planes;
  for (std::size_t k = 0; k < element_bytes; ++k) {
    PlaneHeader header;
    std::memcpy(&header, piece.data() + sizeof(PieceHeader) + k * sizeof(header), sizeof(header));
    const auto rest = piece.subspan(at);
    const std::uint64_t payload_bytes = std::uint64_t{header.coded_bytes} + header.escape_count;
    if (payload_bytes > rest.size()) return malformed("plane " + std::to_string(k) + ": it is longer than its piece");
    auto opened = open_plane(header, rest.first(static_cast<std::size_t>(payload_bytes)), count, k, planes[k]);
    if (opened.has_error()) return std::move(opened).error().within("plane " + std::to_string(k));
    at += static_cast<std::size_t>(payload_bytes);
  }
  if (piece.size() != aligned_up(at)) return malformed("its size is not the sum of its planes");
  if (!all_zero(piece.subspan(at))) return malformed("it is not padded with zeros");

  for (std::size_t i = 0; i < count; i += block_elements) {
    const std::size_t block = std::min(block_elements, count - i);
    ConstPlanePointers blocks{};
    for (std::size_t k = 0; k < element_bytes; ++k) {
      Plane& plane = planes[k];
      blocks[k] = plane.mode == PlaneMode::constant ? plane.source : plane.source + i;
      if (plane.mode != PlaneMode::nibbles) continue;
      std::byte* const unpacked = scratch_.get() + scratch_blocks_at + k * block_elements;
      const auto used =
          unpack_nibbles(plane.source + i / 2, block, plane.base, plane.escapes.data(), plane.escapes.size(), unpacked);
      if (!used) return malformed("plane " + std::to_string(k) + ": its codes and its escapes do not match");
      plane.escapes = plane.escapes.subspan(*used);
      blocks[k] = unpacked;
    }
    const auto words = raw.subspan(i * element_bytes, block * element_bytes);
    merge_planes(element_bytes, rotated, blocks, block, words.data());
    raw_digest.update(words);
  }
  for (std::size_t k = 0; k < element_bytes; ++k) {
    if (!planes[k].escapes.empty()) return malformed("plane " + std::to_string(k) + ": escapes are left over");
  }
  return {};
}

// Checks the header of plane k, and decodes its frame if it has one.
Result<void> FloatPlanesDecoder::open_plane(const PlaneHeader& header, std::span<const std::byte> payload,
                                            std::size_t count, std::size_t k, Plane& plane) {
  plane = {static_cast<PlaneMode>(header.mode), header.value, payload.data(), {}};
  std::byte* const scratch = scratch_.get() + k * piece_elements;
  if (header.zero != 0) return malformed("its header is malformed");
  if (plane.mode != PlaneMode::nibbles && header.escape_count != 0) return malformed("only nibbles have escapes");
  switch (plane.mode) {
    case PlaneMode::raw:
      if (header.value != 0) return malformed("its header is malformed");
      if (payload.size() != count) return malformed("it is raw, but does not have a byte for each element");
      return {};
    case PlaneMode::constant: {
      if (!payload.empty()) return malformed("it is constant, but has bytes");
      std::byte* const block = scratch_.get() + scratch_blocks_at + k * block_elements;
      std::memset(block, header.value, block_elements);
      plane.source = block;
      return {};
    }
    case PlaneMode::bytes:
      if (header.value != 0) return malformed("its header is malformed");
      plane.source = scratch;
      return zstd_.decode(payload, {scratch, count});
    case PlaneMode::nibbles:
      plane.source = scratch;
      plane.escapes = payload.subspan(header.coded_bytes);
      return zstd_.decode(payload.first(header.coded_bytes), {scratch, (count + 1) / 2});
  }
  return malformed("its mode " + std::to_string(header.mode) + " is unknown");
}

}  // namespace milepost
