#include "milepost/engine/save/copy_on_write.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace milepost {
namespace {

using Pages = WriteGuard::Pages;

constexpr std::size_t granule_bytes = std::size_t{2} << 20;
static_assert(granule_bytes <= chunk_bytes_max, "a granule lies in at most two segments of a leaf");

// Copying a smaller leaf costs less than to protect it.
constexpr std::uint64_t protected_bytes_min = 64 << 10;

// On a power of two.
std::byte* rounded_down(const std::byte* address, std::size_t step) {
  return reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(address) & ~std::uintptr_t{step - 1});
}
std::byte* rounded_up(const std::byte* address, std::size_t step) { return rounded_down(address + (step - 1), step); }

// The pages in which nothing else lies; empty if they are not worth it.
Pages own_pages(const SourceLeaf& source) {
  if (source.strided || source.bytes < protected_bytes_min) return {};
  const Pages pages{rounded_up(source.data, system_page_bytes()),
                    rounded_down(source.data + source.bytes, system_page_bytes())};
  return pages.begin < pages.end ? pages : Pages{};
}

}  // namespace

template <class Function> void CopyOnWrite::for_each_part(SegmentId id, const Function& fn) const {
  const StreamPlan& plan = *plans_[id.plan];
  const Segment& segment = plan.segments[id.index];
  const std::uint64_t end = segment.raw_offset + segment.raw_bytes;
  std::uint32_t i = segment.first_source;
  for (std::uint64_t position = segment.raw_offset; position < end; ++i) {
    const SourceLeaf& source = plan.sources[i];
    const std::uint64_t to = std::min(end, source.offset + source.bytes);
    fn(Part{&source, i, position, to, own_pages(source)});
    position = to;
  }
}

Result<std::unique_ptr<CopyOnWrite>> CopyOnWrite::prepare(const std::vector<const StreamPlan*>& plans,
                                                          BufferPool& staging) {
  std::unique_ptr<CopyOnWrite> made(new CopyOnWrite(plans, staging));
  made->kept_.resize(plans.size());
  std::uint64_t raw_bytes = 0;
  for (std::size_t p = 0; p < plans.size(); ++p) {
    raw_bytes += plans[p]->raw_bytes;
    for (std::size_t s = 0; s < plans[p]->segments.size(); ++s) made->prepare({p, s});
  }
  if (made->at_once_bytes_ * 2 >= raw_bytes) {
    return Error(ErrorCode::unavailable, "too little of the state lies in large, contiguous leaves");
  }
  made->join_shared_regions();
  return made;
}

void CopyOnWrite::prepare(SegmentId id) {
  std::vector<Kept> pieces;
  std::vector<Region> regions;
  std::uint64_t bytes = 0;
  const auto add_piece = [&](const Part& part, std::uint64_t from, std::uint64_t to) {
    if (from >= to) return;
    bytes += to - from;
    if (!pieces.empty() && pieces.back().offset + pieces.back().bytes == from) {
      pieces.back().bytes += to - from;
      pieces.back().last_source = part.source_index;
    } else {
      pieces.push_back({from, to - from, part.source_index, part.source_index, nullptr});
    }
  };
  for_each_part(id, [&](const Part& part) {
    if (part.pages.size() == 0) return add_piece(part, part.from, part.to);
    const std::byte* const data = part.source->data;
    const std::uint64_t pages_from = part.source->offset + static_cast<std::uint64_t>(part.pages.begin - data);
    const std::uint64_t pages_to = part.source->offset + static_cast<std::uint64_t>(part.pages.end - data);
    const std::uint64_t from = std::clamp(pages_from, part.from, part.to);
    const std::uint64_t to = std::clamp(pages_to, from, part.to);
    add_piece(part, part.from, from);
    add_piece(part, to, part.to);
    if (from == to) return;
    // With the segments beside it this one may share pages.
    regions.push_back({{rounded_down(data + (from - part.source->offset), system_page_bytes()),
                        rounded_up(data + (to - part.source->offset), system_page_bytes())},
                       part.source});
  });
  const std::uint64_t segment_bytes = plans_[id.plan]->segments[id.index].raw_bytes;
  if (bytes * 2 > segment_bytes || !keep(id.plan, pieces)) {
    at_once_.push_back(id);
    at_once_bytes_ += segment_bytes;
    return;
  }
  for (const Region& region : regions) {
    Region* const before = regions_.empty() ? nullptr : &regions_.back();
    if (before != nullptr && before->leaf == region.leaf && region.pages.begin <= before->pages.end) {
      before->pages.end = region.pages.end;  // on in the same leaf
    } else {
      regions_.push_back(region);
    }
  }
}

