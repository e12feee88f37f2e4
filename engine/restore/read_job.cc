#include "milepost/engine/restore/read_job.h"

#include "milepost/io/caught.h"
#include "milepost/io/populate.h"
#include "milepost/io/trace.h"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <optional>
#include <utility>

namespace milepost {
namespace {

// In flight at once, in reads of up to 4 MiB each: past the knee of every disk measured. Counted in bytes, since where
// a leaf begins and ends its chunks are small. Disks finish many reads at the same moment: the next ones must not wait
// until what was read is decoded.
constexpr std::size_t bytes_in_flight_max = 8 * chunk_bytes_max;
// Chunks being read or decoded.
constexpr std::size_t chunks_held_max = 16;

class ReadJob {
 public:
  ReadJob(const RestoreContext& context, const ItemFiles& item, const ReadPlan& plan, ReadProgress& progress,
          const ChunkErrorFn& on_error)
      : context_(context), item_(item), plan_(plan), progress_(progress), on_error_(on_error) {}

  Result<void> run() noexcept {
    const TraceSlice slice("read item", {{"item", item_.manifest.item}});
    for (const ChunkRead& read : plan_.reads) {
      {
        std::unique_lock lock(mutex_);
        const std::size_t bytes = chunk_of(read).stored_bytes;
        changed_.wait(lock, [&] { return bytes_in_flight_ + bytes <= bytes_in_flight_max && held_ < chunks_held_max; });
        if (stopped_) break;
        bytes_in_flight_ += bytes;
        ++held_;
      }
      BufferLease block;
      if (!reads_in_place(read)) {
        auto lease = context_.staging->acquire();
        if (lease.has_error()) {
          finish(read, lease.error());
          read_done(read);
          leave();
          break;
        }
        block = std::move(lease).value();
      }
      start(read, std::move(block));
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return held_ == 0 && completing_ == 0; });
    return lost_;
  }

 private:
  const Chunk& chunk_of(const ChunkRead& read) const { return item_.chunks[read.stream][read.chunk]; }

  // Where all of the chunk's raw bytes go in the caller's memory, if they go to one place and nowhere else.
  std::byte* destination_of(const ChunkRead& read) const {
    if (read.part_count != 1 || plan_.check_only) return nullptr;
    const Chunk& chunk = chunk_of(read);
    const ReadPart& part = plan_.parts[plan_.part_indices[read.first_part]];
    if (part.box || part.begin > chunk.raw_offset || chunk.raw_offset + chunk.raw_bytes > part.end) return nullptr;
    return part.destination + (chunk.raw_offset - part.begin);
  }

  // Whether a chunk is read to where it goes, and checked there: one that is stored as it is, if its padding has not to
  // be read too, and if it can be read directly, or need not be.
  bool reads_in_place(const ChunkRead& read) const {
    const Chunk& chunk = chunk_of(read);
    const std::byte* const destination = destination_of(read);
    if (!destination || chunk.encoding != ChunkEncoding::raw) return false;
    const ReadFile& file = *item_.files[read.stream];
    const bool whole_blocks = chunk.stored_bytes % io_alignment == 0;
    if (whole_blocks && reinterpret_cast<std::uintptr_t>(destination) % file.memory_alignment() == 0) return true;
    return (whole_blocks || !is_padded(read)) && file.is_cached(chunk.file_offset, chunk.stored_bytes);
  }

  // Files without a header pad each chunk with zeros.
  bool is_padded(const ChunkRead& read) const { return item_.manifest.streams[read.stream].data_offset == 0; }

  // A block that is empty is for a chunk that is read in place. Whoever starts a direct read into memory that was never
  // touched has all of it cleared within that call: the workers do that side by side, ahead of it.
  void start(const ChunkRead& read, BufferLease lease) noexcept {
    {
      const std::lock_guard lock(mutex_);
      ++completing_;
    }
    if (lease) return read_into(read, std::move(lease));
    const PageRange pages(destination_of(read), chunk_of(read).stored_bytes);
    if (pages.is_resident()) return read_into(read, {});
    {
      const std::lock_guard lock(mutex_);
      ++completing_;  // the worker, which may be in the call that reads when the bytes are there
    }
    const auto posted = caught([&] {
      context_.workers->post([this, &read, pages] {
        {
          const TraceSlice slice("clear memory", {{"chunk", read.chunk}, {"bytes", chunk_of(read).stored_bytes}});
          static_cast<void>(pages.populate());  // a wish: without it the read only takes longer to start
        }
        read_into(read, {});
        completed();
      });
    });
    if (posted.has_value()) return;
    not_started(read, posted.error());
    completed();
  }

  void read_into(const ChunkRead& read, BufferLease lease) noexcept {
    const auto started = caught([&] { start_read(read, std::move(lease)); });
    if (started.has_error()) not_started(read, started.error());
  }

  void not_started(const ChunkRead& read, const Error& error) noexcept {
    finish(read, error);
    read_done(read);
    leave();
    completed();
  }

  void start_read(const ChunkRead& read, BufferLease lease) {
    const Chunk& chunk = chunk_of(read);
    // Aligned reads go past the page cache, and bring the padding along, which is checked too.
    const bool direct = lease && chunk.file_offset % io_alignment == 0;
    const std::size_t bytes = direct ? io_aligned(chunk.stored_bytes) : chunk.stored_bytes;
    const auto block = std::make_shared<BufferLease>(std::move(lease));
    item_.files[read.stream]->read_at(chunk.file_offset, {*block ? block->data() : destination_of(read), bytes},
                                      [this, &read, block](Result<std::size_t> result) {
                                        read_done(read);
                                        decode_later(read, block, result);
                                        // Only now is this thread done with the workers, which may go after run().
                                        completed();
                                      });
  }

