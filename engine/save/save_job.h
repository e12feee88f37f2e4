// The life of one save, from the freeze to the commit.
//
// Its snapshot delivers segments, from whatever thread. The chunks of a segment are coded and digested on a worker,
// behind each other into one block, written together by the store, and finished; the control thread waits for all of
// them, writes the indices and commits.
//
// Bytes are copied once (caller -> staging block, past the cache); an uncompressed chunk is written
// from there, while its digest is still being computed, and a coded one from the block it was coded
// into. Chunks that are coded in place are not copied at all. Everything in flight is bounded: staging
// blocks by their pool, coded blocks by theirs, writes by a depth.
//
// The first error wins; after it chunks are claimed and dropped, so that every wait still ends.
#pragma once

#include "milepost/engine/items.h"
#include "milepost/engine/progress.h"
#include "milepost/engine/save/attempt.h"
#include "milepost/engine/save/save_options.h"
#include "milepost/engine/save/snapshot.h"
#include "milepost/engine/save/stream_plan.h"
#include "milepost/engine/spares.h"
#include "milepost/io/buffer_pool.h"
#include "milepost/io/worker_pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace milepost {

// What saving needs from its owner. All outlive every job.
struct SaveContext {
  Store* store = nullptr;
  WorkerPool* workers = nullptr;
  BufferPool* staging = nullptr;  // blocks of chunk_bytes_max
  BufferPool* coding = nullptr;   // blocks of coding_block_bytes()
  Spares<ChunkEncoder>* encoders = nullptr;
};

// Room for any coded chunk, and for its padding.
std::size_t coding_block_bytes();

struct SaveRequest {
  std::int64_t step = 0;
  std::string final_name;
  Items items;
  SnapshotMode mode = SnapshotMode::copy;
  Codec codec;
  Metrics metrics;
  std::string custom_metadata_json;
  ProgressFn on_progress;
  double waited_s = 0;     // before, for the save in flight
  int write_retries = 0;   // failed writes of data that are tried again, in all
  bool overwrite = false;  // a step that is there; see Attempt::publish
};

// Whether save() returns only when the state may change.
inline bool is_frozen_in_call(SnapshotMode mode) { return mode == SnapshotMode::copy || mode == SnapshotMode::cow; }

// All methods may be called from several threads at once, but capture() and run() once each. Once it is made it throws
// nothing: where memory is lacking, the save fails.
class SaveJob final : public std::enable_shared_from_this<SaveJob>, private SnapshotSink {
 public:
  using Clock = std::chrono::steady_clock;

  // The items have been checked.
  SaveJob(const SaveContext& context, SaveRequest request, Clock::time_point called);
  ~SaveJob();

  std::int64_t step() const { return request_.step; }

  // In the caller's thread: in modes copy and cow returns when the state is frozen, else at once, leaving even
  // the planning to run(). False: it was not frozen by the deadline, because no staging memory came free; the save has
  // failed then.
  bool capture(Clock::time_point deadline = Clock::time_point::max()) noexcept;
  // In the control thread: the rest, up to the commit. Returns when nothing is in flight any more.
  Result<SaveReport> run() noexcept;

  // The freezing, to be waited for or helped. It never outlives the state that it reads.
  Snapshot& snapshot();

  // To be called before workers write to memory that may be being saved: a worker that waited there in mode cow could
  // be the one that has to make room.
  void let_write() noexcept;

  // What went wrong with the step that this one replaced, when the save itself is committed. After run().
  const Result<void>& removal() const { return removal_; }
  // Whether the save failed and what it wrote could not be removed. After run().
  bool left_attempt() const { return left_attempt_; }

  bool is_durable() const { return durable_.load(); }
  // All return false if not by the deadline.
  bool wait_captured(Clock::time_point deadline);
  // Or until the job's end.
  bool wait_durable(std::optional<Clock::time_point> deadline);

  Progress progress() const;

 private:
  // An item being written.
  struct ItemState {
    StreamPlan plan;
    const Tree* tree = nullptr;  // until run() returns
    std::unique_ptr<WriteFile> file;
    std::string file_name;
    std::uint64_t data_offset = 0;
    std::uint64_t file_bytes = 0;  // so far; guarded by mutex_ until all is coded
    ItemRecord record;
    std::vector<Chunk> chunks;
    std::vector<std::string> traced_names;  // of stored leaves, for a trace
  };
  struct ChunkId {
    ItemState* item = nullptr;
    std::uint32_t chunk = 0;
    const PlannedChunk& planned() const { return item->plan.chunks[chunk]; }
  };
  // Shared by those who still read it: the chunks of a segment; a write, and the digest of what is written.
  using Block = std::shared_ptr<BufferLease>;
  struct Staged {
    std::size_t segment = 0;
    Block block;
  };
  // Chunks that lie behind each other, coded, in one block: so that small ones make large writes.
  struct Pack {
    ChunkId first;
    std::uint32_t chunk_count = 0;
    Block block;
    std::size_t bytes = 0;  // up to the end of the last
  };
  struct PendingWrite {
    ChunkId first;
    std::uint32_t chunk_count = 1;  // that lie behind each other
    Block block;
    std::size_t bytes = 0;  // padded
  };

