// The leaves of an item as its manifest lists them, with what each takes.
#pragma once

#include "milepost/engine/restore/restore.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace milepost::tool {

struct Leaf {
  std::string path;
  const Tree* value = nullptr;         // of the manifest's tree: the value itself, or an abstract tensor
  const StoredLeaf* stored = nullptr;  // null: the value lies in the manifest
  std::uint64_t bytes = 0;             // packed
};

// In leaf order; valid as long as the manifest.
std::vector<Leaf> leaves_of(const Manifest& manifest);

// "F32", "string", "int64": the leaf's type in one word.
std::string type_name(const Leaf& leaf);

// How much of the stored bytes falls to a leaf: of each chunk that it shares, its part of the raw
// bytes. An estimate, because not every part of a chunk is coded equally well.
class StoredShares {
 public:
  // Reads the chunk tables.
  static Result<StoredShares> of(StepReader& reader, const Manifest& manifest);
  // None for leaves that lie in the manifest.
  std::optional<double> stored_bytes(const Leaf& leaf) const;

 private:
  std::vector<const std::vector<Chunk>*> streams_;
};

}  // namespace milepost::tool