  void decode_later(const ChunkRead& read, const std::shared_ptr<BufferLease>& block,
                    const Result<std::size_t>& bytes) noexcept {
    if (bytes.has_error()) return end(read, *block, bytes.error());
    const auto posted = caught([&] {
      context_.workers->post([this, &read, block, count = *bytes] {
        end(read, *block, caught([&] { return process(read, *block, count); }));
      });
    });
    if (posted.has_error()) end(read, *block, posted.error());
  }

  void end(const ChunkRead& read, BufferLease& block, const Result<void>& result) noexcept {
    finish(read, result);
    block.release();
    leave();
  }

  Result<void> process(const ChunkRead& read, const BufferLease& block, std::size_t bytes) {
    const Chunk& chunk = chunk_of(read);
    const TraceSlice slice("decode", {{"chunk", read.chunk}, {"bytes", chunk.raw_bytes}});
    if (bytes < chunk.stored_bytes) {
      return Error(ErrorCode::corruption, "the file ends after " + std::to_string(bytes) + " of " +
                                              std::to_string(chunk.stored_bytes) + " bytes");
    }
    std::byte* const destination = destination_of(read);
    std::byte* const memory = block ? block.data() : destination;
    if (is_padded(read) &&
        std::any_of(memory + chunk.stored_bytes, memory + bytes, [](std::byte b) { return b != std::byte{0}; })) {
      return Error(ErrorCode::corruption, "the padding behind the chunk is not zero");
    }
    const std::span<std::byte> stored(memory, chunk.stored_bytes);

    auto space = context_.decoders->take();
    std::span<std::byte> raw(destination, chunk.raw_bytes);
    if (!destination) {
      if (chunk.encoding == ChunkEncoding::raw) {
        raw = stored;
      } else {
        space->scratch.resize(chunk_bytes_max);
        raw = {space->scratch.data(), chunk.raw_bytes};
      }
    }
    auto decoded =
        space->decoder.decode(chunk.encoding, chunk.kind, stored, chunk.stored_digest, raw, chunk.raw_digest);
    if (decoded.has_value() && !destination) hand_out(read, raw);
    context_.decoders->put(std::move(space));
    if (decoded.has_value()) progress_.add(chunk.raw_bytes);
    return decoded;
  }

  // A good chunk's bytes to all that want some of them.
  void hand_out(const ChunkRead& read, std::span<const std::byte> raw) {
    const std::uint64_t offset = chunk_of(read).raw_offset;
    for (std::uint32_t i = 0; i < read.part_count; ++i) {
      const ReadPart& part = plan_.parts[plan_.part_indices[read.first_part + i]];
      auto taken = plan_.check_only ? part.check(raw, offset) : part.take(raw, offset);
      if (taken.has_error()) report(read, taken.error(), &part);
    }
  }

  void finish(const ChunkRead& read, const Result<void>& result) noexcept {
    if (result.has_value()) return;
    Error error = result.error();
    // Without memory for its place it is told as it is.
    static_cast<void>(caught([&] {
      error.within(item_.directory + "/" + item_.manifest.streams[read.stream].data_file + "@" +
                   std::to_string(chunk_of(read).file_offset));
    }));
    report(read, std::move(error), nullptr);
  }

  void report(const ChunkRead& read, Error error, const ReadPart* misfit) noexcept {
    const std::lock_guard lock(error_mutex_);
    bool go_on = false;
    const auto told = caught([&] { go_on = on_error_(read, std::move(error), misfit); });
    const std::lock_guard state_lock(mutex_);
    if (told.has_error()) lost_ = told;
    if (!go_on) stopped_ = true;
  }

  void completed() noexcept {
    const std::lock_guard lock(mutex_);
    --completing_;
    changed_.notify_all();
  }

  void read_done(const ChunkRead& read) noexcept {
    const std::lock_guard lock(mutex_);
    bytes_in_flight_ -= chunk_of(read).stored_bytes;
    changed_.notify_all();
  }

  void leave() noexcept {
    const std::lock_guard lock(mutex_);
    --held_;
    changed_.notify_all();
  }

  const RestoreContext& context_;
  const ItemFiles& item_;
  const ReadPlan& plan_;
  ReadProgress& progress_;
  const ChunkErrorFn& on_error_;

  std::mutex error_mutex_;  // serializes on_error_; taken before mutex_

  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t bytes_in_flight_ = 0;  // until they are there
  std::size_t held_ = 0;             // chunks, until they are processed
  std::size_t completing_ = 0;       // threads other than run()'s that use the file or the workers
  bool stopped_ = false;
  Result<void> lost_;  // what on_error_ threw
};

}  // namespace

void ReadProgress::add(std::uint64_t bytes) noexcept {
  if (!fn_) return;
  const std::lock_guard lock(mutex_);
  bytes_done_ += bytes;
  if (thrown_) return;
  try {
    fn_({Phase::reading, bytes_done_, bytes_total_});
  } catch (...) {
    thrown_ = Error::of_exception(ErrorCode::failed_precondition).within("on_progress threw");
  }
}

Result<void> ReadProgress::check() const {
  const std::lock_guard lock(mutex_);
  return thrown_ ? *thrown_ : Result<void>();
}

Result<void> read_chunks(const RestoreContext& context, const ItemFiles& item, const ReadPlan& plan,
                         ReadProgress& progress, const ChunkErrorFn& on_error) {
  if (context.before_writing && !plan.check_only && !plan.parts.empty()) context.before_writing();
  return ReadJob(context, item, plan, progress, on_error).run();
}

}  // namespace milepost
