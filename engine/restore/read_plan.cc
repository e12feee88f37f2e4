#include "milepost/engine/restore/read_plan.h"

#include "milepost/engine/state/cast.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

namespace milepost {
namespace {

// The wanted box of a shard: its intersection with [start, start + extent) of the global tensor.
struct Intersection {
  Shape start;  // global
  Shape extent;
  bool empty = false;
  bool whole_shard = true;
};

Intersection intersect(const Shape& shard_start, const Shape& shard_extent, const Shape& start, const Shape& extent) {
  Intersection result;
  result.start.reserve(start.size());
  result.extent.reserve(start.size());
  for (std::size_t d = 0; d < start.size(); ++d) {
    const std::int64_t from = std::max(shard_start[d], start[d]);
    const std::int64_t to = std::min(shard_start[d] + shard_extent[d], start[d] + extent[d]);
    result.start.push_back(from);
    result.extent.push_back(to - from);
    result.empty = result.empty || to <= from;
    result.whole_shard = result.whole_shard && to - from == shard_extent[d];
  }
  return result;
}

Shape minus(const Shape& a, const Shape& b) {
  Shape difference(a.size());
  for (std::size_t d = 0; d < a.size(); ++d) difference[d] = a[d] - b[d];
  return difference;
}

// None if nothing of the shard is wanted.
std::optional<ReadPart> make_part(const StoredLeaf& leaf, const Shard& shard, const LeafTarget& target) {
  const Tensor& destination = target.destination;
  const Shape origin(leaf.shape.size(), 0);
  const Shape& start = target.start.empty() ? origin : target.start;
  const Shape& shard_start = shard.is_whole() ? origin : shard.start;
  const Shape& shard_extent = leaf.extent_of(shard);
  const Intersection wanted = intersect(shard_start, shard_extent, start, destination.shape());
  if (wanted.empty) return std::nullopt;
  ReadPart part;
  part.leaf = static_cast<std::uint32_t>(target.leaf);
  part.begin = shard.offset;
  part.end = shard.offset + leaf.bytes_of(shard);
  if (wanted.whole_shard && wanted.extent == destination.shape() && destination.is_contiguous() &&
      destination.dtype() == leaf.dtype) {
    part.destination = destination.data();
    return part;
  }
  part.box = std::make_unique<ReadPart::Box>(
      ReadPart::Box{BoxRuns(shard_extent, minus(wanted.start, shard_start), wanted.extent),
                    slice(destination, minus(wanted.start, start), wanted.extent),
                    static_cast<std::uint64_t>(bits_of(leaf.dtype)) / 8, leaf.dtype, wanted.start});
  return part;
}

// Appends the chunks that any of `parts` (ascending by begin, of one stream) touches.
void add_reads(ReadPlan& plan, std::uint32_t stream, const std::vector<Chunk>& chunks,
               const std::vector<std::uint32_t>& parts) {
  // For each chunk, the parts that touch it: parts come in order, and a part touches a run of chunks.
  std::vector<std::vector<std::uint32_t>> of_chunk(chunks.size());
  for (const std::uint32_t index : parts) {
    const ReadPart& part = plan.parts[index];
    auto chunk = std::upper_bound(chunks.begin(), chunks.end(), part.begin,
                                  [](std::uint64_t offset, const Chunk& c) { return offset < c.raw_offset; });
    if (chunk != chunks.begin()) --chunk;
    for (; chunk != chunks.end() && chunk->raw_offset < part.end; ++chunk) {
      if (part.touches(chunk->raw_offset, chunk->raw_offset + chunk->raw_bytes)) {
        of_chunk[chunk - chunks.begin()].push_back(index);
      }
    }
  }
  for (std::uint32_t i = 0; i < chunks.size(); ++i) {
    if (of_chunk[i].empty()) continue;
    plan.reads.push_back({stream, i, static_cast<std::uint32_t>(plan.part_indices.size()),
                          static_cast<std::uint32_t>(of_chunk[i].size())});
    plan.part_indices.insert(plan.part_indices.end(), of_chunk[i].begin(), of_chunk[i].end());
    plan.raw_bytes += chunks[i].raw_bytes;
  }
}

// Casts elements [first, first + count) of a box's packed order to where they go, or only tries to.
Result<void> cast_run(const ReadPart::Box& box, const std::byte* elements, std::int64_t first, std::int64_t count,
                      bool check_only) {
  std::array<std::byte, 8 << 10> block;  // stays in the first cache
  const Tensor& destination = box.destination;
  const std::int64_t block_elements = static_cast<std::int64_t>(block.size()) * 8 / bits_of(destination.dtype());
  for (std::int64_t done = 0; done < count; done += block_elements) {
    const std::int64_t part = std::min(block_elements, count - done);
    const auto misfit = cast(box.dtype, elements + done * static_cast<std::int64_t>(box.width), destination.dtype(),
                             block.data(), static_cast<std::size_t>(part));
    if (misfit) {
      Shape index = box.start;
      std::int64_t rest = first + done + static_cast<std::int64_t>(misfit->index);
      for (std::size_t d = index.size(); d-- > 0;) {
        index[d] += rest % destination.shape()[d];
        rest /= destination.shape()[d];
      }
      return Error(ErrorCode::invalid_argument, "element " + to_string(index) + " is " + misfit->value + ", which " +
                                                    std::string(name_of(destination.dtype())) + " does not have");
    }
    if (!check_only) scatter(block.data(), destination, first + done, part);
  }
  return {};
}

}  // namespace

bool ReadPart::touches(std::uint64_t from, std::uint64_t to) const {
  if (to <= begin || from >= end) return false;
  if (!box) return true;
  const std::uint64_t low = from > begin ? (from - begin) / box->width : 0;
  const std::int64_t run = box->runs.first_ending_after(static_cast<std::int64_t>(low));
  if (run == box->runs.count()) return false;
  return begin + static_cast<std::uint64_t>(box->runs.offset(run)) * box->width < to;
}

Result<void> ReadPart::take(std::span<const std::byte> raw, std::uint64_t offset) const {
  if (box) return take_box(raw, offset, false);
  const std::uint64_t from = std::max(begin, offset);
  const std::uint64_t to = std::min<std::uint64_t>(end, offset + raw.size());
  std::memcpy(destination + (from - begin), raw.data() + (from - offset), to - from);
  return {};
}

Result<void> ReadPart::check(std::span<const std::byte> raw, std::uint64_t offset) const {
  if (!box || box->dtype == box->destination.dtype()) return {};
  return take_box(raw, offset, true);
}

Result<void> ReadPart::take_box(std::span<const std::byte> raw, std::uint64_t offset, bool check_only) const {
  const std::uint64_t from = std::max(begin, offset);
  const std::uint64_t to = std::min<std::uint64_t>(end, offset + raw.size());
  // In elements of the shard; chunks are cut between elements.
  const auto width = static_cast<std::int64_t>(box->width);
  const auto low = static_cast<std::int64_t>((from - begin) / box->width);
  const auto high = static_cast<std::int64_t>((to - begin) / box->width);
  const BoxRuns& runs = box->runs;
  for (std::int64_t run = runs.first_ending_after(low); run < runs.count(); ++run) {
    const std::int64_t run_begin = runs.offset(run);
    if (run_begin >= high) break;
    const std::int64_t first = std::max(run_begin, low);
    const std::int64_t last = std::min(run_begin + runs.run_elements(), high);
    const std::byte* const elements = raw.data() + (from - offset) + (first - low) * width;
    const std::int64_t at = run * runs.run_elements() + (first - run_begin);
    if (box->dtype == box->destination.dtype()) {
      scatter(elements, box->destination, at, last - first);
    } else {
      MILEPOST_TRY(cast_run(*box, elements, at, last - first, check_only));
    }
  }
  return {};
}

void ReadPlanner::add(const LeafTarget& target) {
  const StoredLeaf& leaf = manifest_.leaves[target.leaf];
  for (const Shard& shard : leaf.shards) {
    auto part = make_part(leaf, shard, target);
    if (!part) continue;
    of_stream_[shard.stream].push_back(static_cast<std::uint32_t>(plan_.parts.size()));
    plan_.parts.push_back(std::move(*part));
  }
}

ReadPlan ReadPlanner::finish() {
  for (std::uint32_t s = 0; s < of_stream_.size(); ++s) add_reads(plan_, s, chunks_[s], of_stream_[s]);
  return std::move(plan_);
}

ReadPlan plan_all_reads(const Manifest& manifest, std::span<const std::vector<Chunk>> chunks) {
  ReadPlan plan;
  for (std::uint32_t s = 0; s < manifest.streams.size(); ++s) {
    for (std::uint32_t c = 0; c < chunks[s].size(); ++c) {
      plan.reads.push_back({s, c, 0, 0});
      plan.raw_bytes += chunks[s][c].raw_bytes;
    }
  }
  return plan;
}

}  // namespace milepost
