#include "milepost/engine/save/snapshot.h"

#include "milepost/io/caught.h"
#include "milepost/io/kernel_ordered.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <utility>

namespace milepost {

static std::size_t segments_of(const std::vector<const StreamPlan*>& plans) {
  std::size_t total = 0;
  for (const StreamPlan* plan : plans) total += plan->segments.size();
  return total;
}

Snapshot::Snapshot(std::vector<const StreamPlan*> plans, BufferPool& staging, SnapshotSink& sink)
    : plans_(std::move(plans)), staging_(staging), sink_(sink), segments_(segments_of(plans_)) {
  std::size_t total = 0;
  for (const StreamPlan* plan : plans_) {
    first_segment_.push_back(total);
    total += plan->segments.size();
  }
  for (std::uint32_t p = 0; p < plans_.size(); ++p) {
    for (std::uint32_t i = 0; i < plans_[p]->segments.size(); ++i) {
      segments_[first_segment_[p] + i].plan = p;
      segments_[first_segment_[p] + i].index = i;
    }
  }
  back_ = total;
  captured_ = total == 0;
  captured_segments_.resize(total);
}

std::optional<std::size_t> Snapshot::claim_front() {
  for (std::size_t i; (i = front_.fetch_add(1)) < segments_.size();) {
    if (claim(i)) return i;
  }
  return std::nullopt;
}

std::optional<std::size_t> Snapshot::claim_back() {
  for (std::size_t i = back_.load(); i > 0;) {
    if (!back_.compare_exchange_weak(i, i - 1)) continue;
    if (claim(i - 1)) return i - 1;
    i = back_.load();
  }
  return std::nullopt;
}

Result<void> Snapshot::protect() noexcept {
  const TraceSlice slice("protect");
  const auto done = caught([&]() -> Result<void> {
    extents_by_address();  // later there may be no memory for it
    MILEPOST_ASSIGN(copy_on_write_, CopyOnWrite::prepare(plans_, staging_));
    at_once_.reserve(copy_on_write_->to_capture_at_once().size());
    MILEPOST_TRY(copy_on_write_->protect(*this));
    for (const auto& [plan, index] : copy_on_write_->to_capture_at_once()) {
      if (claim(first_segment_[plan] + index)) at_once_.push_back(first_segment_[plan] + index);
    }
    return {};
  });
  if (done.has_error()) copy_on_write_.reset();
  return done;
}

bool Snapshot::start(SnapshotMode mode, int workers, Clock::time_point deadline) noexcept {
  const std::size_t called = std::min(static_cast<std::size_t>(std::max(workers, 0)), segments_.size());
  // Without one of them whoever freezes or waits in a fence captures all, or who reads in place: they come now.
  const auto call = [&](SnapshotSink::Task task) {
    for (std::size_t i = 0; i < called; ++i) {
      if (sink_.post(task)) continue;
      if (i == 0) sink_.need_room();
      break;
    }
  };
  switch (mode) {
    case SnapshotMode::copy: call(&Snapshot::copy_while_blocks_are_free); return freeze(deadline);
    case SnapshotMode::lazy: call(&Snapshot::copy_in_background); break;
    case SnapshotMode::borrow: break;
    case SnapshotMode::cow: {
      for (const std::size_t segment : at_once_) copy_segment(segment, wait_for_block(deadline));
      call(&Snapshot::copy_in_background);
      return !sink_.dropped() || Clock::now() < deadline;
    }
  }
  return true;
}

void Snapshot::copy_while_blocks_are_free() noexcept {
  while (front_.load(std::memory_order_relaxed) < segments_.size()) {
    auto block = staging_.try_acquire();
    if (!block) return;
    const auto segment = claim_front();
    if (!segment) return;
    copy_segment(*segment, std::move(*block));
  }
}

void Snapshot::copy_in_background() noexcept {
  copy_while_blocks_are_free();
  if (front_.load() >= segments_.size()) return;
  sink_.need_room();
  // One that was freed just before `parked_` could be seen is found by looking once more.
  parked_.store(true);
  if (auto lease = staging_.try_acquire()) {
    lease->release();
    block_freed();
  }
}

void Snapshot::block_freed() noexcept {
  if (parked_.load() && parked_.exchange(false)) {
    static_cast<void>(sink_.post(&Snapshot::copy_in_background));
  }
}

BufferLease Snapshot::wait_for_block(Clock::time_point deadline) noexcept {
  if (auto lease = staging_.try_acquire()) return std::move(*lease);
  sink_.need_room();
  if (sink_.dropped()) return {};
  auto lease = deadline == Clock::time_point::max() ? staging_.acquire() : staging_.acquire_until(deadline);
  if (lease.has_value()) return std::move(lease).value();
  sink_.fail(lease.error().within("staging memory"));
  return {};
}

void Snapshot::copy_segment(std::size_t segment, BufferLease block) noexcept {
  const Segment& planned_segment = planned(segment);
  if (!sink_.dropped()) {
    const TraceSlice slice("freeze segment", {{"segment", segment}, {"bytes", planned_segment.raw_bytes}});
    const auto copied = caught([&] {
      copy(segments_[segment].plan, planned_segment.raw_offset, planned_segment.raw_bytes, planned_segment.first_source,
           block.data());
    });
    if (copied.has_error()) sink_.fail(copied.error());
  }
  if (sink_.dropped()) {
    block.release();
    mark_captured(segment);
    sink_.drop(segment);
    return;
  }
  sink_.take(segment, std::move(block));
  mark_captured(segment);
}

void Snapshot::mark_captured(std::size_t segment) noexcept {
  bool previous_too = false;
  bool next_too = false;
  captured_bytes_ += planned(segment).raw_bytes;
  {
    const std::lock_guard lock(mutex_);
    captured_segments_[segment] = true;
    previous_too = segment > 0 && captured_segments_[segment - 1];
    next_too = segment + 1 < segments_.size() && captured_segments_[segment + 1];
    changed_.notify_all();
  }
  if (copy_on_write_) copy_on_write_->release({plan_of(segment), segments_[segment].index}, previous_too, next_too);
  if (captured_count_.fetch_add(1) + 1 < segments_.size()) return;
  if (copy_on_write_) copy_on_write_->end();
  {
    const std::lock_guard lock(mutex_);
    captured_ = true;
    changed_.notify_all();
  }
  sink_.captured();
}

const std::byte* Snapshot::in_place(std::size_t plan, const PlannedChunk& chunk) const {
  return copy_on_write_ ? copy_on_write_->in_place(plan, chunk) : plans_[plan]->in_place(chunk);
}

void Snapshot::copy(std::size_t plan, std::uint64_t raw_offset, std::uint64_t byte_count, std::uint32_t first_source,
                    std::byte* out) const {
  if (!copy_on_write_) return plans_[plan]->copy(raw_offset, byte_count, first_source, out);
  const KernelOrderedReads scope;
  copy_on_write_->copy(plan, raw_offset, byte_count, first_source, out);
}

void Snapshot::fence() noexcept { (void)freeze(Clock::time_point::max()); }

bool Snapshot::freeze(Clock::time_point deadline) noexcept {
  const TraceSlice slice("freeze");
  while (const auto segment = claim_front()) copy_segment(*segment, wait_for_block(deadline));
  // Who else has claimed a segment has its memory, and waits for nothing.
  wait_captured(std::nullopt);
  return !sink_.dropped() || Clock::now() < deadline;
}

void Snapshot::fence(const void* data, std::size_t bytes) noexcept {
  const TraceSlice slice("freeze part", {{"bytes", bytes}});
  if (caught([&] { extents_by_address(); }).has_error()) return fence();  // no memory for the list: all is captured
  const auto* begin = static_cast<const std::byte*>(data);
  const std::byte* end = begin + bytes;
  const std::vector<Extent>& extents = extents_by_address();
  auto extent = std::lower_bound(extents.begin(), extents.end(), end,
                                 [](const Extent& e, const std::byte* address) { return e.begin < address; });
  while (extent != extents.begin()) {
    --extent;
    if (extent->end_max_so_far <= begin) break;
    const StreamPlan& plan = *plans_[extent->plan];
    const SourceLeaf& source = plan.sources[extent->source];
    const auto [memory_begin, memory_end] = source.memory();
    if (memory_end <= begin) continue;
    std::uint64_t from = source.offset;
    std::uint64_t to = source.offset + source.bytes;
    if (!source.strided) {  // memory order is stream order: only the part that is asked for
      from += static_cast<std::uint64_t>(std::max(begin, memory_begin) - memory_begin);
      to -= static_cast<std::uint64_t>(memory_end - std::min(end, memory_end));
    }
    auto segment = std::upper_bound(plan.segments.begin(), plan.segments.end(), from,
                                    [](std::uint64_t offset, const Segment& s) { return offset < s.raw_offset; }) -
                   1;
    for (; segment != plan.segments.end() && segment->raw_offset < to; ++segment) {
      fence_segment(first_segment_[extent->plan] + static_cast<std::size_t>(segment - plan.segments.begin()));
    }
  }
}

void Snapshot::fence_segment(std::size_t segment) noexcept {
  if (claim(segment)) copy_segment(segment, wait_for_block());
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return captured_segments_[segment]; });
}

