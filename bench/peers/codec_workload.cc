#include "milepost/io/codec/codec.h"
#include "bench/measure.h"
#include "bench/peers/figures.h"
#include "bench/peers/workloads.h"
#include "bench/real_state.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace milepost::bench {

void codec_workload(const Trial& trial, const Tree& state) {
  constexpr std::size_t chunk_bytes = 4 * mib;  // as in a save
  ChunkEncoder encoder;
  ChunkDecoder decoder;
  std::vector<std::byte> stored(encoded_bytes_max(chunk_bytes));
  std::vector<std::byte> decoded(chunk_bytes);
  double encode_s = 0;
  double decode_s = 0;
  std::uint64_t stored_bytes = 0;
  bool correct = true;
  for_each_leaf(state, [&](const std::string&, const Tree& leaf) {
    const auto& tensor = *leaf.get_if<Tensor>();
    const ElementKind kind = element_kind_of(tensor.dtype());
    for (std::uint64_t at = 0; at < tensor.byte_count(); at += chunk_bytes) {
      const std::span<const std::byte> raw(tensor.data() + at, std::min(chunk_bytes, tensor.byte_count() - at));
      EncodedChunk chunk;
      encode_s += seconds([&] { chunk = checked(encoder.encode(trial.codec, kind, raw, stored)); });
      const std::byte* from = chunk.encoding == ChunkEncoding::raw ? raw.data() : stored.data();
      decode_s += seconds([&] {
        checked(decoder.decode(chunk.encoding, kind, {from, chunk.stored_bytes}, chunk.stored_digest,
                               std::span(decoded).first(raw.size()), chunk.raw_digest));
      });
      stored_bytes += chunk.stored_bytes;
      correct = correct && std::memcmp(decoded.data(), raw.data(), raw.size()) == 0;
    }
  });
  Figures figures;
  figures.set("encode_s", encode_s);
  figures.set("decode_s", decode_s);
  figures.set("stored_bytes", static_cast<double>(stored_bytes));
  figures.set("state_bytes", static_cast<double>(byte_count(state)));
  figures.set("correct", correct);
  figures.print();
}

}  // namespace milepost::bench
