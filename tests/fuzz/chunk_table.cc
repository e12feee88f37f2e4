// A chunk table, of a stream that the input chooses: refused, or the only bytes that say what it says.
#include "milepost/engine/format/chunk_table.h"

#include "tests/fuzz/target.h"

#include <algorithm>

namespace milepost::fuzz {
namespace {

const Target chunk_table_target("chunk_table", [](std::span<const std::byte> input) {
  Stream stream;
  stream.raw_bytes = take<std::uint64_t>(input);
  stream.data_file_bytes = take<std::uint64_t>(input);
  stream.data_offset = take<std::uint64_t>(input);
  stream.chunk_count = take<std::uint64_t>(input);
  const auto chunks = decode_chunk_table(input, stream);
  if (chunks.has_error()) return;
  const auto written = encode_chunk_table(*chunks);
  expect(std::equal(written.begin(), written.end(), input.begin(), input.end()), "a table says more than its chunks");
  std::uint64_t stored_bytes = 0;
  for (const Chunk& chunk : *chunks) stored_bytes += chunk.stored_bytes;
  expect(stored_bytes <= stream.data_file_bytes, "chunks share bytes of the data file");
});

}  // namespace
}  // namespace milepost::fuzz
