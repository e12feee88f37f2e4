// The manifest: the complete index of one item in a step (docs/format.md). Plain structs and pure
// functions; no I/O.
#pragma once

#include "milepost/engine/state/tree.h"
#include "milepost/io/digest.h"
#include "milepost/io/error.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace milepost {

inline constexpr int format_major = 1;
inline constexpr int format_minor = 1;  // the newest; a file has the oldest that knows all its fields

// The rectangle of a tensor that one rank holds, and where its packed, row-major bytes lie: at
// `offset` in the raw bytes of stream `stream`. Nearly always that is the whole tensor, which is said
// without a start and an extent: of 100,000 leaves they would be 200,000 allocations.
struct Shard {
  std::uint32_t stream = 0;
  std::uint64_t offset = 0;
  Shape start = {};   // first element in each dimension
  Shape extent = {};  // elements in each dimension; empty: the whole tensor
  bool is_whole() const { return extent.empty(); }
  bool operator==(const Shard&) const = default;
};

// What a stored leaf is in the tree. Large strings and bytes are stored like a U8 tensor.
enum class StoredAs : std::uint8_t { tensor, string, bytes };

struct StoredLeaf {
  StoredAs stored_as = StoredAs::tensor;
  DType dtype = DType::u8;
  Shape shape;                // global
  std::vector<Shard> shards;  // tile the tensor exactly; empty iff the tensor has no bytes
  const Shape& extent_of(const Shard& shard) const { return shard.is_whole() ? shape : shard.extent; }
  // Of a shard of a valid manifest.
  std::uint64_t bytes_of(const Shard& shard) const { return packed_bytes(dtype, extent_of(shard)).value_or(0); }
  bool operator==(const StoredLeaf&) const = default;
};

// The bytes that one rank wrote: a data file, and a chunk table that says what lies where in it.
struct Stream {
  std::uint32_t rank = 0;
  std::uint64_t raw_bytes = 0;
  std::string data_file;  // a name beside the manifest, no path
  std::uint64_t data_file_bytes = 0;
  std::uint64_t data_offset = 0;  // where chunks begin: behind the safetensors header, if any
  std::string table_file;
  std::uint64_t chunk_count = 0;
  Digest table_digest;  // of the whole table file
  bool operator==(const Stream&) const = default;
};

struct Manifest {
  std::int64_t step = 0;
  std::string item;
  std::string attempt;             // the uuid of the attempt that wrote it
  std::string codec;               // as asked for, Codec::to_string
  Tree tree;                       // stored leaves are abstract tensors; other leaves hold their value
  std::vector<StoredLeaf> leaves;  // of the tree's abstract tensors, in the order of for_each_leaf
  std::vector<Stream> streams;
};

// Strings and bytes up to this many bytes are stored in the manifest itself.
inline constexpr std::size_t inline_bytes_max = 4096;
// Whether the bytes of a leaf are in a stream, rather than in the manifest.
bool is_stored(const Tree& leaf);
// Of a tree of the state, or of a manifest.
std::vector<std::string> paths_of_stored_leaves(const Tree& tree);
// A manifest larger than this is refused unread.
inline constexpr std::uint64_t manifest_bytes_max = std::uint64_t{1} << 30;

// Stored leaves of a tree that are described one by one: a list of 100,000 takes as much memory as the tree.
struct StoredLeaves {
  std::size_t count = 0;
  // What the i-th is, in the order of for_each_leaf; its node in the tree is given.
  std::function<void(std::size_t i, const Tree& node, StoredLeaf& leaf)> describe;

  static StoredLeaves of(const std::vector<StoredLeaf>& list);  // which outlives it
};

// JSON text. 100,000 leaves take well under 0.1 s.
std::string encode_manifest(const Manifest& manifest);
// The same of a tree that still has the state in it, and its leaves; of the manifest everything else is taken.
std::string encode_manifest(const Manifest& manifest, const Tree& tree, const StoredLeaves& leaves);

// Parses and validates; assumes hostile text. corruption says where and what: malformed JSON, a
// duplicate or unordered key, nesting beyond the limit, a number out of range, invalid UTF-8, a
// name that leaves the directory, shards that overlap, leave gaps or exceed their stream, two leaves
// that share bytes of a stream, an unknown field. failed_precondition for an unknown major version.
Result<Manifest> decode_manifest(std::string_view text);

}  // namespace milepost
