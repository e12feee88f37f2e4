// Float planes that no writer would write: each breaks one rule of docs/format-float-planes.md, with digests that are
// right, and the reader says which.
#include "milepost/io/codec/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace milepost {
namespace {

using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

void append(Bytes& bytes, std::uint64_t number, std::size_t width) {
  for (std::size_t i = 0; i < width; ++i) bytes.push_back(static_cast<std::byte>(number >> (8 * i)));
}

void set(Bytes& bytes, std::size_t at, std::uint64_t number, std::size_t width) {
  Bytes field;
  append(field, number, width);
  std::ranges::copy(field, bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

constexpr std::size_t elements = 32;
constexpr std::size_t plane_0 = 8;
constexpr std::size_t plane_1 = 20;
constexpr std::size_t coded_bytes = 4;
constexpr std::size_t escape_count = 8;
constexpr std::size_t payloads = 64;
constexpr std::size_t frame_bytes = 9 + elements / 2;
constexpr std::size_t piece_bytes = 128;

// 32 words of 2 bytes and a byte that is none; plane 0 raw, plane 1 in nibbles from 10 on, with three escapes.
struct Chunk {
  Bytes stored;
  Bytes raw;
};

Chunk good_chunk() {
  Chunk chunk;
  Bytes& stored = chunk.stored;
  append(stored, piece_bytes, 4);
  append(stored, 1, 4);  // planes, not rotated
  for (const std::uint64_t plane : {0, 1}) {
    append(stored, plane == 0 ? 0 : 10 << 8 | 3, 4);  // mode and base
    append(stored, plane == 0 ? elements : frame_bytes, 4);
    append(stored, plane == 0 ? 0 : 3, 4);
  }
  stored.resize(payloads);
  for (std::size_t i = 0; i < elements; ++i) append(stored, 7 * i, 1);
  append(stored, 0xFD2FB528, 4);
  append(stored, 0x20, 1);  // a byte of size, a single segment
  append(stored, elements / 2, 1);
  append(stored, elements / 2 << 3 | 1, 3);  // the last block, as it is
  const auto code = [](std::size_t i) { return i < 3 ? 15 : i % 15; };
  for (std::size_t i = 0; i < elements; i += 2) append(stored, code(i) | code(i + 1) << 4, 1);
  for (std::size_t i = 0; i < 3; ++i) append(stored, 200 + i, 1);
  stored.resize(piece_bytes);
  append(stored, 99, 1);

  for (std::size_t i = 0; i < elements; ++i) {
    append(chunk.raw, 7 * i, 1);
    append(chunk.raw, i < 3 ? 200 + i : 10 + code(i), 1);
  }
  append(chunk.raw, 99, 1);
  return chunk;
}

std::string refusal(const Chunk& chunk) {
  Bytes decoded(chunk.raw.size());
  const auto result = ChunkDecoder().decode(ChunkEncoding::float_planes, ElementKind::bf16, chunk.stored,
                                            Digest::of(chunk.stored), decoded, Digest::of(chunk.raw));
  if (result.has_value()) {
    EXPECT_EQ(decoded, chunk.raw);
    return "";
  }
  EXPECT_EQ(result.error().code(), ErrorCode::corruption);
  return result.error().to_string();
}

TEST(HostilePiece, AGoodOneIsRead) { EXPECT_EQ(refusal(good_chunk()), ""); }

TEST(HostilePiece, EachRuleThatItBreaksIsNamed) {
  const auto at = [](Bytes& bytes, std::size_t offset) { return bytes.begin() + static_cast<std::ptrdiff_t>(offset); };
  const struct {
    std::string refusal;
    std::function<void(Bytes&)> change;
  } cases[] = {
      {"piece 0: the chunk ends before its header", [](Bytes& bytes) { bytes.resize(7); }},
      {"piece 0: it is longer than the chunk", [](Bytes& bytes) { set(bytes, 0, 192, 4); }},
      {"piece 0: it ends within its header", [](Bytes& bytes) { set(bytes, 0, 0, 4); }},
      {"piece 0: its form 2 is unknown", [](Bytes& bytes) { set(bytes, 4, 2, 1); }},
      {"piece 0: its header is malformed", [](Bytes& bytes) { set(bytes, 5, 2, 1); }},
      {"piece 0: its header is malformed", [](Bytes& bytes) { set(bytes, 6, 1, 2); }},
      {"piece 0: its header is not padded with zeros", [](Bytes& bytes) { set(bytes, payloads - 1, 1, 1); }},
      {"plane 0: its mode 4 is unknown", [](Bytes& bytes) { set(bytes, plane_0, 4, 1); }},
      {"plane 0: its header is malformed", [](Bytes& bytes) { set(bytes, plane_0 + 1, 1, 1); }},
      {"plane 1: its header is malformed", [](Bytes& bytes) { set(bytes, plane_1 + 2, 1, 2); }},
      {"plane 0: only nibbles have escapes", [](Bytes& bytes) { set(bytes, plane_0 + escape_count, 1, 4); }},
      {"plane 0: it is raw, but does not have a byte for each element",
       [&](Bytes& bytes) {
         set(bytes, plane_0 + coded_bytes, elements + 1, 4);
         bytes.insert(at(bytes, payloads + elements), std::byte{0});
         bytes.erase(at(bytes, piece_bytes));
       }},
      {"plane 1: it is longer than its piece",
       [](Bytes& bytes) { set(bytes, plane_1 + coded_bytes, piece_bytes - payloads - elements - 2, 4); }},
      {"plane 1: its codes and its escapes do not match",
       [](Bytes& bytes) {
         set(bytes, plane_1 + escape_count, 2, 4);
         set(bytes, payloads + elements + frame_bytes + 2, 0, 1);
       }},
      {"plane 1: escapes are left over", [](Bytes& bytes) { set(bytes, plane_1 + escape_count, 4, 4); }},
      {"piece 0: its size is not the sum of its planes",
       [&](Bytes& bytes) {
         set(bytes, 0, piece_bytes + 64, 4);
         bytes.insert(at(bytes, piece_bytes), 64, std::byte{0});
       }},
      {"piece 0: its size is not the sum of its planes", [](Bytes& bytes) { set(bytes, 0, piece_bytes - 1, 4); }},
      {"piece 0: it is not padded with zeros", [](Bytes& bytes) { set(bytes, piece_bytes - 1, 1, 1); }},
      {"0 bytes follow the last piece, not 1", [](Bytes& bytes) { bytes.pop_back(); }},
      {"2 bytes follow the last piece, not 1", [](Bytes& bytes) { bytes.push_back({}); }},
  };
  for (const auto& [expected, change] : cases) {
    Chunk chunk = good_chunk();
    change(chunk.stored);
    chunk.stored.shrink_to_fit();  // so that a sanitizer sees a read past the end
    EXPECT_THAT(refusal(chunk), HasSubstr(expected));
  }
}

}  // namespace
}  // namespace milepost
