// Whatever is coded comes back.
#include "milepost/io/codec/codec.h"

#include "tests/fuzz/target.h"

#include <algorithm>
#include <vector>

namespace milepost::fuzz {
namespace {

const Target chunk_round_trip_target("chunk_round_trip", [](std::span<const std::byte> input) {
  static ChunkEncoder encoder;
  static ChunkDecoder decoder;
  const auto how = take<std::uint8_t>(input);
  const Codec codec = how % 4 == 0 ? Codec::none() : how % 4 == 1 ? Codec::zstd(1 + how / 4 % 3) : Codec::fast();
  const auto kind = static_cast<ElementKind>(take<std::uint8_t>(input) % 5);
  const std::size_t repeats = 1 + take<std::uint8_t>(input);
  std::vector<std::byte> raw;
  for (std::size_t i = 0; i < repeats; ++i) raw.insert(raw.end(), input.begin(), input.end());

  std::vector<std::byte> out(encoded_bytes_max(raw.size()));
  const auto coded = encoder.encode(codec, kind, raw, out);
  expect(coded.has_value(), "a chunk cannot be coded");
  expect(coded->stored_bytes <= raw.size(), "coding makes a chunk larger");
  const std::vector<std::byte>& stored = coded->encoding == ChunkEncoding::raw ? raw : out;
  std::vector<std::byte> back(raw.size());
  const auto decoded = decoder.decode(coded->encoding, kind, std::span(stored).first(coded->stored_bytes),
                                      coded->stored_digest, back, coded->raw_digest);
  expect(decoded.has_value() && back == raw, "what was coded does not come back");
});

}  // namespace
}  // namespace milepost::fuzz
