#include "milepost/io/codec/float_planes.h"
#include "milepost/io/codec/float_planes_layout.h"

#include <algorithm>
#include <cstring>

namespace milepost {
namespace {

// Where a plane's escapes begin, behind its codes, in its room of the scratch.
constexpr std::size_t escapes_at = piece_elements / 2;

// More escapes than 3 % are found where the sample missed something; another mode is better then.
constexpr std::size_t escapes_max(std::size_t count) { return count / 32 + 16; }
static_assert(escapes_max(piece_elements) + block_elements <= piece_elements - escapes_at);

void write_piece_header(std::span<std::byte> out, std::size_t stored_bytes, PieceForm form, bool rotated) {
  const PieceHeader header{static_cast<std::uint32_t>(stored_bytes), static_cast<std::uint8_t>(form), rotated, 0};
  std::memcpy(out.data(), &header, sizeof(header));
}

bool is_constant(const std::byte* plane, std::size_t count) { return std::memcmp(plane, plane + 1, count - 1) == 0; }

}  // namespace

struct FloatPlanesEncoder::Piece {
  std::size_t element_bytes;
  const std::byte* words;
  std::size_t count;
  DigestStream* raw_digest;  // null once it has taken this piece
  std::array<std::size_t, element_bytes_max> escape_counts{};

