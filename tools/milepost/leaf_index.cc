#include "tools/milepost/leaf_index.h"

#include "milepost/io/try.h"

#include <algorithm>

namespace milepost::tool {
namespace {

std::uint64_t inline_bytes(const Tree& leaf) {
  if (leaf.get_if<bool>() != nullptr) return 1;
  if (leaf.get_if<std::nullptr_t>() != nullptr) return 0;
  if (const auto* text = leaf.get_if<std::string>()) return text->size();
  if (const auto* bytes = leaf.get_if<Tree::Bytes>()) return bytes->size();
  return 8;
}

}  // namespace

std::vector<Leaf> leaves_of(const Manifest& manifest) {
  std::vector<Leaf> leaves;
  std::size_t next_stored = 0;
  for_each_leaf(manifest.tree, [&](const std::string& path, const Tree& value) {
    Leaf leaf = {.path = path, .value = &value};
    if (value.get_if<Tensor>() != nullptr) {
      leaf.stored = &manifest.leaves[next_stored++];
      leaf.bytes = packed_bytes(leaf.stored->dtype, leaf.stored->shape).value_or(0);
    } else {
      leaf.bytes = inline_bytes(value);
    }
    leaves.push_back(std::move(leaf));
  });
  return leaves;
}

std::string type_name(const Leaf& leaf) {
  if (leaf.stored == nullptr) return leaf.value->describe();
  switch (leaf.stored->stored_as) {
    case StoredAs::tensor: break;
    case StoredAs::string: return "string";
    case StoredAs::bytes: return "bytes";
  }
  return std::string(name_of(leaf.stored->dtype));
}

Result<StoredShares> StoredShares::of(StepReader& reader, const Manifest& manifest) {
  StoredShares shares;
  for (std::size_t i = 0; i < manifest.streams.size(); ++i) {
    MILEPOST_ASSIGN(const std::vector<Chunk>* chunks, reader.chunks(manifest.item, i));
    shares.streams_.push_back(chunks);
  }
  return shares;
}

std::optional<double> StoredShares::stored_bytes(const Leaf& leaf) const {
  if (leaf.stored == nullptr) return std::nullopt;
  double stored = 0;
  for (const Shard& shard : leaf.stored->shards) {
    const std::vector<Chunk>& chunks = *streams_[shard.stream];
    const std::uint64_t end = shard.offset + leaf.stored->bytes_of(shard);
    // The chunks tile the stream: the first that reaches behind the shard's beginning, and on.
    auto chunk = std::partition_point(chunks.begin(), chunks.end(), [&](const Chunk& candidate) {
      return candidate.raw_offset + candidate.raw_bytes <= shard.offset;
    });
    for (; chunk != chunks.end() && chunk->raw_offset < end; ++chunk) {
      const std::uint64_t from = std::max(shard.offset, chunk->raw_offset);
      const std::uint64_t to = std::min(end, chunk->raw_offset + chunk->raw_bytes);
      stored += static_cast<double>(to - from) / chunk->raw_bytes * chunk->stored_bytes;
    }
  }
  return stored;
}

}  // namespace milepost::tool
