#include "milepost/io/posix_file.h"

#include "milepost/io/signal_guard.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"
#include "milepost/io/uring.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <optional>
#include <utility>

namespace milepost {
namespace {

// Smaller files are not worth a second descriptor.
constexpr std::uint64_t direct_read_file_bytes_min = 64 << 10;

// What the device wants the address of a direct transfer to be a multiple of; 0 if blocks of io_alignment do not suit
// it. Where the kernel does not say, the first transfer will.
std::size_t direct_memory_alignment(int fd) {
  struct ::statx info {};
  if (::syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) != 0) return io_alignment;
  if ((info.stx_mask & STATX_DIOALIGN) == 0) return io_alignment;
  const bool suits = info.stx_dio_offset_align != 0 && io_alignment % info.stx_dio_offset_align == 0 &&
                     info.stx_dio_mem_align != 0 && io_alignment % info.stx_dio_mem_align == 0;
  return suits ? info.stx_dio_mem_align : 0;
}

// Opens what file.buffered has open once more, with O_DIRECT; where that cannot be, file.direct stays empty.
void open_direct(const PosixRoot& root, const std::string& path, int flags, TransferFile& file) {
  Result<UniqueFd> direct = root.open_beneath(path, flags | O_DIRECT | O_NONBLOCK);
  if (direct.has_error() || !same_file(direct->get(), file.buffered.get())) return;
  const std::size_t memory_alignment = direct_memory_alignment(direct->get());
  if (memory_alignment == 0) return;
  ::fcntl(direct->get(), F_SETFL, flags | O_DIRECT);  // io_uring would take O_NONBLOCK for "fail rather than wait"
  file.memory_alignment = memory_alignment;
  file.direct = std::move(*direct);
}

class PosixWriteFile final : public WriteFile {
 public:
  PosixWriteFile(AsyncIo& io, std::unique_ptr<TransferFile> file, std::uint64_t preallocated_bytes)
      : io_(io), file_(std::move(file)), preallocated_bytes_(preallocated_bytes) {}

  void write_at(std::uint64_t offset, std::span<const std::byte> data, IoCompletion done) override {
    std::optional<Error> refusal;
    {
      const std::lock_guard lock(mutex_);
      refusal = refusal_;
      if (!refusal) size_ = std::max(size_, offset + data.size());
    }
    if (refusal) return done(*refusal);
    io_.write(*file_, offset, data, std::move(done));
  }

  Result<void> truncate(std::uint64_t size) override {
    const std::lock_guard lock(mutex_);
    if (refusal_) return *refusal_;
    MILEPOST_TRY(set_size(size));
    size_ = size;
    preallocated_bytes_ = 0;
    return {};
  }

  Result<void> sync() override {
    const std::lock_guard lock(mutex_);
    if (refusal_) return *refusal_;
    const TraceSlice slice("fsync", {{"file", file_->name}});
    MILEPOST_TRY(give_back());
    int result = 0;
    do {
      result = ::fsync(file_->buffered.get());
    } while (result != 0 && errno == EINTR);
    if (result == 0) return {};
    const int system_errno = errno;
    refusal_ = Error(ErrorCode::failed_precondition, {}, system_errno);  // whether or not there is memory for words
    const Error failure = Error::from_errno(system_errno, "fsync " + file_->name);
    refusal_ = Error(ErrorCode::failed_precondition, failure.message() + " (the file is unusable since)",
                     failure.system_errno());
    return failure;
  }

  Result<void> close() override {
    const std::lock_guard lock(mutex_);
    std::optional<Error> failure = refusal_;
    if (!failure) {
      if (const Result<void> given_back = give_back(); given_back.has_error()) failure = given_back.error();
    }
    file_->uring.reset();
    for (UniqueFd* fd : {&file_->direct, &file_->buffered}) {
      // The descriptor is gone even when close fails or is interrupted.
      if (*fd && ::close(fd->release()) != 0 && errno != EINTR && !failure) {
        failure = Error::from_errno(errno, "close " + file_->name);
      }
    }
    if (!refusal_) refusal_ = Error(ErrorCode::failed_precondition, "the file is closed: " + file_->name);
    if (failure) return *failure;
    return {};
  }