  std::span<const std::byte> bytes() const { return {words, count * element_bytes}; }
};

FloatPlanesEncoder::FloatPlanesEncoder() : scratch_(new std::byte[planes_scratch_bytes]) {}

std::size_t FloatPlanesEncoder::encode(std::size_t element_bytes, std::span<const std::byte> raw,
                                       std::span<std::byte> out, DigestStream& raw_digest,
                                       DigestStream& stored_digest) {
  std::size_t written = 0;
  std::size_t at = 0;
  while (raw.size() - at >= element_bytes) {
    const std::size_t count = std::min(piece_elements, (raw.size() - at) / element_bytes);
    Piece piece{element_bytes, raw.data() + at, count, &raw_digest, {}};
    const auto room = out.subspan(written);
    const std::size_t verbatim_bytes =
        aligned_up(piece_header_bytes(PieceForm::verbatim, element_bytes) + count * element_bytes);
    std::size_t stored_bytes = encode_planes(piece, room.first(std::min(room.size(), verbatim_bytes)));
    if (piece.raw_digest != nullptr) raw_digest.update(piece.bytes());
    if (stored_bytes == 0) stored_bytes = encode_verbatim(piece, room);
    at += count * element_bytes;
    if (stored_bytes == 0) {
      raw_digest.update(raw.subspan(at));
      return 0;
    }
    stored_digest.update(out.subspan(written, stored_bytes));
    written += stored_bytes;
  }
  const auto rest = raw.subspan(at);
  raw_digest.update(rest);
  if (out.size() - written < rest.size()) return 0;
  if (!rest.empty()) std::memcpy(out.data() + written, rest.data(), rest.size());
  stored_digest.update(rest);
  return written + rest.size();
}

// Splits the words, block by block, into the places of whole planes or, for planes that become
// nibbles, packs them at once. False when a plane turns out to be other than its sample promised:
// then its mode has become `bytes`, which suits any plane, and all is to be done again.
bool FloatPlanesEncoder::split(Piece& piece, PieceChoice& choice, const PlanePointers& whole) {
  DigestStream* const raw_digest = piece.raw_digest;
  piece.raw_digest = nullptr;
  piece.escape_counts = {};
  bool as_promised = true;
  for (std::size_t i = 0; i < piece.count; i += block_elements) {
    const std::size_t count = std::min(block_elements, piece.count - i);
    const auto block = piece.bytes().subspan(i * piece.element_bytes, count * piece.element_bytes);
    if (raw_digest != nullptr) raw_digest->update(block);
    if (!as_promised) continue;
    PlanePointers planes{};
    for (std::size_t k = 0; k < piece.element_bytes; ++k) {
      const bool packed = choice.planes[k].mode == PlaneMode::nibbles;
      planes[k] = packed ? scratch_.get() + scratch_blocks_at + k * block_elements : whole[k] + i;
    }
    split_planes(piece.element_bytes, choice.rotate, block.data(), count, planes);
    for (std::size_t k = 0; k < piece.element_bytes; ++k) {
      PlaneChoice& plane = choice.planes[k];
      if (plane.mode != PlaneMode::nibbles) continue;
      std::size_t& escapes = piece.escape_counts[k];
      escapes += pack_nibbles(planes[k], count, plane.base, whole[k] + i / 2, whole[k] + escapes_at + escapes);
      if (escapes <= escapes_max(piece.count)) continue;
      plane.mode = PlaneMode::bytes;
      as_promised = false;
    }
  }
  for (std::size_t k = 0; k < piece.element_bytes && as_promised; ++k) {
    PlaneChoice& plane = choice.planes[k];
    if (plane.mode != PlaneMode::constant || is_constant(whole[k], piece.count)) continue;
    plane.mode = PlaneMode::bytes;
    as_promised = false;
  }
  return as_promised;
}

// Puts plane k at the start of `out` and fills in its header. Returns false when it does not fit.
bool FloatPlanesEncoder::write_plane(const Piece& piece, const PlaneChoice& choice, std::size_t k,
                                     const std::byte* whole, std::span<std::byte> out, PlaneHeader& header) {
  header = {static_cast<std::uint8_t>(choice.mode), 0, 0, 0, 0};
  if (choice.mode == PlaneMode::constant) {
    header.value = static_cast<std::uint8_t>(whole[0]);
    return true;
  }
  const std::size_t escapes = piece.escape_counts[k];
  if (choice.mode != PlaneMode::raw && escapes <= out.size()) {
    const bool nibbles = choice.mode == PlaneMode::nibbles;
    const std::span content(whole, nibbles ? (piece.count + 1) / 2 : piece.count);
    const auto room = out.first(out.size() - escapes);
    const std::size_t frame_bytes = choice.repetitive ? zstd_.level(1, content, room) : zstd_.huffman(content, room);
    if (nibbles && frame_bytes == 0) return false;
    if (nibbles || (frame_bytes != 0 && frame_bytes < piece.count)) {
      if (escapes != 0) std::memcpy(out.data() + frame_bytes, whole + escapes_at, escapes);
      header.value = nibbles ? choice.base : 0;
      header.coded_bytes = static_cast<std::uint32_t>(frame_bytes);
      header.escape_count = static_cast<std::uint32_t>(escapes);
      return true;
    }
  }
  if (out.size() < piece.count) return false;
  if (whole != out.data()) std::memcpy(out.data(), whole, piece.count);
  header.mode = static_cast<std::uint8_t>(PlaneMode::raw);
  header.coded_bytes = static_cast<std::uint32_t>(piece.count);
  return true;
}

// Returns the bytes written; 0 if they do not fit, or are not fewer than verbatim.
std::size_t FloatPlanesEncoder::encode_planes(Piece& piece, std::span<std::byte> out) {
  const std::size_t header_bytes = piece_header_bytes(PieceForm::planes, piece.element_bytes);
  PieceChoice choice = choose_planes(piece.element_bytes, piece.words, piece.count);
  if (choice.incompressible || out.size() < header_bytes) return 0;

  PlanePointers whole{};
  do {
    // Raw planes whose place is known are written straight to it.
    std::size_t at = header_bytes;
    bool place_known = true;
    for (std::size_t k = 0; k < piece.element_bytes; ++k) {
      const PlaneMode mode = choice.planes[k].mode;
      const bool direct = place_known && mode == PlaneMode::raw && out.size() - at >= piece.count;
      whole[k] = direct ? out.data() + at : scratch_.get() + k * piece_elements;
      if (direct) at += piece.count;
      place_known = place_known && (direct || mode == PlaneMode::constant);
    }
  } while (!split(piece, choice, whole));

  std::memset(out.data(), 0, header_bytes);
  std::size_t at = header_bytes;
  for (std::size_t k = 0; k < piece.element_bytes; ++k) {
    PlaneHeader header;
    if (!write_plane(piece, choice.planes[k], k, whole[k], out.subspan(at), header)) return 0;
    at += header.coded_bytes + header.escape_count;
    std::memcpy(out.data() + sizeof(PieceHeader) + k * sizeof(header), &header, sizeof(header));
  }
  const std::size_t end = aligned_up(at);
  if (end > out.size()) return 0;
  std::memset(out.data() + at, 0, end - at);
  write_piece_header(out, end, PieceForm::planes, choice.rotate);
  return end;
}

std::size_t FloatPlanesEncoder::encode_verbatim(Piece& piece, std::span<std::byte> out) {
  const auto words = piece.bytes();
  const std::size_t header_bytes = piece_header_bytes(PieceForm::verbatim, piece.element_bytes);
  const std::size_t end = aligned_up(header_bytes + words.size());
  if (end > out.size()) return 0;
  std::memset(out.data(), 0, header_bytes);
  write_piece_header(out, end, PieceForm::verbatim, false);
  std::memcpy(out.data() + header_bytes, words.data(), words.size());
  std::memset(out.data() + header_bytes + words.size(), 0, end - header_bytes - words.size());
  return end;
}

}  // namespace milepost
