// Whether shards are where they must be. Internal to engine/format.
#pragma once

#include "milepost/engine/format/manifest.h"

#include <span>

namespace milepost {

// Shards of one leaf at most.
inline constexpr std::size_t leaf_shards_max = 65'536;

// corruption unless the shards are rectangles of whole bytes within the leaf's shape that tile it
// exactly, in streams that exist and hold their bytes. Time is linear in the text of the shards.
Result<void> check_leaf_shards(const StoredLeaf& leaf, std::span<const Stream> streams);

// corruption unless the shards of all leaves, which passed check_leaf_shards, hold each byte of each
// stream exactly once. Messages name leaves by their paths in the manifest's tree.
Result<void> check_streams_tiled(const Manifest& manifest);

}  // namespace milepost
