#include "milepost/engine/format/shard_check.h"

#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <random>

namespace milepost {
namespace {

__extension__ using Wide = unsigned __int128;
constexpr std::uint64_t prime = (std::uint64_t{1} << 61) - 1;

std::uint64_t multiply(std::uint64_t a, std::uint64_t b) { return static_cast<std::uint64_t>(Wide{a} * b % prime); }

std::uint64_t mix(std::uint64_t x) {  // splitmix64's finisher
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
  x = (x ^ x >> 27) * 0x94d049bb133111ebU;
  return x ^ x >> 31;
}

// A number in [0, prime) for each coordinate of each dimension, that a hostile file cannot foresee.
std::uint64_t random_at(std::size_t dimension, std::int64_t coordinate) {
  static const std::uint64_t seed = [] {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
  }();
  return mix(mix(seed + 0x9e3779b97f4a7c15U * (dimension + 1)) + static_cast<std::uint64_t>(coordinate)) % prime;
}

std::uint64_t random_volume(const Shape& start, const Shape& extent) {
  std::uint64_t volume = 1;
  for (std::size_t d = 0; d < start.size(); ++d) {
    const std::uint64_t end = random_at(d, start[d] + extent[d]);
    volume = multiply(volume, (end + prime - random_at(d, start[d])) % prime);
  }
  return volume;
}

// Do rectangles within a box cover each of its elements exactly once? Comparing each with each would
// take seconds for 65,536 of them, so give each coordinate c of each dimension d a random number
// r(d, c), and a rectangle the "volume" prod_d (r(d, end) - r(d, start)). It is additive like a real
// volume, so the volumes of an exact tiling sum to that of the box, whatever the numbers are. Of
// anything else the difference is a nonzero polynomial in the numbers, linear in each and of degree
// at most 64, which is zero for random ones with a probability under 64 / 2^61 (Schwartz-Zippel).
bool tile_exactly(const StoredLeaf& leaf) {
  std::uint64_t sum = 0;
  for (const Shard& shard : leaf.shards) sum = (sum + random_volume(shard.start, shard.extent)) % prime;
  return sum == random_volume(Shape(leaf.shape.size(), 0), leaf.shape);
}

Result<void> check_shard(const StoredLeaf& leaf, const Shard& shard, std::span<const Stream> streams) {
  if (shard.stream >= streams.size()) return corrupt("stream " + std::to_string(shard.stream) + " does not exist");
  const std::size_t rank = shard.is_whole() ? 0 : leaf.shape.size();
  if (shard.start.size() != rank || shard.extent.size() != rank) {
    return corrupt("another number of dimensions than the tensor");
  }
  for (std::size_t d = 0; d < rank; ++d) {
    if (shard.extent[d] < 1 || shard.start[d] < 0 || shard.start[d] > leaf.shape[d] ||
        shard.extent[d] > leaf.shape[d] - shard.start[d]) {
      return corrupt("from " + to_string(shard.start) + ", extent " + to_string(shard.extent) +
                     ", is not within the shape " + to_string(leaf.shape));
    }
  }
  const std::optional<std::uint64_t> bytes = packed_bytes(leaf.dtype, leaf.extent_of(shard));
  if (!bytes) return corrupt("not a whole number of bytes");
  const Stream& stream = streams[shard.stream];
  if (shard.offset > stream.raw_bytes || *bytes > stream.raw_bytes - shard.offset) {
    return corrupt(std::to_string(*bytes) + " bytes at " + std::to_string(shard.offset) + " exceed stream " +
                   std::to_string(shard.stream) + " of " + std::to_string(stream.raw_bytes) + " bytes");
  }
  return {};
}

}  // namespace

Result<void> check_leaf_shards(const StoredLeaf& leaf, std::span<const Stream> streams) {
  const std::optional<std::uint64_t> bytes = packed_bytes(leaf.dtype, leaf.shape);
  if (!bytes) {
    return corrupt("shape " + to_string(leaf.shape) + " is too large or not a whole number of bytes");
  }
  if (leaf.shards.empty()) {
    if (*bytes != 0) return corrupt("no shards");
    return {};
  }
  if (*bytes == 0) return corrupt("shards of a leaf without bytes");
  // At most 2^16 shards of at most 2^62 elements, so the sum is kept in 128 bits.
  Wide elements = 0;
  for (std::size_t i = 0; i < leaf.shards.size(); ++i) {
    auto checked = check_shard(leaf, leaf.shards[i], streams);
    if (checked.has_error()) return checked.error().within("shard " + std::to_string(i));
    elements += static_cast<std::uint64_t>(element_count(leaf.extent_of(leaf.shards[i])).value_or(0));
  }
  const auto expected = static_cast<std::uint64_t>(element_count(leaf.shape).value_or(0));
  if (elements > expected) return corrupt("its shards overlap");
  if (elements < expected) return corrupt("its shards leave a gap");
  if (leaf.shards.size() > 1 && !tile_exactly(leaf)) return corrupt("its shards overlap and leave a gap");
  return {};
}

Result<void> check_streams_tiled(const Manifest& manifest) {
  struct Range {
    std::uint32_t stream;
    std::uint32_t leaf;
    std::uint64_t begin;
    std::uint64_t end;
  };
  std::vector<Range> ranges;
  ranges.reserve(manifest.leaves.size());
  for (std::size_t i = 0; i < manifest.leaves.size(); ++i) {
    for (const Shard& shard : manifest.leaves[i].shards) {
      const std::uint64_t end = shard.offset + manifest.leaves[i].bytes_of(shard);
      ranges.push_back({shard.stream, static_cast<std::uint32_t>(i), shard.offset, end});
    }
  }
  const auto before = [](const Range& a, const Range& b) {
    return std::pair(a.stream, a.begin) < std::pair(b.stream, b.begin);
  };
  // As written by one rank they are in order already.
  if (!std::is_sorted(ranges.begin(), ranges.end(), before)) std::sort(ranges.begin(), ranges.end(), before);

  auto range = ranges.begin();
  for (std::size_t s = 0; s < manifest.streams.size(); ++s) {
    const auto fail = [s](const std::string& what) { return corrupt("stream " + std::to_string(s) + ": " + what); };
    const auto gap = [&fail](std::uint64_t begin, std::uint64_t end) {
      return fail("bytes " + std::to_string(begin) + " to " + std::to_string(end) + " belong to no leaf");
    };
    std::uint64_t end = 0;
    for (; range != ranges.end() && range->stream == s; ++range) {
      if (range->begin < end) {
        const std::vector<std::string> paths = paths_of_stored_leaves(manifest.tree);
        return fail("leaves " + paths[std::prev(range)->leaf] + " and " + paths[range->leaf] + " share the byte " +
                    std::to_string(range->begin));
      }
      if (range->begin > end) return gap(end, range->begin);
      end = range->end;
    }
    if (end != manifest.streams[s].raw_bytes) return gap(end, manifest.streams[s].raw_bytes);
  }
  return {};
}

}  // namespace milepost