WriteGuard::Pages Snapshot::before_write(std::byte* address) noexcept {
  const WriteGuard::Pages pages = copy_on_write_->granule_of(address);
  fence(pages.begin, pages.size());
  return pages;
}

void Snapshot::lost(WriteGuard::Pages pages, const char* how) noexcept {
  Error error(ErrorCode::failed_precondition, "");
  static_cast<void>(caught([&] {
    error = Error(error.code(), std::string("its memory was ") + how + " before it was captured, in mode cow");
  }));
  for (const Extent& extent : extents_) {
    const auto [begin, end] = plans_[extent.plan]->sources[extent.source].memory();
    if (begin < pages.end && pages.begin < end) return sink_.fail_leaf(extent.plan, extent.source, error);
  }
  sink_.fail(error);
}

const std::vector<Snapshot::Extent>& Snapshot::extents_by_address() {
  std::call_once(extents_once_, [this] {
    std::vector<Extent> extents;
    for (std::uint32_t p = 0; p < plans_.size(); ++p) {
      const auto& sources = plans_[p]->sources;
      for (std::uint32_t s = 0; s < sources.size(); ++s) {
        const auto [begin, end] = sources[s].memory();
        extents.push_back({begin, end, p, s});
      }
    }
    std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
    const std::byte* end_max = nullptr;
    for (Extent& extent : extents) extent.end_max_so_far = end_max = std::max(end_max, extent.end_max_so_far);
    extents_ = std::move(extents);
  });
  return extents_;
}

void Snapshot::finish() noexcept {
  wait_captured(std::nullopt);
  if (copy_on_write_) copy_on_write_->join();
}

bool Snapshot::wait_captured(std::optional<Clock::time_point> deadline) {
  std::unique_lock lock(mutex_);
  const auto happened = [&] { return is_captured(); };
  if (deadline) return changed_.wait_until(lock, *deadline, happened);
  changed_.wait(lock, happened);
  return true;
}

}  // namespace milepost
