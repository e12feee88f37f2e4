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

void SaveJob::take(std::size_t segment, BufferLease block) noexcept {
  const Segment& part = snapshot_->planned(segment);
  bool handed_on = false;  // somebody will finish the chunks
  bool work_is_on = false;
  const auto taken = caught([&] {
    const auto shared = std::make_shared<BufferLease>(std::move(block));
    // What is written as it is need not wait for its digest.
    if (uncompressed_) {
      enqueue_write({&item_of(segment), part.first_chunk}, part.chunk_count, shared, part.raw_bytes);
      handed_on = true;
    }
    const std::lock_guard lock(mutex_);
    work_is_on = coding_;
    staged_.push_back({segment, shared});
    handed_on = true;
  });
  if (taken.has_error()) {
    fail(taken.error());
    if (!handed_on) mark_finished(part.chunk_count);
  }
  if (work_is_on) call_workers(1);
}

void SaveJob::drop(std::size_t segment) noexcept { mark_finished(snapshot_->planned(segment).chunk_count); }

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

bool SaveJob::post(Task task) noexcept {
  return call_worker([this, task] { ((*snapshot_).*task)(); });
}

template <class Function> bool SaveJob::call_worker(Function fn) noexcept {
  return caught([&] { context_.workers->post([self = shared_from_this(), fn] { fn(); }); }).has_value();
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
    if (call_worker([this] { work(); })) continue;
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
  const std::byte* raw = staged.block->data();
  if (!uncompressed_) {
    encode(staged.segment, raw);
  } else if (!dropped()) {  // its write is under way, and finishes it
    record_uncompressed(staged.segment, raw);
  }
  staged.block.reset();
  snapshot_->block_freed();
}

void SaveJob::code_in_place(std::size_t segment) noexcept {
  std::optional<KernelOrderedReads> reads;
  if (mode_ == SnapshotMode::cow) reads.emplace();
  if (!uncompressed_) {
    encode(segment, nullptr);
  } else if (dropped()) {
    drop(segment);
  } else if (const auto written = caught([&] { return write_uncompressed(segment); }); written.has_error()) {
    fail(explain({&item_of(segment), snapshot_->planned(segment).first_chunk}, written.error()));
    drop(segment);
  }
  snapshot_->mark_captured(segment);
}

Result<SaveJob::Block> SaveJob::coding_block(std::size_t held) {
  MILEPOST_ASSIGN(BufferLease lease, context_.coding->acquire(held));
  return std::make_shared<BufferLease>(std::move(lease));
}

Result<void> SaveJob::write_uncompressed(std::size_t segment) {
  const Segment& part = snapshot_->planned(segment);
  MILEPOST_ASSIGN(const Block block, coding_block(0));
  snapshot_->copy(snapshot_->plan_of(segment), part.raw_offset, part.raw_bytes, part.first_source, block->data());
  enqueue_write({&item_of(segment), part.first_chunk}, part.chunk_count, block, part.raw_bytes);
  record_uncompressed(segment, block->data());
  return {};
}

void SaveJob::record_uncompressed(std::size_t segment, const std::byte* raw) noexcept {
  ItemState& item = item_of(segment);
  const Segment& part = snapshot_->planned(segment);
  for (std::uint32_t c = part.first_chunk; c < part.first_chunk + part.chunk_count; ++c) {
    const ChunkId id{&item, c};
    const std::size_t bytes = id.planned().raw_bytes;
    const std::byte* const begin = raw + (id.planned().raw_offset - part.raw_offset);
    TraceSlice slice("digest", {{"leaf", name_for_trace(id)}, {"bytes", bytes}});
    const Digest digest = Digest::of({begin, bytes});
    slice.end();
    record(id, {ChunkEncoding::raw, bytes, digest, digest}, item.data_offset + id.planned().raw_offset);
  }
  mark_coded(part.chunk_count);
}

