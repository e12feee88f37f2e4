// Where a restore goes: matches what is asked for against what the manifest says is there, lists every
// difference, and allocates what the caller did not provide. No I/O.
#pragma once

#include "milepost/engine/restore/restore.h"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace milepost {

// A stored leaf to be read, whole or in part.
struct LeafTarget {
  std::size_t leaf = 0;  // in Manifest::leaves
  Shape start;           // of the part, whose extent is the destination's shape; empty: the first element
  Tensor destination;    // has memory; of another dtype than the leaf, if that is to be cast
};

// What a restore reads and where it goes. A target that was given is not changed before finish_target.
struct ItemTarget {
  // A leaf of the target that is to be replaced.
  struct Replacement {
    Tree* node;
    Tree value;
  };
  // A large string or bytes of the target, read like a tensor.
  struct Text {
    std::string path;
    StoredAs stored_as;
    Tensor read;
  };

  std::vector<Tensor> padding;  // what of the target is set to zero
  std::vector<Replacement> replacements;
  std::vector<Text> texts;
};

// Told of each leaf that is to be read, in tree order; forgets them if there is an error in the end.
using ReadLeafFn = std::function<void(const LeafTarget&)>;

// `tree` is the target, which stays where it is until finish_target, and stands for request.target. structure_mismatch:
// the checkpoint has other leaves, kinds, dtypes or shapes, with one line for each difference; invalid_argument, with
// the same lines, if one of them is a tensor or a slice that could fit no checkpoint. not_found: a pattern or a slice's
// path that matches nothing.
Result<ItemTarget> resolve_target(const Manifest& manifest, const RestoreItem& request, Tree& tree,
                                  const ReadLeafFn& read);
// The same without a target: makes `tree`.
Result<ItemTarget> resolve_fresh(const Manifest& manifest, const RestoreItem& request, Tree& tree,
                                 const ReadLeafFn& read);

// Before any leaf is read.
void fill_padding(const ItemTarget& target);

// After all leaves have been read: puts into the tree what is not there yet. Nothing is changed if it throws.
void finish_target(ItemTarget& target, Tree& tree);

}  // namespace milepost
