// Random valid manifests, and equality of trees, for the tests of the format.
#pragma once

#include "milepost/engine/format/manifest.h"

#include <algorithm>
#include <bit>
#include <random>

namespace milepost {

// Equal to the last bit of a NaN.
inline bool same_tree(const Tree& a, const Tree& b) {
  if (a.value().index() != b.value().index()) return false;
  if (const auto* map = a.get_if<Tree::Map>()) {
    const auto& other = *b.get_if<Tree::Map>();
    return map->size() == other.size() && std::equal(map->begin(), map->end(), other.begin(), [](auto& x, auto& y) {
             return x.first == y.first && same_tree(x.second, y.second);
           });
  }
  if (const auto* list = a.get_if<Tree::List>()) {
    const auto& other = *b.get_if<Tree::List>();
    return std::equal(list->begin(), list->end(), other.begin(), other.end(), same_tree);
  }
  if (const auto* tensor = a.get_if<Tensor>()) {
    const auto& other = *b.get_if<Tensor>();
    return tensor->dtype() == other.dtype() && tensor->shape() == other.shape() &&
           tensor->is_abstract() == other.is_abstract();
  }
  if (const auto* value = a.get_if<bool>()) return *value == *b.get_if<bool>();
  if (const auto* value = a.get_if<std::int64_t>()) return *value == *b.get_if<std::int64_t>();
  if (const auto* value = a.get_if<std::uint64_t>()) return *value == *b.get_if<std::uint64_t>();
  if (const auto* value = a.get_if<double>()) {
    return std::bit_cast<std::uint64_t>(*value) == std::bit_cast<std::uint64_t>(*b.get_if<double>());
  }
  if (const auto* value = a.get_if<std::string>()) return *value == *b.get_if<std::string>();
  if (const auto* value = a.get_if<Tree::Bytes>()) return *value == *b.get_if<Tree::Bytes>();
  return true;
}

class RandomManifest {
 public:
  explicit RandomManifest(std::uint64_t seed) : random_(seed) {}

  Manifest operator()() {
    Manifest manifest;
    manifest.step = static_cast<std::int64_t>(random_() >> 1);
    manifest.item = "item " + text(20, false);
    manifest.attempt = "01234567-89ab-4cde-8f01-23456789abcd";
    manifest.codec = "zstd:7";
    manifest.streams.resize(1 + below(4));
    manifest.tree = tree(0, manifest);
    place(manifest);
    for (std::uint32_t rank = 0; Stream & stream : manifest.streams) {
      stream.rank = rank += 1 + static_cast<std::uint32_t>(below(3));
      stream.data_file = "data-" + std::to_string(rank);
      stream.table_file = "chunks-" + std::to_string(rank);
      stream.data_offset = below(5000);
      stream.data_file_bytes = stream.data_offset + below(std::uint64_t{1} << 40);
      stream.chunk_count = stream.raw_bytes == 0 ? 0 : 1 + below(stream.raw_bytes);
      for (auto& byte : stream.table_digest.bytes) byte = static_cast<std::uint8_t>(random_());
    }
    return manifest;
  }

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  // Cuts a box into rectangles that tile it; the last dimension of sub-byte tensors stays whole.
  std::vector<Shard> cut(const Shape& start, const Shape& extent, bool byte_sized, int cuts) {
    const std::size_t dimensions = extent.size() - (byte_sized || extent.empty() ? 0 : 1);
    if (cuts > 0 && dimensions > 0) {
      const std::size_t d = below(dimensions);
      if (extent[d] > 1) {
        const auto at = static_cast<std::int64_t>(1 + below(static_cast<std::uint64_t>(extent[d] - 1)));
        Shape low = extent, high = extent, high_start = start;
        low[d] = at;
        high[d] -= at;
        high_start[d] += at;
        std::vector<Shard> shards = cut(start, low, byte_sized, cuts - 1);
        for (Shard& shard : cut(high_start, high, byte_sized, cuts - 1)) shards.push_back(std::move(shard));
        return shards;
      }
    }
    return {{0, 0, start, extent}};
  }

