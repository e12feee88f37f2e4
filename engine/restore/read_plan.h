// Which chunks a restore must read, and where the bytes of each go. No I/O.
#pragma once

#include "milepost/engine/format/chunk_table.h"
#include "milepost/engine/restore/target.h"
#include "milepost/engine/state/strided.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace milepost {

// A piece of a stream that is wanted: the whole of a shard into packed memory, or a box of it.
struct ReadPart {
  struct Box {
    BoxRuns runs;         // in elements of the shard
    Tensor destination;   // of the box
    std::uint64_t width;  // bytes of an element of the shard
    DType dtype;          // of the shard; if it is not the destination's, elements are cast
    Shape start;          // of the box in the leaf
  };

  std::uint64_t begin = 0;  // in the stream
  std::uint64_t end = 0;
  std::byte* destination = nullptr;  // of packed memory; null: see box
  std::unique_ptr<Box> box;
  std::uint32_t leaf = 0;

  // Copies what this part wants of the stream's bytes [offset, offset + raw.size()). invalid_argument, naming the
  // element, if one cannot be cast.
  Result<void> take(std::span<const std::byte> raw, std::uint64_t offset) const;
  // The same error without the copy.
  Result<void> check(std::span<const std::byte> raw, std::uint64_t offset) const;
  // Whether it wants any of them.
  bool touches(std::uint64_t from, std::uint64_t to) const;

 private:
  Result<void> take_box(std::span<const std::byte> raw, std::uint64_t offset, bool check_only) const;
};

// One chunk to be read, and the parts that take from it: part_indices[first_part ...).
struct ChunkRead {
  std::uint32_t stream = 0;
  std::uint32_t chunk = 0;
  std::uint32_t first_part = 0;
  std::uint32_t part_count = 0;
};

struct ReadPlan {
  std::vector<ReadPart> parts;
  std::vector<std::uint32_t> part_indices;
  std::vector<ChunkRead> reads;  // by stream, then in raw order
  std::uint64_t raw_bytes = 0;   // of these chunks
  bool check_only = false;       // nothing is copied
};

// Makes a plan of leaves to be read, one after the other. `chunks` holds the table of each stream of the manifest.
class ReadPlanner {
 public:
  ReadPlanner(const Manifest& manifest, std::span<const std::vector<Chunk>> chunks)
      : manifest_(manifest), chunks_(chunks), of_stream_(chunks.size()) {
    plan_.parts.reserve(manifest.leaves.size());  // as a rule
  }
  void add(const LeafTarget& target);
  ReadPlan finish();

 private:
  const Manifest& manifest_;
  std::span<const std::vector<Chunk>> chunks_;
  ReadPlan plan_;
  std::vector<std::vector<std::uint32_t>> of_stream_;  // parts
};

// Everything, into nothing: for verification.
ReadPlan plan_all_reads(const Manifest& manifest, std::span<const std::vector<Chunk>> chunks);

}  // namespace milepost
