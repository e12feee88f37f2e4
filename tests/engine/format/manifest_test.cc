#include "milepost/engine/format/manifest.h"

#include "tests/engine/format/random_manifest.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>

namespace milepost {
namespace {

void expect_same(const Manifest& a, const Manifest& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.item, b.item);
  EXPECT_EQ(a.attempt, b.attempt);
  EXPECT_EQ(a.codec, b.codec);
  EXPECT_TRUE(same_tree(a.tree, b.tree));
  EXPECT_EQ(a.leaves, b.leaves);
  EXPECT_EQ(a.streams, b.streams);
}

void expect_round_trip(const Manifest& manifest) {
  const std::string text = encode_manifest(manifest);
  const auto decoded = decode_manifest(text);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string() << "\n" << text;
  expect_same(*decoded, manifest);
  EXPECT_EQ(encode_manifest(*decoded), text);
}

Manifest without_leaves(Tree tree) {
  Manifest manifest;
  manifest.item = "state";
  manifest.attempt = "01234567-89ab-4cde-8f01-23456789abcd";
  manifest.tree = std::move(tree);
  return manifest;
}

TEST(Manifest, RandomOnesRoundTrip) {
  EXPECT_TRUE(rc::check([] {
    expect_round_trip(RandomManifest(*rc::gen::arbitrary<std::uint64_t>())());
    RC_ASSERT(!::testing::Test::HasFailure());
  }));
}

TEST(Manifest, EveryDTypeRoundTrips) {
  Manifest manifest = without_leaves(Tree::list());
  manifest.streams.resize(1);
  Stream& stream = manifest.streams[0];
  for (int i = 0; i < dtype_count; ++i) {
    const auto dtype = static_cast<DType>(i);
    manifest.tree.get_if<Tree::List>()->push_back(Tensor::abstract(dtype, {2, 4}));
    manifest.leaves.push_back({StoredAs::tensor, dtype, {2, 4}, {{0, stream.raw_bytes}}});
    stream.raw_bytes += static_cast<std::uint64_t>(bits_of(dtype));
  }
  stream.data_file = "data-0.bin";
  stream.table_file = "chunks-0.bin";
  stream.chunk_count = 1;
  expect_round_trip(manifest);
  // A rectangle as large as the tensor is the whole, however it is said.
  const std::string text = encode_manifest(manifest);
  for (StoredLeaf& leaf : manifest.leaves) leaf.shards = {{0, leaf.shards[0].offset, {0, 0}, leaf.shape}};
  EXPECT_EQ(encode_manifest(manifest), text);
}

TEST(Manifest, ScalarsKeepEveryBit) {
  Tree::List values{nullptr, true, false, 0, -1, "", "t", "n", Tree::Bytes{}};
  for (const std::int64_t value : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()})
    values.push_back(value);
  values.push_back(std::numeric_limits<std::uint64_t>::max());
  for (const std::uint64_t bits :
       {0x0ULL, 0x8000000000000000ULL, 0x1ULL, 0x7ff0000000000000ULL, 0xfff0000000000000ULL, 0x7ff8000000000000ULL,
        0xfff8000000000123ULL, 0x7ff0000000000001ULL, 0x3fb999999999999aULL}) {
    values.push_back(std::bit_cast<double>(bits));
  }
  std::string all_ascii;
  for (int c = 0; c < 128; ++c) all_ascii += static_cast<char>(c);
  values.push_back(all_ascii);
  values.push_back(std::string(inline_bytes_max, 'x'));
  for (std::size_t size = 0; size < 300; ++size) {
    Tree::Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(255 - i);
    values.push_back(std::move(bytes));
  }
  values.push_back(Tree::Bytes(inline_bytes_max, std::byte{0xFF}));
  expect_round_trip(without_leaves(Tree(std::move(values))));
}

TEST(Manifest, ATreeCanBeALeafOrEmptyOrAsDeepAsAllowed) {
  expect_round_trip(without_leaves(Tree()));
  expect_round_trip(without_leaves(Tree(5)));
  expect_round_trip(without_leaves(Tree::map()));
  Tree deep = 1;
  for (int i = 0; i < tree_depth_max; ++i) deep = Tree::map({{"k", std::move(deep)}});
  expect_round_trip(without_leaves(std::move(deep)));
  Tree empty = Tree::list();
  for (int i = 0; i < tree_depth_max; ++i) empty = Tree::list({std::move(empty)});
  expect_round_trip(without_leaves(std::move(empty)));
}

TEST(Manifest, KeysSortByBytesNotByCharacterSign) {
  expect_round_trip(without_leaves(Tree::map({{"z", 1}, {"\xC3\xA9", 2}, {"a", 3}, {"a\x01", 4}, {"Z", 5}})));
}

TEST(Manifest, AReaderOfAnOlderMinorVersionSkipsOutermostFieldsItDoesNotKnow) {
  const Manifest manifest = without_leaves(Tree::map({{"a", 1}}));
  std::string text = encode_manifest(manifest);
  const std::string version = "\"minor\":0}";
  text.replace(text.find(version), version.size(), "\"minor\":7},\"news\":[{\"x\":1.5},null]");
  const auto decoded = decode_manifest(text);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  expect_same(*decoded, manifest);
}

TEST(Manifest, TheSpaceAndOrderOfJsonDoNotMatter) {
  const auto decoded = decode_manifest(R"( {"leaves" : [ ], "tree":{ },"streams":[],"codec":"none","item":"s","step":3,
      "attempt":"01234567-89ab-4cde-8f01-23456789abcd", "format" :{"minor":0,"major":1}})");
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(decoded->step, 3);
}

}  // namespace
}  // namespace milepost
