#include "milepost/engine/save/stream_plan.h"

#include "milepost/engine/state/strided.h"
#include "milepost/io/stream_copy.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

namespace milepost {
namespace {

// A leaf of a coded stream at least this large has its chunks for itself, but for a sliver at the end
// of a segment, smaller than that, which goes with its neighbour.
constexpr std::uint64_t own_chunks_bytes_min = 256 << 10;
constexpr std::uint64_t sliver_bytes = 64 << 10;

struct Source {
  SourceLeaf leaf;
  int bits;
  ElementKind kind;
};

// First and last byte (exclusive) that a tensor's elements touch.
std::pair<const std::byte*, const std::byte*> memory_of(const Tensor& tensor) {
  const std::int64_t width = bits_of(tensor.dtype()) / 8;
  const std::byte* begin = tensor.data();
  const std::byte* end = tensor.data() + width;
  for (std::size_t d = 0; d < tensor.shape().size(); ++d) {
    const std::int64_t reach = (tensor.shape()[d] - 1) * tensor.strides()[d] * width;
    (reach < 0 ? begin : end) += reach;
  }
  return {begin, end};
}

// The tree's stored leaves, in tree order.
std::vector<Source> collect(const Tree& tree, StreamPlan& plan) {
  std::vector<Source> sources;
  for_each_leaf(tree, [&](const std::string& path, const Tree& node) {
    StoredLeaf stored;
    Source source{};
    if (const auto* tensor = node.get_if<Tensor>()) {
      stored = {StoredAs::tensor, tensor->dtype(), tensor->shape(), {}};
      source.leaf.data = tensor->data();
      source.leaf.strided = tensor->is_contiguous() ? nullptr : tensor;
      source.leaf.bytes = tensor->byte_count();
    } else if (const auto* text = node.get_if<std::string>(); text && text->size() > inline_bytes_max) {
      stored = {StoredAs::string, DType::u8, {static_cast<std::int64_t>(text->size())}, {}};
      source.leaf.data = reinterpret_cast<const std::byte*>(text->data());
      source.leaf.bytes = text->size();
    } else if (const auto* bytes = node.get_if<Tree::Bytes>(); bytes && bytes->size() > inline_bytes_max) {
      stored = {StoredAs::bytes, DType::u8, {static_cast<std::int64_t>(bytes->size())}, {}};
      source.leaf.data = bytes->data();
      source.leaf.bytes = bytes->size();
    } else {
      return;
    }
    source.leaf.leaf = static_cast<std::uint32_t>(plan.leaves.size());
    source.leaf.memory_begin = source.leaf.data;
    source.leaf.memory_end = source.leaf.data + source.leaf.bytes;
    if (source.leaf.strided && source.leaf.bytes > 0) {
      std::tie(source.leaf.memory_begin, source.leaf.memory_end) = memory_of(*source.leaf.strided);
    }
    source.bits = bits_of(stored.dtype);
    source.kind = element_kind_of(stored.dtype);
    plan.leaves.push_back(std::move(stored));
    plan.paths.push_back(path);
    if (source.leaf.bytes > 0) sources.push_back(source);
  });
  return sources;
}

void cut(const std::vector<Source>& sources, bool coded, StreamPlan& plan) {
  std::uint64_t position = 0;
  bool chunk_open = false;
  for (std::uint32_t i = 0; i < sources.size(); ++i) {
    const std::uint64_t bytes = sources[i].leaf.bytes;
    const bool large = coded && bytes >= own_chunks_bytes_min;
    const bool other_kind = coded && i > 0 && sources[i].kind != sources[i - 1].kind;
    const std::uint64_t room = chunk_bytes_max - position % chunk_bytes_max;
    if (other_kind || (large && room >= sliver_bytes)) chunk_open = false;
    for (const std::uint64_t end = position + bytes; position < end;) {
      const std::uint64_t in_segment = position % chunk_bytes_max;
      if (in_segment == 0) {
        plan.segments.push_back({position, 0, i, static_cast<std::uint32_t>(plan.chunks.size()), 0});
        chunk_open = false;
      }
      Segment& segment = plan.segments.back();
      if (!chunk_open) {
        plan.chunks.push_back({position, 0, coded ? sources[i].kind : ElementKind::other, i});
        ++segment.chunk_count;
        chunk_open = true;
      }
      const auto part = static_cast<std::uint32_t>(std::min(chunk_bytes_max - in_segment, end - position));
      plan.chunks.back().raw_bytes += part;
      segment.raw_bytes += part;
      position += part;
    }
    if (large) chunk_open = false;
  }
}

}  // namespace

StreamPlan plan_stream(const Tree& tree, const Codec& codec) {
  StreamPlan plan;
  std::vector<Source> sources = collect(tree, plan);
  std::stable_sort(sources.begin(), sources.end(), [](const Source& a, const Source& b) {
    return a.bits != b.bits ? a.bits > b.bits : a.kind > b.kind;
  });
  plan.sources.reserve(sources.size());
  for (Source& source : sources) {
    source.leaf.offset = plan.raw_bytes;
    plan.raw_bytes += source.leaf.bytes;
    plan.sources.push_back(source.leaf);
    StoredLeaf& leaf = plan.leaves[source.leaf.leaf];
    leaf.shards.push_back({0, source.leaf.offset, Shape(leaf.shape.size(), 0), leaf.shape});
  }
  cut(sources, codec.kind != Codec::Kind::none, plan);
  return plan;
}

const std::byte* StreamPlan::in_place(const PlannedChunk& chunk) const {
  const SourceLeaf& source = sources[chunk.first_source];
  const bool inside = chunk.raw_offset + chunk.raw_bytes <= source.offset + source.bytes;
  return inside && !source.strided ? source.data + (chunk.raw_offset - source.offset) : nullptr;
}

void StreamPlan::copy(std::uint64_t raw_offset, std::uint64_t byte_count, std::uint32_t first_source,
                      std::byte* out) const {
  constexpr std::uint64_t stream_bytes_min = 16 << 10;
  std::uint64_t position = raw_offset;
  const std::uint64_t end = raw_offset + byte_count;
  for (std::size_t i = first_source; position < end; ++i) {
    const SourceLeaf& source = sources[i];
    const std::uint64_t from = position - source.offset;
    const std::uint64_t bytes = std::min(end - position, source.bytes - from);
    if (source.strided) {
      // Only byte-sized elements have strides, and cuts fall between elements (see the order above).
      const std::uint64_t width = static_cast<std::uint64_t>(bits_of(source.strided->dtype())) / 8;
      gather(*source.strided, static_cast<std::int64_t>(from / width), static_cast<std::int64_t>(bytes / width), out);
    } else if (bytes >= stream_bytes_min) {
      stream_copy(out, source.data + from, bytes);
    } else {
      std::memcpy(out, source.data + from, bytes);
    }
    out += bytes;
    position += bytes;
  }
}

}  // namespace milepost
