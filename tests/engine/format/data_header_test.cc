// The header says what lies where in the file, whatever the order of the leaves in the tree.
#include "milepost/engine/format/data_header.h"

#include "milepost/engine/format/safetensors.h"
#include "milepost/io/store.h"
#include "tests/support/bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace milepost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::to_bytes;

StoredLeaf leaf(const Shape& shape, const std::vector<Shard>& shards) {
  return {StoredAs::tensor, DType::f32, shape, shards};
}

Result<std::string> header(std::uint32_t stream, const std::vector<std::pair<std::string, StoredLeaf>>& named) {
  Tree tree;
  std::vector<StoredLeaf> leaves;
  for (const auto& [name, leaf] : named) {
    tree[name] = Tensor::abstract(leaf.dtype, leaf.shape);
    leaves.push_back(leaf);
  }
  return encode_data_header(stream, tree, StoredLeaves::of(leaves));
}

std::vector<SafetensorsEntry> entries(std::uint32_t stream,
                                      const std::vector<std::pair<std::string, StoredLeaf>>& named,
                                      std::uint64_t data_bytes) {
  const auto text = header(stream, named);
  EXPECT_TRUE(text.has_value()) << text.error().to_string();
  EXPECT_EQ(text->size() % io_alignment, 0U);
  const auto decoded = decode_safetensors_header(to_bytes(*text), text->size() + data_bytes);
  EXPECT_TRUE(decoded.has_value()) << decoded.error().to_string();
  return decoded->entries;
}

// entries() puts them in order: this is what comes first in the text.
std::string_view first_name(const std::string& text) {
  const std::size_t begin = text.find('"') + 1;
  return std::string_view(text).substr(begin, text.find('"', begin) - begin);
}

TEST(DataHeader, IsInTheOrderOfTheFile) {
  EXPECT_THAT(
      entries(0, {{"a", leaf({2}, {{0, 0}})}, {"b", leaf({3, 1}, {{0, 8}})}}, 20),
      ElementsAre(SafetensorsEntry{"a", DType::f32, {2}, 0, 8}, SafetensorsEntry{"b", DType::f32, {3, 1}, 8, 20}));
  const std::vector<std::pair<std::string, StoredLeaf>> other = {{"a", leaf({2}, {{0, 12}})},
                                                                 {"b", leaf({3, 1}, {{0, 0}})}};
  EXPECT_THAT(entries(0, other, 20), ElementsAre(SafetensorsEntry{"b", DType::f32, {3, 1}, 0, 12},
                                                 SafetensorsEntry{"a", DType::f32, {2}, 12, 20}));
  EXPECT_EQ(first_name(header(0, other).value()), "b");
}

TEST(DataHeader, LeavesWithoutBytesComeFirst) {
  const SafetensorsEntry x{"x", DType::f32, {0}, 0, 0};
  const SafetensorsEntry z{"z", DType::f32, {0, 2}, 0, 0};
  const SafetensorsEntry y{"y", DType::f32, {2}, 0, 8};
  EXPECT_THAT(entries(0, {{"x", leaf({0}, {})}, {"y", leaf({2}, {{0, 0}})}}, 8), ElementsAre(x, y));
  EXPECT_THAT(entries(0, {{"x", leaf({0}, {})}, {"y", leaf({2}, {{0, 0}})}, {"z", leaf({0, 2}, {})}}, 8),
              ElementsAre(x, z, y));
  EXPECT_THAT(entries(1, {{"x", leaf({0}, {})}}, 0), IsEmpty()) << "they are in the first stream";
}

TEST(DataHeader, HasTheShardsOfItsStream) {
  const std::vector<std::pair<std::string, StoredLeaf>> named = {
      {"a", leaf({2}, {{0, 0}})}, {"b", leaf({4, 2}, {{0, 8, {0, 0}, {1, 2}}, {1, 0, {1, 0}, {3, 2}}})}};
  EXPECT_THAT(entries(0, named, 16), ElementsAre(SafetensorsEntry{"a", DType::f32, {2}, 0, 8},
                                                 SafetensorsEntry{"b", DType::f32, {1, 2}, 8, 16}));
  EXPECT_THAT(entries(1, named, 24), ElementsAre(SafetensorsEntry{"b", DType::f32, {3, 2}, 0, 24}));
}

TEST(DataHeader, TwoShardsOfOneLeafHaveNoNamesOfTheirOwn) {
  const auto text = header(0, {{"a", leaf({4}, {{0, 0, {0}, {1}}, {0, 4, {1}, {3}}})}});
  ASSERT_TRUE(text.has_error());
  EXPECT_THAT(text.error().to_string(), HasSubstr("two tensors of the name a"));
}

TEST(DataHeader, ALeafMayHaveTheReservedName) {
  EXPECT_THAT(entries(0, {{"__metadata__", leaf({1}, {{0, 0}})}}, 4),
              ElementsAre(SafetensorsEntry{"~__metadata__", DType::f32, {1}, 0, 4}));
}

}  // namespace
}  // namespace milepost
