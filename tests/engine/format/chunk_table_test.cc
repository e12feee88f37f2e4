#include "milepost/engine/format/chunk_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <functional>
#include <random>

namespace milepost {
namespace {

using ::testing::HasSubstr;

struct Table {
  std::vector<Chunk> chunks;
  Stream stream;
};

Table random_table(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Table table;
  table.chunks.resize(random() % 20);
  for (Chunk& chunk : table.chunks) {
    chunk.raw_offset = table.stream.raw_bytes;
    chunk.raw_bytes = static_cast<std::uint32_t>(1 + random() % chunk_bytes_max);
    chunk.encoding = static_cast<ChunkEncoding>(random() % 3);
    chunk.kind = static_cast<ElementKind>(random() % 5);
    chunk.stored_bytes = chunk.encoding == ChunkEncoding::raw
                             ? chunk.raw_bytes
                             : 1 + static_cast<std::uint32_t>(random() % chunk.raw_bytes);
    for (auto& byte : chunk.raw_digest.bytes) byte = static_cast<std::uint8_t>(random());
    chunk.stored_digest =
        chunk.encoding == ChunkEncoding::raw ? chunk.raw_digest : Digest::of(std::to_string(random()));
    table.stream.raw_bytes += chunk.raw_bytes;
  }
  // Stored in any order, each at a multiple of 4 KiB.
  std::vector<std::size_t> order(table.chunks.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  table.stream.data_offset = 4096 * (random() % 3);
  std::uint64_t end = table.stream.data_offset;
  for (const std::size_t i : order) {
    table.chunks[i].file_offset = end;
    end = (end + table.chunks[i].stored_bytes + 4095) / 4096 * 4096;
  }
  table.stream.data_file_bytes = end;
  table.stream.chunk_count = table.chunks.size();
  return table;
}

TEST(ChunkTable, RandomOnesRoundTrip) {
  EXPECT_TRUE(rc::check([] {
    const Table table = random_table(*rc::gen::arbitrary<std::uint64_t>());
    const auto decoded = decode_chunk_table(encode_chunk_table(table.chunks), table.stream);
    RC_ASSERT(decoded.has_value());
    RC_ASSERT(*decoded == table.chunks);
  }));
}

// Two raw chunks, packed behind a header of 4096 bytes.
Table small_table() {
  Table table;
  table.chunks = {{0, 4096, 100, 100, ChunkEncoding::raw, ElementKind::f32, Digest::of("a"), Digest::of("a")},
                  {100, 4196, 50, 50, ChunkEncoding::raw, ElementKind::other, Digest::of("b"), Digest::of("b")}};
  table.stream.raw_bytes = 150;
  table.stream.data_offset = 4096;
  table.stream.data_file_bytes = 4246;
  table.stream.chunk_count = 2;
  return table;
}

TEST(ChunkTable, EachFaultIsNamed) {
  const struct {
    std::function<void(Table&)> change;
    const char* fragment;
  } table[] = {
      {[](Table& t) { t.chunks[0].raw_offset = 1; }, "record 0: begins at raw byte 1, not at 0"},
      {[](Table& t) { t.chunks[1].raw_offset = 99; }, "record 1: begins at raw byte 99, not at 100"},
      {[](Table& t) { t.chunks[1].raw_offset = 101; }, "record 1: begins at raw byte 101, not at 100"},
      {[](Table& t) { std::swap(t.chunks[0], t.chunks[1]); }, "record 0: begins at raw byte 100"},
      {[](Table& t) { t.stream.raw_bytes = 149; }, "its chunks hold 150 raw bytes; the manifest says 149"},
      {[](Table& t) { t.chunks[0].raw_bytes = 0; }, "record 0: 0 raw bytes"},
      {[](Table& t) { t.chunks[0].raw_bytes = chunk_bytes_max + 1; }, "record 0: 4194305 raw bytes"},
      {[](Table& t) { t.chunks[0].stored_bytes = 99; }, "record 0: raw, but its two sizes differ"},
      {[](Table& t) { t.chunks[0].stored_digest = Digest::of("x"); }, "record 0: raw, but its two digests differ"},
      {[](Table& t) { t.chunks[0].encoding = ChunkEncoding::zstd, t.chunks[0].stored_bytes = 0; },
       "record 0: 0 stored bytes for 100"},
      {[](Table& t) { t.chunks[0].encoding = ChunkEncoding::zstd, t.chunks[0].stored_bytes = 101; },
       "record 0: 101 stored bytes for 100"},
      {[](Table& t) { t.chunks[0].encoding = static_cast<ChunkEncoding>(3); }, "record 0: unknown encoding 3"},
      {[](Table& t) { t.chunks[1].kind = static_cast<ElementKind>(5); }, "record 1: unknown element kind 5"},
      {[](Table& t) { t.chunks[0].file_offset = 4095; }, "record 0: lies before data_offset"},
      {[](Table& t) { t.chunks[1].file_offset = 4195; }, "record 1: overlaps another"},
      {[](Table& t) { t.chunks[1].file_offset = 4096; }, "overlaps another"},
      {[](Table& t) { t.chunks[1].file_offset = 4197; }, "record 1: exceeds the data file"},
      {[](Table& t) { t.chunks[1].file_offset = ~std::uint64_t{0}; }, "record 1: exceeds the data file"},
      {[](Table& t) { t.chunks[1].file_offset += 4096, t.stream.data_file_bytes += 4096; }, "record 1: leaves a gap"},
      {[](Table& t) { t.stream.data_offset = 0; }, "record 0: leaves a gap"},
      {[](Table& t) { t.stream.data_file_bytes += 4096; }, "4096 bytes behind the last chunk"},
      {[](Table& t) { t.stream.data_file_bytes = 4000; }, "data_offset is beyond the end"},
      {[](Table& t) { t.stream.chunk_count = 3; }, "2 records; the manifest says 3"},
  };
  for (const auto& [change, fragment] : table) {
    Table changed = small_table();
    change(changed);
    const auto decoded = decode_chunk_table(encode_chunk_table(changed.chunks), changed.stream);
    ASSERT_TRUE(decoded.has_error()) << fragment;
    EXPECT_EQ(decoded.error().code(), ErrorCode::corruption);
    EXPECT_THAT(decoded.error().to_string(), HasSubstr(fragment));
  }
}

TEST(ChunkTable, BytesThatMustBeAsTheyAre) {
  const Table table = small_table();
  const std::vector<std::byte> good = encode_chunk_table(table.chunks);
  ASSERT_TRUE(decode_chunk_table(good, table.stream).has_value());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::vector<std::byte> bytes = good;
    bytes[i] ^= std::byte{0x80};
    EXPECT_TRUE(decode_chunk_table(bytes, table.stream).has_error()) << i;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_TRUE(decode_chunk_table(std::span(good).first(size), table.stream).has_error()) << size;
  }
  std::vector<std::byte> longer = good;
  longer.resize(good.size() + 64);
  EXPECT_THAT(decode_chunk_table(longer, table.stream).error().to_string(),
              HasSubstr("256 bytes do not fit 2 records"));
}

TEST(ChunkTable, ACountThatOverflowsAllocatesNothing) {
  Table table = small_table();
  std::vector<std::byte> bytes = encode_chunk_table(table.chunks);
  table.stream.chunk_count = (std::uint64_t{1} << 58) + 2;  // times 64 it is 2 again
  bytes[16 + 7] = std::byte{4};
  EXPECT_THAT(decode_chunk_table(bytes, table.stream).error().to_string(), HasSubstr("192 bytes do not fit"));
}

TEST(ChunkTable, AnEmptyStreamHasAnEmptyTable) {
  Stream stream;
  const auto decoded = decode_chunk_table(encode_chunk_table({}), stream);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_TRUE(decoded->empty());
}

}  // namespace
}  // namespace milepost
