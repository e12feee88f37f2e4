#include "milepost/engine/format/data_header.h"

#include "milepost/engine/format/safetensors.h"
#include "milepost/io/store.h"

#include <algorithm>

namespace milepost {

Result<std::string> encode_data_header(std::uint32_t stream, std::span<const std::string> paths,
                                       std::span<const StoredLeaf> leaves) {
  SafetensorsHeader header;
  header.entries.reserve(leaves.size());
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const StoredLeaf& leaf = leaves[i];
    const std::string name = paths[i] == "__metadata__" ? "~__metadata__" : paths[i];
    if (leaf.shards.empty() && stream == 0) header.entries.push_back({name, leaf.dtype, leaf.shape, 0, 0});
    for (const Shard& shard : leaf.shards) {
      if (shard.stream != stream) continue;
      header.entries.push_back({name, leaf.dtype, shard.extent, shard.offset,
                                shard.offset + packed_bytes(leaf.dtype, shard.extent).value_or(0)});
    }
  }
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const auto& a, const auto& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  return encode_safetensors_header(header, io_alignment);
}

}  // namespace milepost
