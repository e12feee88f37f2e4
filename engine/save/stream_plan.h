// The stream plan: in which order the leaves of an item become one stream of bytes, and where the
// stream is cut into chunks. Pure; the tree must outlive the plan, which points into it.
//
// Leaves of whole pages come first, so that each begins on a page of the data file and can be read
// straight into memory. Among these, and among the rest, leaves are ordered by element size, largest
// first (so that every element is aligned in the data file, as in safetensors), then by element kind,
// then in tree order. The stream is cut into segments of chunk_bytes_max bytes, each of which fills a
// staging block, so that the snapshot takes no more memory than the state has bytes, and is cut again
// into chunks where a large leaf begins and ends: who wants that leaf reads no more. An uncompressed
// segment is written as it is staged, so that it is cut on pages only. One that is to be coded is also cut
// where the kind of element changes: neighbours of other statistics would spoil each other's code.
// Small leaves share chunks.
#pragma once

#include "milepost/engine/format/chunk_table.h"
#include "milepost/engine/format/manifest.h"
#include "milepost/engine/state/tree.h"
#include "milepost/io/codec/codec.h"
#include "milepost/io/mapped_allocator.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace milepost {

// The bytes of one leaf in the stream.
struct SourceLeaf {
  const std::byte* data = nullptr;
  const Tensor* strided = nullptr;  // set if the bytes must be gathered
  std::uint64_t offset = 0;         // in the stream
  std::uint64_t bytes = 0;
  std::uint32_t leaf = 0;  // number of the stored leaf, in tree order
  ElementKind kind = ElementKind::other;
  std::uint8_t bits = 0;  // of an element

  // All that the leaf's elements touch lies between these.
  std::pair<const std::byte*, const std::byte*> memory() const;
};

// A chunk of the stream: the bytes [raw_offset, raw_offset + raw_bytes), beginning in sources[first_source].
struct PlannedChunk {
  std::uint64_t raw_offset = 0;
  std::uint32_t raw_bytes = 0;
  ElementKind kind = ElementKind::other;
  std::uint32_t first_source = 0;
};

// The bytes [raw_offset, raw_offset + raw_bytes) of the stream, beginning in sources[first_source], and the
// chunks that it consists of.
struct Segment {
  std::uint64_t raw_offset = 0;
  std::uint32_t raw_bytes = 0;
  std::uint32_t first_source = 0;
  std::uint32_t first_chunk = 0;
  std::uint32_t chunk_count = 0;
};

struct StreamPlan {
  std::vector<SourceLeaf, MappedAllocator<SourceLeaf>> sources;  // in stream order, without leaves of zero bytes
  std::deque<Tensor> strided;  // what sources point to: views, so that the plan does not need the tree
  std::vector<Segment> segments;
  std::vector<PlannedChunk> chunks;
  std::uint64_t raw_bytes = 0;
  std::uint64_t leaf_count = 0;    // of the tree, of every kind
  std::uint32_t stored_count = 0;  // of the tree's leaves that the manifest lists

  // The chunk's bytes where they are, if they lie in one piece in the caller's memory; null otherwise.
  const std::byte* in_place(const PlannedChunk& chunk) const;
  // Copies bytes of the stream, the first of them in sources[first_source], to `out`, with stores that
  // bypass the cache where that is faster.
  void copy(std::uint64_t raw_offset, std::uint64_t byte_count, std::uint32_t first_source, std::byte* out) const;
};

// The tree has passed check_state(). Quick, because save() waits for it: what only the index needs comes later.
StreamPlan plan_stream(const Tree& tree, const Codec& codec);

// The stored leaves of the plan's tree, for the manifest.
StoredLeaves describe_leaves(const StreamPlan& plan);

}  // namespace milepost