  void plan();
  void plan_if_there_is_memory() noexcept;

  void take(std::size_t segment, BufferLease block) noexcept override;
  bool dropped() const noexcept override { return failed_.load(std::memory_order_relaxed); }
  void drop(std::size_t segment) noexcept override;
  void need_room() noexcept override;
  void fail(Error error) noexcept override;
  void fail_leaf(std::size_t plan, std::size_t source, Error error) noexcept override;
  void captured() noexcept override;
  bool post(Task task) noexcept override;
  // Runs fn() on a worker; keeps the job alive until then. False: there is no memory to call one.
  template <class Function> bool call_worker(Function fn) noexcept;

  void start_coding() noexcept;  // lets the workers at what is staged, once files are open
  void call_workers(std::size_t units) noexcept;
  void work() noexcept;  // one unit: codes a staged segment, or a pending one in place
  void code_staged(Staged staged) noexcept;
  void code_in_place(std::size_t segment) noexcept;
  Result<Block> coding_block(std::size_t held);
  Result<void> write_uncompressed(std::size_t segment);  // from the caller's memory
  void record_uncompressed(std::size_t segment, const std::byte* raw) noexcept;
  void encode(std::size_t segment, const std::byte* staged) noexcept;  // null: from the caller's memory
  Result<void> encode(ChunkId id, const std::byte* staged, Pack& pack);
  Result<void> write(Pack& pack);
  void record(ChunkId id, const EncodedChunk& encoded, std::uint64_t file_offset) noexcept;
  // Each chunk is finished once: by its write, or without one after a failure. If this throws, there will be no write.
  void enqueue_write(ChunkId first, std::uint32_t chunk_count, Block block, std::size_t bytes);
  void pump_writes() noexcept;
  void start_write(PendingWrite write) noexcept;
  void written(PendingWrite write, Result<std::size_t> result) noexcept;
  bool may_retry(const Error& error) noexcept;
  void mark_coded(std::size_t chunks) noexcept;
  void mark_finished(std::size_t chunks) noexcept;

  void report_progress() noexcept;

  Result<void> open_files(Attempt& attempt);
  void release_files() noexcept;
  Result<void> write_index(Attempt& attempt, ItemState& item);
  SaveFigures figures() const;
  Result<SaveReport> commit(Attempt& attempt);

  // Whether nothing but copying is done until the state is captured, if there is room: coding and digests would take
  // the cores, or a share of the loop's. What is not coded is on its way to the disk all the same.
  bool copies_first() const { return mode_ == SnapshotMode::copy || (uncompressed_ && mode_ != SnapshotMode::borrow); }
  // In mode copy the calling thread is one of those who copy, and this job's the other.
  int copiers_to_call() const {
    const int all = context_.workers->size();
    return mode_ == SnapshotMode::copy ? all - 2 : copies_first() ? all : 1;
  }
  double seconds_since_call() const { return std::chrono::duration<double>(Clock::now() - called_).count(); }
  ItemState& item_of(std::size_t segment) { return items_[snapshot_->plan_of(segment)]; }
  Error explain(ChunkId id, Error error) const noexcept;
  std::optional<Error> failure() const;
  Error explain(const ItemState& item, std::size_t source, Error error) const noexcept;
  std::size_t plan_of(ChunkId id) const { return static_cast<std::size_t>(id.item - items_.data()); }
  std::string_view name_for_trace(ChunkId id) const;  // of the leaf; empty if the save began without a trace

  // Constant after construction, but for the items, which go when run() returns.
  const SaveContext context_;
  SaveRequest request_;
  const bool uncompressed_;
  const Clock::time_point called_;
  const std::int64_t called_unix_ns_;

  // Constant once planned_ is set.
  std::vector<ItemState> items_;
  SnapshotMode mode_;  // the one asked for, or copy
  std::string mode_reason_;
  std::uint64_t raw_bytes_ = 0;
  std::size_t chunk_count_ = 0;

  // With their own synchronization.
  std::optional<Snapshot> snapshot_;
  std::atomic<std::uint64_t> written_bytes_{0};
  std::atomic<bool> failed_{false};
  std::atomic<bool> durable_{false};
  std::atomic<Phase> phase_{Phase::capturing};
  std::mutex progress_mutex_;

  // The control thread's.
  Result<void> removal_;
  bool left_attempt_ = false;

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Staged> staged_;  // to be coded
  std::deque<PendingWrite> waiting_writes_;
  std::size_t writes_in_flight_ = 0;
  Clock::time_point disk_began_{};  // when the first of them began
  Clock::duration disk_time_{};     // before
  std::size_t coded_ = 0;
  std::size_t finished_ = 0;
  bool planned_ = false;
  bool files_ready_ = false;
  bool coding_wanted_ = false;
  bool coding_ = false;  // workers have been called
  bool ended_ = false;
  std::optional<Error> error_;
  std::uint64_t retries_ = 0;
  double captured_s_ = 0;
  double written_s_ = 0;
};

}  // namespace milepost
