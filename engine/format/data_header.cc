#include "milepost/engine/format/data_header.h"

#include "milepost/engine/format/safetensors.h"
#include "milepost/io/store.h"

#include <algorithm>

namespace milepost {

Result<std::string> encode_data_header(std::uint32_t stream, std::span<const std::string> paths,
                                       const StoredLeaves& leaves) {
  SafetensorsHeader header;
  header.entries.reserve(leaves.count);
  auto path = paths.begin();
  leaves.each([&](const StoredLeaf& leaf) {
    const std::string name = *path == "__metadata__" ? "~__metadata__" : *path;
    ++path;
    if (leaf.shards.empty() && stream == 0) header.entries.push_back({name, leaf.dtype, leaf.shape, 0, 0});
    for (const Shard& shard : leaf.shards) {
      if (shard.stream != stream) continue;
      header.entries.push_back(
          {name, leaf.dtype, leaf.extent_of(shard), shard.offset, shard.offset + leaf.bytes_of(shard)});
    }
  });
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const auto& a, const auto& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  return encode_safetensors_header(header, io_alignment);
}

}  // namespace milepost
