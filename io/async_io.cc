#include "milepost/io/async_io.h"

#include "milepost/io/signal_guard.h"
#include "milepost/io/thread_pool.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"
#include "milepost/io/uring.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

namespace milepost {
namespace {

// The kernel moves less than 2 GiB in one call; this keeps the rest aligned.
constexpr std::size_t piece_bytes_max = std::size_t{1} << 30;

struct Transfer {
  TransferFile* file = nullptr;
  bool write = false;
  bool direct = false;  // go directly where alignment allows
  std::uint64_t offset = 0;
  std::byte* memory = nullptr;  // only read from by a write
  std::size_t bytes = 0;
  std::size_t moved = 0;
  std::uint64_t end = 0;  // of the file; for reads
  IoCompletion done;
  TraceSpan span;
};

struct Piece {
  bool direct = false;
  std::uint64_t offset = 0;
  std::byte* memory = nullptr;
  std::size_t bytes = 0;
};

Piece next_piece(const Transfer& transfer) {
  Piece piece{.offset = transfer.offset + transfer.moved,
              .memory = transfer.memory + transfer.moved,
              .bytes = std::min(transfer.bytes - transfer.moved, piece_bytes_max)};
  const auto address = reinterpret_cast<std::uintptr_t>(piece.memory);
  const std::size_t memory_alignment = transfer.write ? io_alignment : transfer.file->memory_alignment;
  const bool aligned =
      piece.offset % io_alignment == 0 && address % memory_alignment == 0 && piece.bytes >= io_alignment;
  if (transfer.direct && aligned && !transfer.file->direct_refused) {
    piece.direct = true;
    piece.bytes -= piece.bytes % io_alignment;
  }
  return piece;
}

Error failure_of(const Transfer& transfer, const Piece& piece, int system_errno) noexcept {
  const char* const call = transfer.write ? "pwrite " : "pread ";
  try {
    return Error::from_errno(system_errno, call + transfer.file->name + "@" + std::to_string(piece.offset));
  } catch (const std::bad_alloc&) {
    return Error::from_errno(system_errno, call);
  }
}

// Takes in the result of a piece: bytes, or minus the errno. Returns how the transfer ended, if it did.
std::optional<Result<std::size_t>> advance(Transfer& transfer, const Piece& piece, std::int64_t result) noexcept {
  if (result == -EINTR) return std::nullopt;
  if (result == -EINVAL && piece.direct) {
    transfer.file->direct_refused = true;  // go on through the page cache
    return std::nullopt;
  }
  if (result < 0) return failure_of(transfer, piece, static_cast<int>(-result));
  if (result > static_cast<std::int64_t>(piece.bytes)) {
    return failure_of(transfer, piece, EIO).within("more bytes moved than were asked for");
  }
  if (result == 0) {
    if (transfer.write) return failure_of(transfer, piece, EIO).within("nothing was written");
    return transfer.moved;  // the end of the file
  }
  transfer.moved += static_cast<std::size_t>(result);
  const bool at_end = !transfer.write && transfer.offset + transfer.moved >= transfer.end;
  if (transfer.moved == transfer.bytes || at_end) return transfer.moved;
  return std::nullopt;
}

std::int64_t move_now(const Transfer& transfer, const Piece& piece) {
  const int fd = piece.direct ? transfer.file->direct.get() : transfer.file->buffered.get();
  const auto at = static_cast<off_t>(piece.offset);
  const ssize_t result =
      transfer.write ? ::pwrite(fd, piece.memory, piece.bytes, at) : ::pread(fd, piece.memory, piece.bytes, at);
  return result < 0 ? -std::int64_t{errno} : std::int64_t{result};
}

// A few bytes that the page cache has are sooner read than handed to a thread.
bool read_cached(int fd, std::uint64_t offset, std::span<std::byte> into) {
  constexpr std::size_t bytes_max = 64 << 10;
  if (into.size() > bytes_max) return false;
  const iovec piece{into.data(), into.size()};
  return ::preadv2(fd, &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT) == static_cast<ssize_t>(into.size());
}

}  // namespace

TransferFile::TransferFile() = default;
TransferFile::~TransferFile() = default;

struct AsyncIo::State {
  std::unique_ptr<Uring> uring;  // null: only the pool carries, or nobody has needed the ring yet
  bool may_start_uring = false;  // it is made for the first file that needs it: who only lists steps is spared that
  std::once_flag uring_started;
  std::optional<ThreadPool> pool;

  std::mutex mutex;
  std::condition_variable idle;
  std::size_t in_flight = 0;          // protected by mutex
  std::uint64_t bytes_in_flight = 0;  // protected by mutex

  Uring* ring() {
    std::call_once(uring_started, [this] {
      if (!may_start_uring) return;
      if (auto started = Uring::create(); started.has_value()) uring = std::move(*started);
    });
    return uring.get();
  }

  void start(std::unique_ptr<Transfer> transfer) noexcept {
    {
      const std::lock_guard lock(mutex);
      ++in_flight;
      bytes_in_flight += transfer->bytes;
      trace_counter("bytes in flight", bytes_in_flight);
    }
    if (Trace::is_on()) {
      transfer->span.begin(transfer->write ? "write" : "read",
                           {{"file", transfer->file->name}, {"offset", transfer->offset}, {"bytes", transfer->bytes}});
    }
    go_on(std::move(transfer));
  }

  void go_on(std::unique_ptr<Transfer> transfer) noexcept {
    try {
      hand_on(*transfer);
      static_cast<void>(transfer.release());  // whoever carries it owns it, and may have ended it by now
    } catch (...) {
      finish(std::move(transfer), Error::of_exception(ErrorCode::io).within("start a transfer"));
    }
  }

