// Chunk codecs: how the bytes of one chunk are stored.
//
//   none   as they are
//   fast   floats are split into an exponent plane, which is entropy coded as pairs of nibbles with
//          zstd's Huffman coder alone, and raw planes; other bytes raw or zstd, by sampling
//   zstd   one standard zstd frame at a given level
//
// A chunk is never stored larger than raw: where coding does not pay, the chunk is stored raw.
#pragma once

#include "milepost/io/digest.h"
#include "milepost/io/error.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace milepost {

// What a user asks for.
struct Codec {
  enum class Kind : std::uint8_t { none, fast, zstd };
  Kind kind = Kind::fast;
  int level = 1;  // zstd only: 1 to 19

  static Codec none() { return {Kind::none, 0}; }
  static Codec fast() { return {Kind::fast, 0}; }
  static Codec zstd(int level) { return {Kind::zstd, level}; }
  // "none", "fast", "zstd", "zstd:7".
  static Result<Codec> parse(std::string_view text);
  std::string to_string() const;
};

// What the bytes of a chunk are, as far as coding cares. Written to disk: values are fixed.
enum class ElementKind : std::uint8_t { other = 0, f16 = 1, bf16 = 2, f32 = 3, f64 = 4 };

// How a chunk is stored. Written to disk: values are fixed.
enum class ChunkEncoding : std::uint8_t { raw = 0, zstd = 1, float_planes = 2 };

struct EncodedChunk {
  ChunkEncoding encoding = ChunkEncoding::raw;
  std::size_t stored_bytes = 0;  // equals the raw size when encoding is raw
  Digest raw_digest;
  Digest stored_digest;  // equals raw_digest when encoding is raw
};

// Bytes that encode() may write to its output for a chunk of raw_bytes: no more than these.
std::size_t encoded_bytes_max(std::size_t raw_bytes);

// Holds coder state and scratch memory (under 4 MiB; zstd's high levels want more: 19 some 80 MiB);
// one for each worker. Not thread-safe.
class ChunkEncoder {
 public:
  ChunkEncoder();
  ~ChunkEncoder();
  ChunkEncoder(ChunkEncoder&&) noexcept;
  ChunkEncoder& operator=(ChunkEncoder&&) noexcept;

  // Codes `raw` (up to 1 GiB; need not be a whole number of elements) and digests it before and
  // after; floats in `fast` are read from memory once. `out` holds at least encoded_bytes_max(raw.size()) bytes.
  // When the result says raw, `out` has no meaning: the caller stores `raw` itself. For `none`,
  // `out` may be empty. Fails only with invalid_argument.
  Result<EncodedChunk> encode(const Codec& codec, ElementKind kind, std::span<const std::byte> raw,
                              std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Undoes encode(). `stored` is hostile until its digest is checked, and is treated as such after it
// too. Not thread-safe; one for each worker.
class ChunkDecoder {
 public:
  ChunkDecoder();
  ~ChunkDecoder();
  ChunkDecoder(ChunkDecoder&&) noexcept;
  ChunkDecoder& operator=(ChunkDecoder&&) noexcept;

  // Fills exactly `raw`; checks the digest of the stored bytes before decoding and of the raw bytes
  // after. On an error (corruption, saying which of the two digests failed, or what was malformed)
  // the content of `raw` has no meaning. For encoding raw, `stored` and `raw` have one size, and may
  // be the same memory (then nothing is copied).
  Result<void> decode(ChunkEncoding encoding, ElementKind kind, std::span<const std::byte> stored,
                      const Digest& stored_digest, std::span<std::byte> raw, const Digest& raw_digest);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace milepost
