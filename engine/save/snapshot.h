// The snapshot: freezes the state of one save, segment by segment (stream_plan.h), while others read what is frozen.
//
// A segment is claimed out of `pending` exactly once, by compare-and-swap, by whoever comes first:
//
//   - a copier: the thread in save() or fence(), the one that runs the save, or a worker. It copies the segment
//     into a staging block (past the cache) and hands the block to the sink;
//   - a reader in place, in all modes but copy: a worker with nothing staged to do takes the last
//     pending segment, and codes it from where it lies in the caller's memory. Where nothing is coded this begins only
//     when there is no memory left to copy into, or at once in mode borrow.
//
// The segment is captured when the copy is made, or when the reader says so. Copiers go from the front,
// in the order in which the state is updated, readers from the back, where there is more time. A
// thread that waits in fence() helps: it copies the next pending segment rather than sleep.
//
// Mode cow is mode lazy with a fence that nobody has to call: pages are protected from writes, and who writes to one
// waits while the guard's thread captures what is in its granule (copy_on_write.h). All protection is gone
// before anybody hears that all is captured.
//
// When the pool has no free block, a worker never waits for one (it may be the one that has to make
// it free): a background copier parks, and one is called again when a block comes back.
#pragma once

#include "milepost/engine/save/copy_on_write.h"
#include "milepost/engine/save/save_options.h"
#include "milepost/engine/save/stream_plan.h"
#include "milepost/io/buffer_pool.h"
#include "milepost/io/worker_pool.h"
#include "milepost/io/write_guard.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace milepost {

class Snapshot;

// Who gets the segments. Called from any thread, and several at once; throws nothing.
class SnapshotSink {
 public:
  // A segment that was copied, in its block.
  virtual void take(std::size_t segment, BufferLease block) noexcept = 0;
  // Whether the rest is not wanted any more: segments are then claimed and marked, but not copied.
  virtual bool dropped() const noexcept = 0;
  // Instead of take(), for such a segment.
  virtual void drop(std::size_t segment) noexcept = 0;
  // A copier is about to wait for a block, or none could be called: whatever makes room, or reads in place, should
  // start.
  virtual void need_room() noexcept = 0;
  // The save cannot succeed.
  virtual void fail(Error error) noexcept = 0;
  // The same of a leaf, plans[plan]->sources[source].
  virtual void fail_leaf(std::size_t plan, std::size_t source, Error error) noexcept = 0;
  // All segments are captured; called once.
  virtual void captured() noexcept = 0;
  // Has a worker call that of the snapshot, and keeps it alive until then. False: there is no memory to call one.
  using Task = void (Snapshot::*)() noexcept;
  virtual bool post(Task task) noexcept = 0;

 protected:
  virtual ~SnapshotSink() = default;
};

// All methods may be called from several threads at once, but start() once. Once it is made nothing throws: what cannot
// be captured for want of memory fails the sink, and is dropped.
class Snapshot final : private WriteGuard::Owner {
 public:
  using Clock = std::chrono::steady_clock;

  // The plans and what they point to outlive the snapshot's last claim; staging and sink the snapshot.
  Snapshot(std::vector<const StreamPlan*> plans, BufferPool& staging, SnapshotSink& sink);

  // Segments are numbered through all plans.
  std::size_t segment_count() const { return segments_.size(); }
  std::size_t plan_of(std::size_t segment) const { return segments_[segment].plan; }
  const Segment& planned(std::size_t segment) const {
    return plans_[segments_[segment].plan]->segments[segments_[segment].index];
  }

  // Before start() in mode cow, and before anybody else knows of the snapshot. An error, which says why: it has to be
  // mode copy.
  Result<void> protect() noexcept;
  // In mode copy returns when all is captured. Else at once; in mode cow when what cannot be protected is. So many
  // workers are called to copy. False: no staging memory came free by the deadline; the sink has been told, and what
  // was not captured is dropped.
  bool start(SnapshotMode mode, int workers, Clock::time_point deadline = Clock::time_point::max()) noexcept;
  // Of a worker, who never waits for a block: what it claims, it copies at once.
  void copy_while_blocks_are_free() noexcept;
  // Return when everything, or everything in that memory, is captured, helping.
  void fence() noexcept;
  void fence(const void* data, std::size_t bytes) noexcept;

  // For readers in place: claims the last pending segment. The reader calls mark_captured() when it has read it.
  std::optional<std::size_t> claim_back();
  void mark_captured(std::size_t segment) noexcept;
  // For them too, as those of StreamPlan.
  const std::byte* in_place(std::size_t plan, const PlannedChunk& chunk) const;
  void copy(std::size_t plan, std::uint64_t raw_offset, std::uint64_t byte_count, std::uint32_t first_source,
            std::byte* out) const;
  // Something was given back to the pool.
  void block_freed() noexcept;

  bool is_captured() const { return captured_.load(); }
  std::uint64_t captured_bytes() const { return captured_bytes_.load(); }
  // False if not by the deadline.
  bool wait_captured(std::optional<Clock::time_point> deadline);
  // Waits until all is captured and no thread of the snapshot's own is left.
  void finish() noexcept;

 private:
  struct SegmentState {
    std::atomic<bool> claimed{false};
    std::uint32_t plan = 0;
    std::uint32_t index = 0;
  };
  // The caller's memory that a source reads, for fence(data, bytes); sorted by `begin`.
  struct Extent {
    const std::byte* begin;
    const std::byte* end_max_so_far;  // the furthest end of this extent and all before it
    std::uint32_t plan;
    std::uint32_t source;
  };

  WriteGuard::Pages before_write(std::byte* address) noexcept override;
  void lost(WriteGuard::Pages pages, const char* how) noexcept override;

  bool claim(std::size_t segment) { return !segments_[segment].claimed.exchange(true); }
  std::optional<std::size_t> claim_front();
  void copy_in_background() noexcept;
  void copy_segment(std::size_t segment, BufferLease block) noexcept;
  bool freeze(Clock::time_point deadline) noexcept;
  // Empty, and the sink has been told, if there is no memory, or none by the deadline.
  BufferLease wait_for_block(Clock::time_point deadline = Clock::time_point::max()) noexcept;
  void fence_segment(std::size_t segment) noexcept;
  const std::vector<Extent>& extents_by_address();

  // Constant after construction.
  const std::vector<const StreamPlan*> plans_;
  std::vector<std::size_t> first_segment_;  // of each plan
  BufferPool& staging_;
  SnapshotSink& sink_;

  // With their own synchronization.
  std::vector<SegmentState> segments_;
  std::atomic<std::size_t> front_{0};
  std::atomic<std::size_t> back_;
  std::atomic<std::size_t> captured_count_{0};
  std::atomic<bool> captured_{false};  // all, and whoever waits is told
  std::atomic<std::uint64_t> captured_bytes_{0};
  std::atomic<bool> parked_{false};
  std::once_flag extents_once_;
  std::vector<Extent> extents_;

  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> captured_segments_;

  std::unique_ptr<CopyOnWrite> copy_on_write_;  // set by protect(); destroyed first: its thread uses all the rest
  std::vector<std::size_t> at_once_;            // claimed by protect(), for start()
};

}  // namespace milepost
