// The chunks of a save: from the snapshot through coding to the disk.
#include "milepost/engine/save/save_job.h"
#include "milepost/io/caught.h"
#include "milepost/io/kernel_ordered.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <cstring>
#include <utility>

namespace milepost {
namespace {

// Writes of one save in flight at once: with 4 MiB chunks, past the knee of every disk measured.
constexpr std::size_t write_depth_max = 8;

}  // namespace

// --- What the snapshot calls.

void SaveJob::take(std::size_t segment_index, BufferLease block) noexcept {
  ItemState& item = items_[snapshot_->plan_of(segment_index)];
  const Segment& segment = item.plan.segments[snapshot_->index_of(segment_index)];
  std::uint32_t handed_on = 0;  // chunks that somebody will finish
  bool work_is_on = false;
  const auto taken = caught([&] {
    const auto shared = std::make_shared<BufferLease>(std::move(block));
    // What is written as it is need not wait for its digest.
    if (uncompressed_) {
      enqueue_write({&item, segment.first_chunk}, segment.chunk_count, shared, segment.raw_bytes);
      handed_on = segment.chunk_count;
    }
    const std::lock_guard lock(mutex_);
    work_is_on = coding_;
    for (std::uint32_t c = segment.first_chunk; c < segment.first_chunk + segment.chunk_count; ++c) {
      staged_.push_back({{&item, c}, shared, item.plan.chunks[c].raw_offset - segment.raw_offset});
      if (!uncompressed_) ++handed_on;
    }
  });
  if (taken.has_error()) {
    fail(taken.error());
    mark_finished(segment.chunk_count - handed_on);
  }
  if (work_is_on) call_workers(segment.chunk_count);
}

void SaveJob::drop(std::size_t segment) noexcept {
  mark_finished(items_[snapshot_->plan_of(segment)].plan.segments[snapshot_->index_of(segment)].chunk_count);
}

// The state is larger than the pool: coding and writing make room while it is copied.
void SaveJob::need_room() noexcept { start_coding(); }

void SaveJob::captured() noexcept {
  {
    const std::lock_guard lock(mutex_);
    captured_s_ = seconds_since_call();
    Phase capturing = Phase::capturing;
    phase_.compare_exchange_strong(capturing, Phase::writing);
  }
  start_coding();
}

bool SaveJob::post(std::function<void()> task) noexcept {
  return caught([&] { context_.workers->post([self = shared_from_this(), task = std::move(task)] { task(); }); })
      .has_value();
}

// --- Coding and writing.

void SaveJob::start_coding() noexcept {
  std::size_t units;
  {
    const std::lock_guard lock(mutex_);
    coding_wanted_ = true;
    if (coding_ || !files_ready_) return;  // release_files() looks at what is wanted
    coding_ = true;
    units = staged_.size();
    if (mode_ != SnapshotMode::copy) units += snapshot_->segment_count();  // to be read in place
  }
  call_workers(units);
}

void SaveJob::call_workers(std::size_t units) noexcept {
  for (; units > 0; --units) {
    if (post([this] { work(); })) continue;
    fail(Error::out_of_memory().within("call a worker"));
    work();  // which now only drops what it finds
  }
}

void SaveJob::work() noexcept {
  std::optional<Staged> staged;
  {
    const std::lock_guard lock(mutex_);
    if (!staged_.empty()) {
      staged = std::move(staged_.front());
      staged_.pop_front();
    }
  }
  if (staged) {
    code_staged(std::move(*staged));
  } else if (mode_ != SnapshotMode::copy) {
    if (const auto segment = snapshot_->claim_back()) code_in_place(*segment);
  }
}

void SaveJob::code_staged(Staged staged) noexcept {
  const ChunkId id = staged.chunk;
  if (uncompressed_) {  // its write is under way, and finishes it
    if (!dropped()) record_raw(id, staged.block->data() + staged.offset);
    staged.block.reset();
  } else if (dropped()) {
    staged.block.reset();
    mark_finished(1);
  } else if (const auto encoded = caught([&] { return encode(id, std::move(staged)); }); encoded.has_error()) {
    fail(explain(id, encoded.error()));
    mark_finished(1);
  }
  snapshot_->block_freed();
}

void SaveJob::code_in_place(std::size_t segment_index) noexcept {
  ItemState& item = items_[snapshot_->plan_of(segment_index)];
  const Segment& segment = item.plan.segments[snapshot_->index_of(segment_index)];
  std::optional<KernelOrderedReads> reads;
  if (mode_ == SnapshotMode::cow) reads.emplace();
  for (std::uint32_t c = segment.first_chunk; c < segment.first_chunk + segment.chunk_count; ++c) {
    const ChunkId id{&item, c};
    if (!dropped()) {
      const auto written = caught([&] { return uncompressed_ ? write_uncompressed(id) : encode(id, {}); });
      if (written.has_value()) continue;
      fail(explain(id, written.error()));
    }
    mark_finished(1);
  }
  snapshot_->mark_captured(segment_index);
}

Result<SaveJob::Block> SaveJob::coding_block(std::size_t held) {
  MILEPOST_ASSIGN(BufferLease lease, context_.coding->acquire(held));
  return std::make_shared<BufferLease>(std::move(lease));
}

Result<SaveJob::Block> SaveJob::gather(ChunkId id) {
  const PlannedChunk& chunk = id.planned();
  MILEPOST_ASSIGN(Block block, coding_block(0));
  snapshot_->copy(plan_of(id), chunk.raw_offset, chunk.raw_bytes, chunk.first_source, block->data());
  return block;
}

Result<void> SaveJob::write_uncompressed(ChunkId id) {
  MILEPOST_ASSIGN(const Block block, gather(id));
  enqueue_write(id, 1, block, id.planned().raw_bytes);
  record_raw(id, block->data());
  return {};
}

Result<void> SaveJob::encode(ChunkId id, Staged staged) {
  const PlannedChunk& chunk = id.planned();
  // Not staged: read from the caller's memory, unless the bytes are scattered there.
  const std::byte* raw = staged.block ? staged.block->data() + staged.offset : snapshot_->in_place(plan_of(id), chunk);
  const bool scattered = raw == nullptr;
  if (scattered) {
    MILEPOST_ASSIGN(staged.block, gather(id));
    raw = staged.block->data();
  }
  MILEPOST_ASSIGN(const Block out, coding_block(scattered ? 1 : 0));
  const TraceSlice slice("code", {{"leaf", name_for_trace(id)}, {"bytes", chunk.raw_bytes}});
  auto encoder = context_.encoders->take();
  const auto encoded = encoder->encode(request_.codec, chunk.kind, {raw, chunk.raw_bytes}, out->span());
  context_.encoders->put(std::move(encoder));
  if (encoded.has_error()) return encoded.error();
  // Staged chunks lie close together, not where a direct write could take them from.
  if (encoded->encoding == ChunkEncoding::raw) std::memcpy(out->data(), raw, chunk.raw_bytes);
  record(id, *encoded);
  enqueue_write(id, 1, out, encoded->stored_bytes);
  return {};
}

void SaveJob::record_raw(ChunkId id, const std::byte* raw) noexcept {
  const std::size_t bytes = id.planned().raw_bytes;
  TraceSlice slice("digest", {{"leaf", name_for_trace(id)}, {"bytes", bytes}});
  const Digest digest = Digest::of({raw, bytes});
  slice.end();
  record(id, {ChunkEncoding::raw, bytes, digest, digest});
}

void SaveJob::record(ChunkId id, const EncodedChunk& encoded) noexcept {
  Chunk& chunk = id.item->chunks[id.chunk];
  chunk.raw_offset = id.planned().raw_offset;
  chunk.raw_bytes = id.planned().raw_bytes;
  chunk.stored_bytes = static_cast<std::uint32_t>(encoded.stored_bytes);
  chunk.encoding = encoded.encoding;
  chunk.kind = id.planned().kind;
  chunk.raw_digest = encoded.raw_digest;
  chunk.stored_digest = encoded.stored_digest;

  const std::lock_guard lock(mutex_);
  if (uncompressed_) {
    chunk.file_offset = id.item->data_offset + chunk.raw_offset;
  } else {
    chunk.file_offset = io_aligned(id.item->file_bytes);
    id.item->file_bytes = chunk.file_offset + chunk.stored_bytes;
  }
  ++coded_;
  changed_.notify_all();
}

void SaveJob::enqueue_write(ChunkId first, std::uint32_t chunk_count, Block block, std::size_t bytes) {
  const std::size_t padded = io_aligned(bytes);
  std::memset(block->data() + bytes, 0, padded - bytes);
  {
    const std::lock_guard lock(mutex_);
    waiting_writes_.push_back({first, chunk_count, std::move(block), padded});
  }
  pump_writes();
}

void SaveJob::pump_writes() noexcept {
  for (;;) {
    PendingWrite write;
    bool drop;
    {
      const std::lock_guard lock(mutex_);
      if (!files_ready_ || waiting_writes_.empty()) return;
      drop = dropped();
      if (!drop && writes_in_flight_ == write_depth_max) return;
      write = std::move(waiting_writes_.front());
      waiting_writes_.pop_front();
      if (!drop && writes_in_flight_++ == 0) disk_began_ = Clock::now();
    }
    if (drop) {
      write.block.reset();
      mark_finished(write.chunk_count);
    } else {
      start_write(std::move(write));
    }
  }
}

void SaveJob::start_write(PendingWrite write) noexcept {
  const ChunkId first = write.first;
  const std::uint32_t chunk_count = write.chunk_count;
  ItemState& item = *first.item;
  // An uncompressed chunk may not have its record yet, but its place is known.
  const std::uint64_t offset =
      uncompressed_ ? item.data_offset + first.planned().raw_offset : item.chunks[first.chunk].file_offset;
  const std::span<const std::byte> bytes(write.block->data(), write.bytes);
  const auto started = caught([&] {
    item.file->write_at(offset, bytes,
                        [self = shared_from_this(), write = std::move(write)](Result<std::size_t> result) mutable {
                          self->written(std::move(write), std::move(result));
                        });
  });
  if (started.has_error()) written({first, chunk_count, nullptr, 0}, started.error());
}

// The same bytes to the same place, and no fsync has looked at the file yet: a failed write may be repeated, as a
// failed fsync may not.
bool SaveJob::may_retry(const Error& error) noexcept {
  const std::lock_guard lock(mutex_);
  if (error.code() != ErrorCode::io && error.code() != ErrorCode::unavailable) return false;
  if (failed_ || retries_ >= static_cast<std::uint64_t>(request_.write_retries)) return false;
  ++retries_;
  return true;
}

void SaveJob::written(PendingWrite write, Result<std::size_t> result) noexcept {
  if (result.has_error()) {
    if (may_retry(result.error())) return start_write(std::move(write));
    fail(explain(write.first, result.error()));
  }
  write.block.reset();
  snapshot_->block_freed();
  {
    const std::lock_guard lock(mutex_);
    if (--writes_in_flight_ == 0) disk_time_ += Clock::now() - disk_began_;
  }
  pump_writes();
  for (ChunkId id = write.first; id.chunk < write.first.chunk + write.chunk_count; ++id.chunk) {
    written_bytes_ += id.planned().raw_bytes;
  }
  report_progress();
  mark_finished(write.chunk_count);
}

void SaveJob::mark_finished(std::size_t chunks) noexcept {
  const std::lock_guard lock(mutex_);
  finished_ += chunks;
  changed_.notify_all();
}

void SaveJob::fail(Error error) noexcept {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  failed_.store(true);
  changed_.notify_all();
}

std::optional<Error> SaveJob::failure() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void SaveJob::fail_leaf(std::size_t plan, std::size_t source, Error error) noexcept {
  fail(explain(items_[plan], source, std::move(error)));
}

Error SaveJob::explain(ChunkId id, Error error) const noexcept {
  return explain(*id.item, id.planned().first_source, std::move(error));
}

Error SaveJob::explain(const ItemState& item, std::size_t source, Error error) const noexcept {
  const auto explained = caught([&] {
    const std::string leaf = paths_of_stored_leaves(*item.tree)[item.plan.sources[source].leaf];
    error.within("leaf " + leaf).within("item " + item.record.name);
  });
  static_cast<void>(explained);  // without memory for that, it is told as it is
  return error;
}

std::string_view SaveJob::name_for_trace(ChunkId id) const {
  const std::uint32_t leaf = id.item->plan.sources[id.planned().first_source].leaf;
  return id.item->traced_names.empty() ? std::string_view() : id.item->traced_names[leaf];
}

}  // namespace milepost