void SaveJob::encode(std::size_t segment, const std::byte* staged) noexcept {
  ItemState& item = item_of(segment);
  const Segment& part = snapshot_->planned(segment);
  Pack pack;
  for (std::uint32_t c = part.first_chunk; c < part.first_chunk + part.chunk_count; ++c) {
    const ChunkId id{&item, c};
    if (!dropped()) {
      const std::byte* raw = staged ? staged + (id.planned().raw_offset - part.raw_offset) : nullptr;
      const auto encoded = caught([&] { return encode(id, raw, pack); });
      if (encoded.has_value()) continue;
      fail(explain(id, encoded.error()));
    }
    mark_finished(1);
  }
  if (pack.chunk_count == 0) return;
  if (!dropped()) {
    const auto written = caught([&] { return write(pack); });
    if (written.has_value()) return;
    fail(explain(pack.first, written.error()));
  }
  mark_finished(pack.chunk_count);
}

// Takes the chunk into the pack, unless there is an error; writes the pack before, if there is no room in it.
Result<void> SaveJob::encode(ChunkId id, const std::byte* staged, Pack& pack) {
  const PlannedChunk& chunk = id.planned();
  const auto is_full = [&] { return io_aligned(pack.bytes) + encoded_bytes_max(chunk.raw_bytes) > pack.block->size(); };
  if (pack.block && is_full()) MILEPOST_TRY(write(pack));
  // Not staged: read from the caller's memory, unless the bytes are scattered there.
  const std::byte* raw = staged ? staged : snapshot_->in_place(plan_of(id), chunk);
  Block gathered;
  if (!raw) {
    MILEPOST_ASSIGN(gathered, coding_block(pack.block ? 1 : 0));
    snapshot_->copy(plan_of(id), chunk.raw_offset, chunk.raw_bytes, chunk.first_source, gathered->data());
    raw = gathered->data();
  }
  if (!pack.block) {
    MILEPOST_ASSIGN(pack.block, coding_block(gathered ? 1 : 0));
  }
  const TraceSlice slice("code", {{"leaf", name_for_trace(id)}, {"bytes", chunk.raw_bytes}});
  const std::size_t begin = io_aligned(pack.bytes);
  const std::span<std::byte> out = pack.block->span().subspan(begin);
  auto encoder = context_.encoders->take();
  const auto encoded = encoder->encode(request_.codec, chunk.kind, {raw, chunk.raw_bytes}, out);
  context_.encoders->put(std::move(encoder));
  if (encoded.has_error()) return encoded.error();
  // Staged chunks lie close together, not where a direct write could take them from.
  if (encoded->encoding == ChunkEncoding::raw) std::memcpy(out.data(), raw, chunk.raw_bytes);
  std::memset(pack.block->data() + pack.bytes, 0, begin - pack.bytes);
  record(id, *encoded, begin);  // in the pack; in the file it has a place when the pack has
  if (pack.chunk_count++ == 0) pack.first = id;
  pack.bytes = begin + encoded->stored_bytes;
  return {};
}

Result<void> SaveJob::write(Pack& pack) {
  ItemState& item = *pack.first.item;
  {
    const std::lock_guard lock(mutex_);
    const std::uint64_t offset = io_aligned(item.file_bytes);
    for (std::uint32_t i = 0; i < pack.chunk_count; ++i) item.chunks[pack.first.chunk + i].file_offset += offset;
    item.file_bytes = offset + pack.bytes;
  }
  const std::uint32_t chunk_count = pack.chunk_count;
  enqueue_write(pack.first, chunk_count, std::move(pack.block), pack.bytes);
  pack = {};
  mark_coded(chunk_count);
  return {};
}

void SaveJob::record(ChunkId id, const EncodedChunk& encoded, std::uint64_t file_offset) noexcept {
  Chunk& chunk = id.item->chunks[id.chunk];
  chunk.raw_offset = id.planned().raw_offset;
  chunk.raw_bytes = id.planned().raw_bytes;
  chunk.file_offset = file_offset;
  chunk.stored_bytes = static_cast<std::uint32_t>(encoded.stored_bytes);
  chunk.encoding = encoded.encoding;
  chunk.kind = id.planned().kind;
  chunk.raw_digest = encoded.raw_digest;
  chunk.stored_digest = encoded.stored_digest;
}

void SaveJob::mark_coded(std::size_t chunks) noexcept {
  const std::lock_guard lock(mutex_);
  coded_ += chunks;
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
