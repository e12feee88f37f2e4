// What a copy-on-write snapshot takes from the caller in the call of save(), instead of a copy of all:
//
//   - Whole pages in which nothing lies but one large, contiguous leaf are protected from writes, until what is in them
//     has been captured (io/write_guard.h).
//   - All other bytes (small and strided leaves, the edges of large ones) are copied, side by side in a few staging
//     blocks. Their pages may hold memory of others and are never protected: who captures may need just that memory.
//   - Segments of which such bytes are the greater part are captured whole in the call.
//
// A segment is read from the pages and the copies together, by copy(). Memory becomes writable again in granules of
// 2 MiB, a huge page: smaller ones slow a loop that rewrites its state two to four times as much. A granule that two
// segments share waits for both, and memory that several leaves share for the writer or the end.
#pragma once

#include "milepost/engine/save/stream_plan.h"
#include "milepost/io/buffer_pool.h"
#include "milepost/io/write_guard.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace milepost {

// After protect() all methods but end() and join() may be called from several threads at once.
class CopyOnWrite {
 public:
  using Pages = WriteGuard::Pages;
  struct SegmentId {
    std::size_t plan = 0;
    std::size_t index = 0;
  };

  // Copies what cannot be protected. unavailable if that is most of the state. The plans and the pool outlive it.
  static Result<std::unique_ptr<CopyOnWrite>> prepare(const std::vector<const StreamPlan*>& plans, BufferPool& staging);

  // The segments to be captured before the caller goes on.
  const std::vector<SegmentId>& to_capture_at_once() const { return at_once_; }
  // Protects the rest. The error of WriteGuard::protect().
  Result<void> protect(WriteGuard::Owner& owner);

  // As those of StreamPlan, for a plan's number; for what is not captured yet.
  const std::byte* in_place(std::size_t plan, const PlannedChunk& chunk) const;
  void copy(std::size_t plan, std::uint64_t raw_offset, std::uint64_t byte_count, std::uint32_t first_source,
            std::byte* out) const;

  // The protected pages around an address that are to be captured, and let go, together.
  Pages granule_of(std::byte* address) const;
  // This segment has been captured, and its neighbours perhaps.
  void release(SegmentId segment, bool previous_too, bool next_too) noexcept;
  // All have: takes all protection away.
  void end() noexcept;
  // Returns when the thread that serves writers is gone. After end().
  void join() noexcept;

 private:
  // Bytes of the stream that were copied.
  struct Kept {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint32_t first_source = 0;
    std::uint32_t last_source = 0;
    const std::byte* data = nullptr;
  };
  struct Region {
    Pages pages;
    const SourceLeaf* leaf = nullptr;  // null: several, which share memory
  };
  // What a segment has of one leaf.
  struct Part {
    const SourceLeaf* source;
    std::uint32_t source_index;
    std::uint64_t from, to;  // in the stream
    Pages pages;             // that the whole leaf has for itself
  };

  CopyOnWrite(const std::vector<const StreamPlan*>& plans, BufferPool& staging) : plans_(plans), staging_(staging) {}

  template <class Function> void for_each_part(SegmentId id, const Function& fn) const;
  void prepare(SegmentId id);
  bool keep(std::size_t plan, std::vector<Kept>& pieces);
  void join_shared_regions();
  std::vector<Kept>::const_iterator first_kept_after(std::size_t plan, std::uint64_t offset) const;
  const Region* region_at(const std::byte* address) const;

  // Constant after protect().
  const std::vector<const StreamPlan*>& plans_;
  BufferPool& staging_;
  std::vector<std::vector<Kept>> kept_;  // of each plan, in stream order
  std::vector<SegmentId> at_once_;
  std::uint64_t at_once_bytes_ = 0;
  std::vector<Region> regions_;  // by address, disjoint

  std::vector<BufferLease> blocks_;  // of what is kept
  std::size_t block_used_ = 0;       // of the last one
  std::unique_ptr<WriteGuard> guard_;
};

}  // namespace milepost