 private:
  std::string text(std::size_t length, bool any) {
    static const char* const pieces[] = {"a",  "b",  "~", "k",  "\xC3\xA9", "\xF0\x9F\x98\x80",
                                         "\"", "\\", "/", "\n", "\x01",     "\x7F"};
    std::string text;
    for (std::size_t n = below(length); n > 0; --n) text += pieces[below(any ? std::size(pieces) : 8)];
    if (any && below(8) == 0) text += std::string("\0", 1);
    return text;
  }

  Tree leaf(Manifest& manifest) {
    switch (below(11)) {
      case 0: return Tree();
      case 1: return Tree(below(2) == 0);
      case 2: return Tree(static_cast<std::int64_t>(random_()));
      case 3: return Tree(static_cast<std::uint64_t>(random_()));
      case 4: return Tree(std::bit_cast<double>(static_cast<std::uint64_t>(random_())));
      case 5: return Tree(text(40, true));
      case 6: {
        Tree::Bytes bytes(below(9));
        for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
        return Tree(std::move(bytes));
      }
      default: return stored(manifest);
    }
  }

  Tree stored(Manifest& manifest) {
    StoredLeaf leaf;
    leaf.stored_as = below(5) == 0 ? below(2) == 0 ? StoredAs::string : StoredAs::bytes : StoredAs::tensor;
    if (leaf.stored_as == StoredAs::tensor) {
      leaf.dtype = static_cast<DType>(below(dtype_count));
      for (std::size_t rank = below(5); rank > 0; --rank) leaf.shape.push_back(static_cast<std::int64_t>(below(6)));
      if (!is_byte_sized(leaf.dtype)) leaf.shape.push_back(static_cast<std::int64_t>(4 * below(3)));
    } else {
      leaf.shape = {static_cast<std::int64_t>(below(10'000))};
    }
    if (packed_bytes(leaf.dtype, leaf.shape).value() > 0) {
      leaf.shards = cut(Shape(leaf.shape.size(), 0), leaf.shape, is_byte_sized(leaf.dtype), static_cast<int>(below(4)));
      if (leaf.shards.size() == 1) leaf.shards = {Shard()};  // whole
    }
    manifest.leaves.push_back(leaf);
    return Tree(Tensor::abstract(leaf.dtype, leaf.shape));
  }

  // Children are made in key order, which is that of the leaves.
  Tree tree(int depth, Manifest& manifest) {
    const std::uint64_t kind = below(depth < 4 ? 4 : 8);
    if (kind == 0 || (depth == 0 && kind == 2)) {
      Tree::Map map;
      for (std::size_t n = below(6); n > 0; --n) map.emplace(text(10, true) + "k", Tree());
      for (auto& [key, child] : map) child = tree(depth + 1, manifest);
      return Tree(std::move(map));
    }
    if (kind == 1) {
      Tree::List list;
      for (std::size_t n = below(6); n > 0; --n) list.push_back(tree(depth + 1, manifest));
      return Tree(std::move(list));
    }
    return leaf(manifest);
  }

  // Gives the shards of all leaves places in streams, in a random order.
  void place(Manifest& manifest) {
    std::vector<std::pair<const StoredLeaf*, Shard*>> shards;
    for (StoredLeaf& leaf : manifest.leaves) {
      for (Shard& shard : leaf.shards) shards.push_back({&leaf, &shard});
    }
    std::shuffle(shards.begin(), shards.end(), random_);
    for (const auto& [leaf, shard] : shards) {
      shard->stream = static_cast<std::uint32_t>(below(manifest.streams.size()));
      shard->offset = manifest.streams[shard->stream].raw_bytes;
      manifest.streams[shard->stream].raw_bytes += leaf->bytes_of(*shard);
    }
  }

  std::mt19937_64 random_;
};

}  // namespace milepost