// False: there is no memory for them.
bool CopyOnWrite::keep(std::size_t plan, std::vector<Kept>& pieces) {
  std::uint64_t bytes = 0;
  for (const Kept& piece : pieces) bytes += piece.bytes;
  const std::size_t block_bytes = staging_.block_bytes();
  if (blocks_.empty() || block_used_ + bytes > block_bytes) {
    const std::size_t blocks_max = std::max<std::size_t>(staging_.stats().capacity_bytes / block_bytes / 4, 1);
    if (blocks_.size() == blocks_max) return false;
    blocks_.reserve(blocks_.size() + 1);
    auto block = staging_.try_acquire();
    // One more, for what is captured later, is not taken but must be there.
    if (!block || !staging_.try_acquire()) return false;
    blocks_.push_back(std::move(*block));
    block_used_ = 0;
  }
  kept_[plan].reserve(kept_[plan].size() + pieces.size());
  for (Kept& piece : pieces) {
    std::byte* const to = blocks_.back().data() + block_used_;
    plans_[plan]->copy(piece.offset, piece.bytes, piece.first_source, to);
    piece.data = to;
    block_used_ += piece.bytes;
    kept_[plan].push_back(piece);
  }
  return true;
}

void CopyOnWrite::join_shared_regions() {
  std::sort(regions_.begin(), regions_.end(),
            [](const Region& a, const Region& b) { return a.pages.begin < b.pages.begin; });
  std::size_t count = 0;
  for (const Region& region : regions_) {
    if (count > 0 && region.pages.begin < regions_[count - 1].pages.end) {
      Region& shared = regions_[count - 1];
      shared.pages.end = std::max(shared.pages.end, region.pages.end);
      shared.leaf = nullptr;
    } else {
      regions_[count++] = region;
    }
  }
  regions_.resize(count);
}

Result<void> CopyOnWrite::protect(WriteGuard::Owner& owner) {
  std::vector<Pages> pages;
  pages.reserve(regions_.size());
  for (const Region& region : regions_) pages.push_back(region.pages);
  MILEPOST_ASSIGN(guard_, WriteGuard::protect(std::move(pages), owner));
  return {};
}

const std::byte* CopyOnWrite::in_place(std::size_t plan, const PlannedChunk& chunk) const {
  const auto piece = first_kept_after(plan, chunk.raw_offset);
  const bool some_kept = piece != kept_[plan].end() && piece->offset < chunk.raw_offset + chunk.raw_bytes;
  return some_kept ? nullptr : plans_[plan]->in_place(chunk);
}

void CopyOnWrite::copy(std::size_t plan, std::uint64_t raw_offset, std::uint64_t byte_count, std::uint32_t first_source,
                       std::byte* out) const {
  const std::uint64_t end = raw_offset + byte_count;
  auto piece = first_kept_after(plan, raw_offset);
  for (std::uint64_t position = raw_offset, bytes = 0; position < end; position += bytes, out += bytes) {
    if (piece != kept_[plan].end() && piece->offset <= position) {
      bytes = std::min(end, piece->offset + piece->bytes) - position;
      std::memcpy(out, piece->data + (position - piece->offset), bytes);
      first_source = piece->last_source;
      ++piece;
    } else {
      bytes = (piece == kept_[plan].end() ? end : std::min(end, piece->offset)) - position;
      plans_[plan]->copy(position, bytes, first_source, out);
    }
  }
}

std::vector<CopyOnWrite::Kept>::const_iterator CopyOnWrite::first_kept_after(std::size_t plan,
                                                                             std::uint64_t offset) const {
  return std::upper_bound(kept_[plan].begin(), kept_[plan].end(), offset,
                          [](std::uint64_t at, const Kept& piece) { return at < piece.offset + piece.bytes; });
}

const CopyOnWrite::Region* CopyOnWrite::region_at(const std::byte* address) const {
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                      [](const std::byte* at, const Region& region) { return at < region.pages.end; });
  return after != regions_.end() && after->pages.begin <= address ? &*after : nullptr;
}

Pages CopyOnWrite::granule_of(std::byte* address) const {
  const Region* const region = region_at(address);
  if (region == nullptr) return {address, address + system_page_bytes()};  // it was moved here
  std::byte* const begin = rounded_down(address, granule_bytes);
  return {std::max(begin, region->pages.begin), std::min(begin + granule_bytes, region->pages.end)};
}

void CopyOnWrite::release(SegmentId id, bool previous_too, bool next_too) noexcept {
  for_each_part(id, [&](const Part& part) {
    if (part.pages.size() == 0) return;
    const SourceLeaf& leaf = *part.source;
    const std::byte* const from = leaf.data + (part.from - leaf.offset);
    const std::byte* const to = leaf.data + (part.to - leaf.offset);
    const Region* const region = region_at(std::max(rounded_down(from, system_page_bytes()), part.pages.begin));
    if (region == nullptr || region->leaf == nullptr) return;
    const bool from_start = part.from == leaf.offset;
    const bool to_end = part.to == leaf.offset + leaf.bytes;
    std::byte* begin = previous_too ? rounded_down(from, granule_bytes) : rounded_up(from, granule_bytes);
    std::byte* end = next_too ? rounded_up(to, granule_bytes) : rounded_down(to, granule_bytes);
    begin = from_start ? region->pages.begin : std::max(begin, region->pages.begin);
    end = to_end ? region->pages.end : std::min(end, region->pages.end);
    if (begin < end) guard_->release({begin, end});
  });
}

void CopyOnWrite::end() noexcept {
  if (guard_) guard_->end();
  blocks_.clear();
}

void CopyOnWrite::join() noexcept {
  if (guard_) guard_->join();
}

}  // namespace milepost
