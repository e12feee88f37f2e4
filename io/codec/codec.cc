#include "milepost/io/codec/codec.h"

#include "milepost/io/codec/float_planes.h"
#include "milepost/io/codec/plane_choice.h"
#include "milepost/io/codec/zstd_coder.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>

namespace milepost {
namespace {

constexpr std::size_t chunk_bytes_max = std::size_t{1} << 30;
// Below this the headers of pieces cost more than coding saves.
constexpr std::size_t float_chunk_bytes_min = 256;

// 0 for what is not a float.
std::size_t element_bytes_of(ElementKind kind) {
  switch (kind) {
    case ElementKind::f16:
    case ElementKind::bf16: return 2;
    case ElementKind::f32: return 4;
    case ElementKind::f64: return 8;
    case ElementKind::other: return 0;
  }
  return 0;
}

Error unknown_codec(std::string_view text) {
  return Error(ErrorCode::invalid_argument,
               "codec \"" + std::string(text) + "\" is none of none, fast, zstd, zstd:1 to zstd:19");
}

EncodedChunk as_raw(std::size_t bytes, const Digest& digest) { return {ChunkEncoding::raw, bytes, digest, digest}; }

Error wrong_digest(std::string_view which, const Digest& found, const Digest& expected) {
  return Error(ErrorCode::corruption,
               "the digest of the " + std::string(which) + " bytes is " + found.hex() + ", not " + expected.hex());
}

}  // namespace

Result<Codec> Codec::parse(std::string_view text) {
  if (text == "none") return none();
  if (text == "fast") return fast();
  if (text == "zstd") return zstd(1);
  constexpr std::string_view prefix = "zstd:";
  if (!text.starts_with(prefix)) return unknown_codec(text);
  const std::string_view number = text.substr(prefix.size());
  int level = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), level);
  if (error != std::errc() || end != number.data() + number.size()) return unknown_codec(text);
  if (level < zstd_level_min || level > zstd_level_max) return unknown_codec(text);
  return zstd(level);
}

std::string Codec::to_string() const {
  switch (kind) {
    case Kind::none: return "none";
    case Kind::fast: return "fast";
    case Kind::zstd: return "zstd:" + std::to_string(level);
  }
  return "unknown";
}

std::size_t encoded_bytes_max(std::size_t raw_bytes) { return raw_bytes; }

struct ChunkEncoder::State {
  ZstdEncoder zstd;
  FloatPlanesEncoder float_planes;

  EncodedChunk encode_zstd(int level, std::span<const std::byte> raw, std::span<std::byte> out);
  EncodedChunk encode_floats(std::size_t element_bytes, std::span<const std::byte> raw, std::span<std::byte> out);
  bool shrinks(std::span<const std::byte> raw);
};

ChunkEncoder::ChunkEncoder() : state_(std::make_unique<State>()) {}
ChunkEncoder::~ChunkEncoder() = default;
ChunkEncoder::ChunkEncoder(ChunkEncoder&&) noexcept = default;
ChunkEncoder& ChunkEncoder::operator=(ChunkEncoder&&) noexcept = default;

Result<EncodedChunk> ChunkEncoder::encode(const Codec& codec, ElementKind kind, std::span<const std::byte> raw,
                                          std::span<std::byte> out) {
  if (raw.size() > chunk_bytes_max) return Error(ErrorCode::invalid_argument, "a chunk has at most 1 GiB");
  switch (codec.kind) {
    case Codec::Kind::none: return as_raw(raw.size(), Digest::of(raw));
    case Codec::Kind::zstd:
      if (codec.level < zstd_level_min || codec.level > zstd_level_max) return unknown_codec(codec.to_string());
      break;
    case Codec::Kind::fast: break;
  }
  if (out.size() < encoded_bytes_max(raw.size())) {
    return Error(ErrorCode::invalid_argument, "the output of encode() is smaller than encoded_bytes_max()");
  }
  // What is not smaller than raw is stored raw: there is no use in room for it.
  out = out.first(raw.empty() ? 0 : raw.size() - 1);
  if (codec.kind == Codec::Kind::zstd) return state_->encode_zstd(codec.level, raw, out);
  const std::size_t element_bytes = element_bytes_of(kind);
  if (element_bytes != 0 && raw.size() >= float_chunk_bytes_min) return state_->encode_floats(element_bytes, raw, out);
  if (state_->shrinks(raw)) return state_->encode_zstd(1, raw, out);
  return as_raw(raw.size(), Digest::of(raw));
}