 private:
  Result<void> set_size(std::uint64_t size) {
    const TraceSlice slice("truncate", {{"file", file_->name}, {"size", size}});
    const BlockSizeSignal guard;
    int result = 0;
    do {
      result = ::ftruncate(file_->buffered.get(), static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    if (result != 0) return Error::from_errno(errno, "ftruncate " + file_->name);
    return {};
  }

  // Preallocation made the file longer; cuts off what was not written after all.
  Result<void> give_back() {
    if (preallocated_bytes_ > size_) MILEPOST_TRY(set_size(size_));
    preallocated_bytes_ = 0;
    return {};
  }

  AsyncIo& io_;
  const std::unique_ptr<TransferFile> file_;

  std::mutex mutex_;
  // Protected by mutex_.
  std::uint64_t size_ = 0;                // as written or cut so far
  std::uint64_t preallocated_bytes_ = 0;  // size on disk, if that is larger
  std::optional<Error> refusal_;          // closed, or poisoned by a failed fsync
};

class PosixReadFile final : public ReadFile {
 public:
  PosixReadFile(AsyncIo& io, std::unique_ptr<TransferFile> file, std::uint64_t size)
      : io_(io), file_(std::move(file)), size_(size) {}

  std::uint64_t size() const override { return size_; }

  void read_at(std::uint64_t offset, std::span<std::byte> into, IoCompletion done) override {
    io_.read(*file_, size_, offset, into, std::move(done));
  }

  std::size_t memory_alignment() const override { return file_->memory_alignment; }
  bool is_cached(std::uint64_t offset, std::uint64_t bytes) const override {
    return AsyncIo::is_cached(*file_, offset, bytes);
  }

 private:
  AsyncIo& io_;
  const std::unique_ptr<TransferFile> file_;
  const std::uint64_t size_;
};

// Returns the bytes that are set aside now.
std::uint64_t preallocate(int fd, std::uint64_t bytes) {
  if (bytes == 0) return 0;
  const TraceSlice slice("preallocate", {{"bytes", bytes}});
  const BlockSizeSignal guard;
  int result = 0;
  do {
    result = ::fallocate(fd, 0, 0, static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return bytes;
  while (::ftruncate(fd, 0) != 0 && errno == EINTR) {  // a full disk keeps what fitted
  }
  return 0;
}

// Opens an existing regular file, through the page cache. Returns its size.
Result<std::uint64_t> open_regular(const PosixRoot& root, const std::string& path, int access, TransferFile& file) {
  // O_NONBLOCK: a pipe must not make this call wait for its other end.
  MILEPOST_ASSIGN(file.buffered, root.open_beneath(path, access | O_NONBLOCK | O_NOCTTY));
  struct ::stat info;
  if (::fstat(file.buffered.get(), &info) != 0) return root.failure("fstat", path);
  if (!S_ISREG(info.st_mode)) {
    return Error(ErrorCode::corruption, "not a regular file: " + file.name);
  }
  ::fcntl(file.buffered.get(), F_SETFL, access);
  return static_cast<std::uint64_t>(info.st_size);
}

}  // namespace

Result<std::unique_ptr<WriteFile>> create_posix_file(const PosixRoot& root, AsyncIo& io, const std::string& path,
                                                     const CreateFileOptions& options,
                                                     std::optional<mode_t> directory_mode) {
  const TraceSlice slice("create", {{"path", path}});
  MILEPOST_ASSIGN(const PosixRoot::Place place, root.locate(path));
  auto file = std::make_unique<TransferFile>();
  file->name = root.display(path);
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const mode_t mode = directory_mode.value_or(0666) & 0666;
  do {
    file->buffered = UniqueFd(::openat(place.directory(), place.name.c_str(), flags, mode));
  } while (!file->buffered && errno == EINTR);
  if (!file->buffered) return root.failure("create", path);
  if (directory_mode && ::fchmod(file->buffered.get(), mode) != 0) {
    const Error failure = root.failure("chmod", path);
    ::unlinkat(place.directory(), place.name.c_str(), 0);
    return failure;
  }
  if (options.direct) open_direct(root, path, O_WRONLY, *file);
  const std::uint64_t preallocated_bytes = preallocate(file->buffered.get(), options.size_hint);
  io.attach(*file);
  return std::unique_ptr<WriteFile>(std::make_unique<PosixWriteFile>(io, std::move(file), preallocated_bytes));
}

Result<std::unique_ptr<ReadFile>> open_posix_file(const PosixRoot& root, AsyncIo& io, const std::string& path) {
  auto file = std::make_unique<TransferFile>();
  file->name = root.display(path);
  MILEPOST_ASSIGN(const std::uint64_t size, open_regular(root, path, O_RDONLY, *file));
  if (size >= direct_read_file_bytes_min) open_direct(root, path, O_RDONLY, *file);
  io.attach(*file);
  return std::unique_ptr<ReadFile>(std::make_unique<PosixReadFile>(io, std::move(file), size));
}

Result<std::unique_ptr<WriteFile>> open_posix_file_to_write(const PosixRoot& root, AsyncIo& io,
                                                            const std::string& path) {
  auto file = std::make_unique<TransferFile>();
  file->name = root.display(path);
  MILEPOST_TRY(open_regular(root, path, O_WRONLY, *file));
  io.attach(*file);
  return std::unique_ptr<WriteFile>(std::make_unique<PosixWriteFile>(io, std::move(file), 0));
}

}  // namespace milepost
