#include "milepost/engine/save/stream_plan.h"

#include "milepost/engine/state/strided.h"
#include "milepost/io/store.h"
#include "milepost/io/stream_copy.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

namespace milepost {
namespace {

// A leaf at least this large has its chunks for itself, but for a sliver at the end of a segment, smaller than that,
// which goes with its neighbour. In a stream that is not coded, where chunks lie without padding, only one of whole
// pages.
constexpr std::uint64_t own_chunks_bytes_min = 256 << 10;
constexpr std::uint64_t sliver_bytes = 64 << 10;

bool fills_pages(const SourceLeaf& source) { return source.bytes % io_alignment == 0; }

// The tree's stored leaves that have bytes, in tree order.
void collect(const Tree& tree, StreamPlan& plan) {
  std::uint32_t& stored = plan.stored_count;
  visit_leaves(tree, [&](const Tree& node) {
    ++plan.leaf_count;
    if (!is_stored(node)) return;
    SourceLeaf source;
    source.leaf = stored++;
    DType dtype = DType::u8;
    if (const auto* tensor = node.get_if<Tensor>()) {
      dtype = tensor->dtype();
      source.data = tensor->data();
      source.bytes = tensor->byte_count();
      if (!tensor->is_contiguous()) {
        source.strided = &plan.strided.emplace_back(
            Tensor::view(tensor->data(), tensor->dtype(), tensor->shape(), tensor->strides()));
      }
    } else if (const auto* text = node.get_if<std::string>()) {
      source.data = reinterpret_cast<const std::byte*>(text->data());
      source.bytes = text->size();
    } else if (const auto* bytes = node.get_if<Tree::Bytes>()) {
      source.data = bytes->data();
      source.bytes = bytes->size();
    }
    if (source.bytes == 0) return;
    source.bits = static_cast<std::uint8_t>(bits_of(dtype));
    source.kind = element_kind_of(dtype);
    plan.sources.push_back(source);
  });
}

void cut(bool coded, StreamPlan& plan) {
  const auto& sources = plan.sources;
  std::uint64_t position = 0;
  bool chunk_open = false;
  for (std::uint32_t i = 0; i < sources.size(); ++i) {
    const std::uint64_t bytes = sources[i].bytes;
    const bool large = bytes >= own_chunks_bytes_min && (coded || fills_pages(sources[i]));
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

std::pair<const std::byte*, const std::byte*> SourceLeaf::memory() const {
  if (!strided) return {data, data + bytes};
  const std::int64_t width = bits_of(strided->dtype()) / 8;
  const Strides strides = strided->strides();
  const std::byte* begin = data;
  const std::byte* end = data + width;
  for (std::size_t d = 0; d < strides.size(); ++d) {
    const std::int64_t reach = (strided->shape()[d] - 1) * strides[d] * width;
    (reach < 0 ? begin : end) += reach;
  }
  return {begin, end};
}

StreamPlan plan_stream(const Tree& tree, const Codec& codec) {
  StreamPlan plan;
  collect(tree, plan);
  const auto before = [](const SourceLeaf& a, const SourceLeaf& b) {
    if (fills_pages(a) != fills_pages(b)) return fills_pages(a);
    return a.bits != b.bits ? a.bits > b.bits : a.kind > b.kind;
  };
  // As a rule they are in order, and sorting would take as much memory again.
  if (!std::is_sorted(plan.sources.begin(), plan.sources.end(), before)) {
    std::stable_sort(plan.sources.begin(), plan.sources.end(), before);
  }
  for (SourceLeaf& source : plan.sources) {
    source.offset = plan.raw_bytes;
    plan.raw_bytes += source.bytes;
  }
  cut(codec.kind != Codec::Kind::none, plan);
  return plan;
}

StoredLeaves describe_leaves(const StreamPlan& plan) {
  constexpr std::uint64_t nowhere = ~std::uint64_t{0};  // leaves of zero bytes
  std::vector<std::uint64_t> offsets(plan.stored_count, nowhere);
  for (const SourceLeaf& source : plan.sources) offsets[source.leaf] = source.offset;
  auto describe = [offsets = std::move(offsets)](std::size_t i, const Tree& node, StoredLeaf& leaf) {
    leaf.shards.clear();
    if (offsets[i] != nowhere) leaf.shards.push_back({0, offsets[i]});
    if (const auto* tensor = node.get_if<Tensor>()) {
      leaf.stored_as = StoredAs::tensor;
      leaf.dtype = tensor->dtype();
      leaf.shape = tensor->shape();
    } else {
      const auto* text = node.get_if<std::string>();
      const std::size_t bytes = text ? text->size() : node.get_if<Tree::Bytes>()->size();
      leaf.stored_as = text ? StoredAs::string : StoredAs::bytes;
      leaf.dtype = DType::u8;
      leaf.shape = {static_cast<std::int64_t>(bytes)};
    }
  };
  return {plan.stored_count, std::move(describe)};
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
