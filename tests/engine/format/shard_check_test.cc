#include "milepost/engine/format/shard_check.h"

#include "tests/engine/format/random_manifest.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <chrono>

namespace milepost {
namespace {

std::vector<Stream> one_stream() {
  std::vector<Stream> streams(1);
  streams[0].raw_bytes = std::uint64_t{1} << 40;
  return streams;
}

// Counts every element, for shapes of up to three small dimensions.
bool covers_each_element_once(const StoredLeaf& leaf) {
  std::array<std::int64_t, 3> shape{1, 1, 1};
  std::copy(leaf.shape.begin(), leaf.shape.end(), shape.begin());
  std::vector<int> count(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
  for (const Shard& shard : leaf.shards) {
    std::array<std::int64_t, 3> start{0, 0, 0}, extent{1, 1, 1};
    std::copy(shard.start.begin(), shard.start.end(), start.begin());
    std::copy(shard.extent.begin(), shard.extent.end(), extent.begin());
    for (int d = 0; d < 3; ++d) {
      if (extent[d] < 1 || start[d] < 0 || start[d] + extent[d] > shape[d]) return false;
    }
    for (std::int64_t i = 0; i < extent[0]; ++i) {
      for (std::int64_t j = 0; j < extent[1]; ++j) {
        for (std::int64_t k = 0; k < extent[2]; ++k) {
          ++count[static_cast<std::size_t>(((start[0] + i) * shape[1] + start[1] + j) * shape[2] + start[2] + k)];
        }
      }
    }
  }
  return std::all_of(count.begin(), count.end(), [](int n) { return n == 1; });
}

TEST(LeafShards, AcceptedExactlyWhenTheyCoverEachElementOnce) {
  int good = 0;
  int bad = 0;
  EXPECT_TRUE(rc::check([&] {
    RandomManifest random(*rc::gen::arbitrary<std::uint64_t>());
    StoredLeaf leaf;
    for (std::size_t rank = 1 + random.below(3); rank > 0; --rank)
      leaf.shape.push_back(static_cast<std::int64_t>(1 + random.below(6)));
    leaf.shards = random.cut(Shape(leaf.shape.size(), 0), leaf.shape, true, static_cast<int>(random.below(5)));
    for (std::size_t n = random.below(3); n > 0; --n) {  // move or stretch some
      Shard& shard = leaf.shards[random.below(leaf.shards.size())];
      const std::size_t d = random.below(leaf.shape.size());
      (random.below(2) == 0 ? shard.start : shard.extent)[d] += random.below(2) == 0 ? 1 : -1;
    }
    if (random.below(10) == 0) leaf.shards.push_back(leaf.shards.front());
    const bool expected = covers_each_element_once(leaf);
    (expected ? good : bad)++;
    RC_ASSERT(check_leaf_shards(leaf, one_stream()).has_value() == expected);
  }));
  EXPECT_GT(good, 5);
  EXPECT_GT(bad, 5);
}

// No straight cut divides it, and moving one piece keeps the sum of the volumes.
TEST(LeafShards, APinwheelTiles) {
  StoredLeaf leaf{StoredAs::tensor, DType::u8, {3, 3}, {}};
  leaf.shards = {{0, 0, {0, 0}, {1, 2}},
                 {0, 0, {0, 2}, {2, 1}},
                 {0, 0, {2, 1}, {1, 2}},
                 {0, 0, {1, 0}, {2, 1}},
                 {0, 0, {1, 1}, {1, 1}}};
  EXPECT_TRUE(check_leaf_shards(leaf, one_stream()).has_value());
  leaf.shards[4].start = {0, 0};
  EXPECT_EQ(check_leaf_shards(leaf, one_stream()).error().message(), "its shards overlap and leave a gap");
}

TEST(LeafShards, ThatOnlyOverlapAreSaidTo) {
  const StoredLeaf leaf{StoredAs::tensor, DType::u8, {2}, {{0, 0, {0}, {2}}, {0, 0, {1}, {1}}}};
  EXPECT_EQ(check_leaf_shards(leaf, one_stream()).error().message(), "its shards overlap");
}

TEST(LeafShards, TheMostShardsAreCheckedQuickly) {
  StoredLeaf leaf{StoredAs::tensor, DType::u8, {256, 256}, {}};
  for (std::int64_t i = 0; i < 65'536; ++i) leaf.shards.push_back({0, 0, {i / 256, i % 256}, {1, 1}});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(check_leaf_shards(leaf, one_stream()).has_value());
  leaf.shards.back().start = {0, 0};
  EXPECT_TRUE(check_leaf_shards(leaf, one_stream()).has_error());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(LeafShards, ElementsOfLessThanAByteAreNotTornApart) {
  StoredLeaf leaf{StoredAs::tensor, DType::f4, {4}, {{0, 0, {0}, {2}}, {0, 1, {2}, {2}}}};
  EXPECT_TRUE(check_leaf_shards(leaf, one_stream()).has_value());
  leaf.shards = {{0, 0, {0}, {1}}, {0, 1, {1}, {3}}};
  EXPECT_EQ(check_leaf_shards(leaf, one_stream()).error().to_string(), "shard 0: not a whole number of bytes");
}

}  // namespace
}  // namespace milepost
