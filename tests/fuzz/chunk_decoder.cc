// A chunk of any encoding, kind and declared size, whose stored digest is right: refused, or decoded to the same bytes
// every time, whatever was in the memory before.
#include "milepost/engine/format/chunk_table.h"

#include "tests/fuzz/target.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace milepost::fuzz {
namespace {

// Exactly as large as declared, so that a sanitizer sees what is written behind it.
struct Raw {
  Raw(std::size_t bytes, int before) : memory(new std::byte[bytes]), span(memory.get(), bytes) {
    if (bytes > 0) std::memset(memory.get(), before, bytes);
  }
  const std::unique_ptr<std::byte[]> memory;
  const std::span<std::byte> span;
};

const Target chunk_decoder_target("chunk_decoder", [](std::span<const std::byte> input) {
  static ChunkDecoder decoder;  // as a worker's, which decodes many
  const auto encoding = static_cast<ChunkEncoding>(take<std::uint8_t>(input) % 4);
  const auto kind = static_cast<ElementKind>(take<std::uint8_t>(input) % 6);
  // Any size; but most of them small, since filling 4 MiB takes longer than all the rest.
  const auto declared = take<std::uint32_t>(input);
  const std::size_t raw_bytes = declared >> 31 ? declared % (chunk_bytes_max + 1) : declared % 70'000;
  const Digest stored_digest = Digest::of(input);

  const Raw first(raw_bytes, 0xAA);
  const auto refused = decoder.decode(encoding, kind, input, stored_digest, first.span, Digest{});
  expect(refused.has_error(), "bytes of a wrong digest are taken");
  if (refused.error().message().find("digest of the raw bytes") == std::string::npos) return;

  // Only the digest was wrong: with the right one these are the bytes.
  const Digest raw_digest = encoding == ChunkEncoding::raw ? stored_digest : Digest::of(first.span);
  const Raw second(raw_bytes, 0x55);
  const auto decoded = decoder.decode(encoding, kind, input, stored_digest, second.span, raw_digest);
  expect(decoded.has_value(), "a chunk decodes to other bytes the second time");
  if (encoding != ChunkEncoding::raw) {
    expect(std::ranges::equal(first.span, second.span), "bytes of another digest are taken");
  }
});

}  // namespace
}  // namespace milepost::fuzz