  // Hands the next piece, and with it the transfer, to whoever carries it. Throws where there is no memory for that.
  void hand_on(Transfer& transfer) {
    const Piece piece = next_piece(transfer);
    Transfer* const raw = &transfer;
    if (!piece.direct || transfer.file->uring == nullptr) {
      pool->post([this, raw] { work(std::unique_ptr<Transfer>(raw)); });
      return;
    }
    UringFile& file = *transfer.file->uring;
    const bool write = transfer.write;
    UringFile::Handler handler = [this, raw, piece](std::int64_t result) {
      std::unique_ptr<Transfer> owned(raw);
      if (auto ended = advance(*owned, piece, result)) {
        finish(std::move(owned), std::move(*ended));
      } else {
        go_on(std::move(owned));
      }
    };
    if (write) {
      file.write_some(piece.offset, piece.memory, piece.bytes, std::move(handler));
    } else {
      file.read_some(piece.offset, piece.memory, piece.bytes, std::move(handler));
    }
  }

  // On a thread of the pool: moves pieces until the transfer ends, or the next one is for the ring.
  void work(std::unique_ptr<Transfer> transfer) noexcept {
    for (;;) {
      const Piece piece = next_piece(*transfer);
      if (piece.direct && transfer->file->uring != nullptr) return go_on(std::move(transfer));
      if (auto ended = advance(*transfer, piece, move_now(*transfer, piece))) {
        return finish(std::move(transfer), std::move(*ended));
      }
    }
  }

  // The file may be gone as soon as `done` is called.
  void finish(std::unique_ptr<Transfer> transfer, Result<std::size_t> result) noexcept {
    transfer->span.end();
    const std::size_t bytes = transfer->bytes;
    transfer->done(std::move(result));
    transfer.reset();
    const std::lock_guard lock(mutex);
    bytes_in_flight -= bytes;
    trace_counter("bytes in flight", bytes_in_flight);
    if (--in_flight == 0) idle.notify_all();
  }
};

AsyncIo::AsyncIo(std::unique_ptr<State> state) : state_(std::move(state)) {}

AsyncIo::~AsyncIo() {
  {
    std::unique_lock lock(state_->mutex);
    state_->idle.wait(lock, [this] { return state_->in_flight == 0; });
  }
  // The threads still hold the mutex for a moment: they end before it does.
  state_->pool->join();
  state_->uring.reset();
}

Result<std::unique_ptr<AsyncIo>> AsyncIo::create(IoBackend backend, int threads) {
  auto state = std::make_unique<State>();
  if (backend == IoBackend::io_uring) {
    MILEPOST_ASSIGN(state->uring, Uring::create());
  }
  state->may_start_uring = backend == IoBackend::automatic;
  try {
    const BlockAllSignals inherited_by_the_threads;
    state->pool.emplace(std::max(threads, 1));
  } catch (...) {
    return Error::of_exception(ErrorCode::unavailable).within("start I/O threads");
  }
  return std::unique_ptr<AsyncIo>(new AsyncIo(std::move(state)));
}

void AsyncIo::warm_up() { static_cast<void>(state_->ring()); }

void AsyncIo::attach(TransferFile& file) {
  if (!file.direct) return;
  if (Uring* const ring = state_->ring()) file.uring = std::make_unique<UringFile>(*ring, file.direct.get());
}

bool AsyncIo::is_cached(const TransferFile& file, std::uint64_t offset, std::uint64_t bytes) {
  constexpr long cachestat_syscall = 451;
  struct {
    std::uint64_t offset, bytes;
  } const range{offset, bytes};
  struct {
    std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } pages{};
  if (::syscall(cachestat_syscall, file.buffered.get(), &range, &pages, 0) != 0) return false;
  static const auto page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t first = offset / page_bytes;
  const std::uint64_t last = (offset + bytes - 1) / page_bytes;
  return pages.cached >= last - first + 1;
}

void AsyncIo::write(TransferFile& file, std::uint64_t offset, std::span<const std::byte> data, IoCompletion done) {
  if (data.empty()) return done(std::size_t{0});
  std::unique_ptr<Transfer> transfer(new (std::nothrow) Transfer);
  if (!transfer) return done(Error::out_of_memory().within("start a write"));
  transfer->file = &file;
  transfer->write = true;
  transfer->direct = static_cast<bool>(file.direct);
  transfer->offset = offset;
  transfer->memory = const_cast<std::byte*>(data.data());
  transfer->bytes = data.size();
  transfer->done = std::move(done);
  state_->start(std::move(transfer));
}

void AsyncIo::read(TransferFile& file, std::uint64_t file_size, std::uint64_t offset, std::span<std::byte> into,
                   IoCompletion done) {
  if (into.empty() || offset >= file_size) return done(std::size_t{0});
  const std::size_t wanted = std::min<std::uint64_t>(into.size(), file_size - offset);
  if (read_cached(file.buffered.get(), offset, into.first(wanted))) return done(wanted);
  std::unique_ptr<Transfer> transfer(new (std::nothrow) Transfer);
  if (!transfer) return done(Error::out_of_memory().within("start a read"));
  transfer->file = &file;
  transfer->direct = file.direct && !is_cached(file, offset, wanted);
  transfer->offset = offset;
  transfer->memory = into.data();
  transfer->bytes = into.size();
  transfer->end = file_size;
  transfer->done = std::move(done);
  state_->start(std::move(transfer));
}

}  // namespace milepost
