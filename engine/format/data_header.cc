#include "milepost/engine/format/data_header.h"

#include "milepost/engine/format/safetensors.h"
#include "milepost/io/store.h"

#include <algorithm>

namespace milepost {

namespace {

// Calls fn(entry) for the entries of a stream's file, in tree order.
template <class Function>
void each_entry(std::uint32_t stream, const Tree& tree, const StoredLeaves& leaves, const Function& fn) {
  StoredLeaf leaf;
  SafetensorsEntry entry;
  std::size_t stored = 0;
  for_each_leaf(tree, [&](const std::string& path, const Tree& node) {
    if (!is_stored(node)) return;
    leaves.describe(stored++, node, leaf);
    entry.name = path == "__metadata__" ? "~__metadata__" : path;
    entry.dtype = leaf.dtype;
    if (leaf.shards.empty() && stream == 0) {
      entry.shape = leaf.shape;
      entry.begin = entry.end = 0;
      fn(entry);
    }
    for (const Shard& shard : leaf.shards) {
      if (shard.stream != stream) continue;
      entry.shape = leaf.extent_of(shard);
      entry.begin = shard.offset;
      entry.end = shard.offset + leaf.bytes_of(shard);
      fn(entry);
    }
  });
}

}  // namespace

Result<std::string> encode_data_header(std::uint32_t stream, const Tree& tree, const StoredLeaves& leaves) {
  // As a rule they are in the order of the file, and need not be listed.
  SafetensorsEncoder encoder(leaves.count);
  std::uint64_t end = 0;
  std::string last;
  bool in_order = true;
  each_entry(stream, tree, leaves, [&](const SafetensorsEntry& entry) {
    in_order = in_order && entry.begin == end && entry.name != last;
    if (!in_order) return;
    encoder.add(entry);
    end = entry.end;
    last = entry.name;
  });
  if (in_order) return std::move(encoder).finish(io_alignment);
  SafetensorsHeader header;
  header.entries.reserve(leaves.count);
  each_entry(stream, tree, leaves, [&](const SafetensorsEntry& entry) { header.entries.push_back(entry); });
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const auto& a, const auto& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  return encode_safetensors_header(header, io_alignment);
}

}  // namespace milepost
