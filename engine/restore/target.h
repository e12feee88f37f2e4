// Where a restore goes: matches what is asked for against what the manifest says is there, lists every
// difference, and allocates what the caller did not provide. No I/O.
#pragma once

#include "milepost/engine/restore/restore.h"

#include <cstddef>
#include <string>
#include <vector>

namespace milepost {

// A stored leaf to be read, whole or in part.
struct LeafTarget {
  std::size_t leaf = 0;  // in Manifest::leaves
  std::string path;
  Shape start;                       // of the part; its extent is the destination's shape
  Tensor destination;                // has memory; of another dtype than the leaf, if that is to be cast
  std::vector<Tensor> padding = {};  // what of the target is set to zero
};

struct ItemTarget {
  Tree tree;  // the result; large strings and bytes are filled in by finish_target
  std::vector<LeafTarget> leaves;
};

// structure_mismatch: the checkpoint has other leaves, kinds, dtypes or shapes than the target, with one line for each
// difference; invalid_argument, with the same lines, if one of them is a tensor or a slice that could fit no
// checkpoint. not_found: a pattern or a slice's path that matches nothing.
Result<ItemTarget> resolve_target(const Manifest& manifest, RestoreItem request);

// Before any leaf is read.
void fill_padding(const ItemTarget& target);

// After all leaves have been read: moves large strings and bytes into the tree.
void finish_target(const Manifest& manifest, ItemTarget& target);

}  // namespace milepost