EncodedChunk ChunkEncoder::State::encode_zstd(int level, std::span<const std::byte> raw, std::span<std::byte> out) {
  const Digest raw_digest = Digest::of(raw);
  const std::size_t size = raw.empty() ? 0 : zstd.level(level, raw, out);
  if (size == 0) return as_raw(raw.size(), raw_digest);
  return {ChunkEncoding::zstd, size, raw_digest, Digest::of(out.first(size))};
}

EncodedChunk ChunkEncoder::State::encode_floats(std::size_t element_bytes, std::span<const std::byte> raw,
                                                std::span<std::byte> out) {
  const PieceChoice overall = choose_planes(element_bytes, raw.data(), raw.size() / element_bytes);
  if (overall.incompressible) return as_raw(raw.size(), Digest::of(raw));
  if (overall.sparse) return encode_zstd(1, raw, out);
  DigestStream raw_digest;
  DigestStream stored_digest;
  const std::size_t size = float_planes.encode(element_bytes, raw, out, raw_digest, stored_digest);
  if (size == 0) return as_raw(raw.size(), raw_digest.finish());
  return {ChunkEncoding::float_planes, size, raw_digest.finish(), stored_digest.finish()};
}

// Whether zstd makes something of bytes that are no floats: tried on four runs of 2 KiB.
bool ChunkEncoder::State::shrinks(std::span<const std::byte> raw) {
  constexpr std::size_t run = 2048;
  constexpr std::size_t runs = 4;
  std::array<std::byte, run * runs> sample;
  std::array<std::byte, run * runs> coded;
  if (raw.size() <= 8 * sample.size()) return true;  // small enough to just try
  for (std::size_t i = 0; i < runs; ++i) {
    std::memcpy(sample.data() + i * run, raw.data() + (raw.size() - run) / (runs - 1) * i, run);
  }
  return zstd.level(1, sample, std::span(coded).first(sample.size() / 100 * 97)) != 0;
}

struct ChunkDecoder::State {
  ZstdDecoder zstd;
  FloatPlanesDecoder float_planes;
};

ChunkDecoder::ChunkDecoder() : state_(std::make_unique<State>()) {}
ChunkDecoder::~ChunkDecoder() = default;
ChunkDecoder::ChunkDecoder(ChunkDecoder&&) noexcept = default;
ChunkDecoder& ChunkDecoder::operator=(ChunkDecoder&&) noexcept = default;

Result<void> ChunkDecoder::decode(ChunkEncoding encoding, ElementKind kind, std::span<const std::byte> stored,
                                  const Digest& stored_digest, std::span<std::byte> raw, const Digest& raw_digest) {
  const Digest found = Digest::of(stored);
  if (found != stored_digest) return wrong_digest("stored", found, stored_digest);
  switch (encoding) {
    case ChunkEncoding::raw:
      if (stored.size() != raw.size()) {
        return Error(ErrorCode::corruption, "a chunk of " + std::to_string(raw.size()) + " bytes is stored raw in " +
                                                std::to_string(stored.size()));
      }
      if (raw_digest != stored_digest) return wrong_digest("raw", stored_digest, raw_digest);
      if (!raw.empty() && raw.data() != stored.data()) std::memcpy(raw.data(), stored.data(), raw.size());
      return {};
    case ChunkEncoding::zstd: {
      MILEPOST_TRY(state_->zstd.decode(stored, raw));
      const Digest decoded = Digest::of(raw);
      if (decoded != raw_digest) return wrong_digest("raw", decoded, raw_digest);
      return {};
    }
    case ChunkEncoding::float_planes: {
      const std::size_t element_bytes = element_bytes_of(kind);
      if (element_bytes == 0) return Error(ErrorCode::corruption, "a chunk of float planes does not hold floats");
      DigestStream digest;
      MILEPOST_TRY(state_->float_planes.decode(element_bytes, stored, raw, digest));
      const Digest decoded = digest.finish();
      if (decoded != raw_digest) return wrong_digest("raw", decoded, raw_digest);
      return {};
    }
  }
  return Error(ErrorCode::corruption, "the encoding " + std::to_string(static_cast<int>(encoding)) + " is unknown");
}

}  // namespace milepost
