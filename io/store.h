// Where checkpoints live: a tree of directories and files under one root, and the few operations
// that the commit protocol is built from. Everything that milepost reads or writes goes through
// here, so that a test can fail, tear or forget any single operation.
//
// Paths are relative to the root, separated by '/'; "" is the root itself. No path leads out of the
// root, and no symbolic link is followed below it. Every error names the operation, the path and
// the errno. All methods may be called from several threads at once; a file is used by one save or
// one restore, but its reads and writes may be issued from several threads. Files and locks must not
// outlive their store. Where there is no memory for a path or a message, methods throw std::bad_alloc, having changed
// nothing or failed: who publishes a step does not take that for success.
#pragma once

#include "milepost/io/error.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace milepost {

// Offsets, sizes and addresses of bulk I/O are multiples of this, so that it can go directly
// between memory and the device (O_DIRECT), whatever the device's own block size.
inline constexpr std::size_t io_alignment = 4096;
// The next multiple of it.
constexpr std::uint64_t io_aligned(std::uint64_t bytes) {
  return (bytes + io_alignment - 1) / io_alignment * io_alignment;
}

// Receives the number of bytes moved, or the error. Called exactly once, on any thread, possibly
// before the call that started the operation returns. It must not block or throw. An operation that there is no memory
// to start ends with an error like any other; a store of yours may also throw, and then never calls it.
using IoCompletion = std::function<void(Result<std::size_t>)>;

class WriteFile {
 public:
  // Closes, ignoring errors: a file that matters is closed by close() before. No operation may be in flight.
  virtual ~WriteFile() = default;

  // Writes all of `data` at `offset`; `data` stays untouched until `done` is called. Short writes
  // and interruptions are continued inside. Alignment (io_alignment, of offset, size and address)
  // makes a direct write possible; without it the write is buffered.
  virtual void write_at(std::uint64_t offset, std::span<const std::byte> data, IoCompletion done) = 0;

  // Cuts the file to `size` bytes (also gives back what was preallocated behind them).
  virtual Result<void> truncate(std::uint64_t size) = 0;

  // Makes data and size durable (fsync). After an error the file is poisoned: the kernel may have
  // marked lost pages clean, so that a second fsync would lie; every later call fails.
  virtual Result<void> sync() = 0;

  // Reports errors that surface only here. Further calls are not allowed.
  virtual Result<void> close() = 0;
};

class ReadFile {
 public:
  virtual ~ReadFile() = default;
  virtual std::uint64_t size() const = 0;

  // Reads into all of `into` from `offset`; completes with fewer bytes only at the end of the file.
  // `into` belongs to the file until `done` is called. With alignment (io_alignment, of offset and
  // size; memory_alignment(), of address) the read is direct, unless the page cache already has the bytes.
  virtual void read_at(std::uint64_t offset, std::span<std::byte> into, IoCompletion done) = 0;

  // Bytes; divides io_alignment.
  virtual std::size_t memory_alignment() const { return io_alignment; }
  // Whether the page cache seems to have all of these bytes, so that alignment gains nothing. It may change at any
  // time.
  virtual bool is_cached(std::uint64_t offset, std::uint64_t bytes) const {
    static_cast<void>(offset), static_cast<void>(bytes);
    return false;
  }
};

struct CreateFileOptions {
  // Bulk data: bypass the page cache where the file system allows it.
  bool direct = false;
  // Expected size in bytes, to preallocate; 0: unknown. A hint: failure to preallocate is no error, and
  // what was not written is given back by sync() and close(); until then the file may look longer.
  std::uint64_t size_hint = 0;
};

enum class EntryType { file, directory, other };

struct DirectoryEntry {
  std::string name;
  EntryType type = EntryType::other;
};

struct EntryInfo {
  EntryType type = EntryType::other;
  std::uint64_t size = 0;             // bytes, of a file
  std::int64_t modified_unix_ns = 0;  // nanoseconds since 1970
};

// Advisory: only those who lock heed it. Whoever uses a directory holds it shared, with others; whoever
// removes one holds it exclusively, alone.
enum class LockKind { shared, exclusive };

// A lock on a directory, held until destroyed or until the process dies; by a child that was forked
// meanwhile, until that dies or executes another program. It stays with the directory when that is renamed.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

class Store {
 public:
  virtual ~Store() = default;

  // For messages: the root as the user gave it.
  virtual std::string description() const = 0;

  // Does ahead of time what the first file would pay for.
  virtual void warm_up() {}

  // Creates a new regular file (never replaces: already_exists). Its name is durable after sync_directory.
  virtual Result<std::unique_ptr<WriteFile>> create_file(const std::string& path, const CreateFileOptions& options) = 0;
  // Opens a regular file; anything else (link, directory, device, pipe) is refused.
  virtual Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) = 0;
  // The same to write into, its content as it is. Nobody else is kept from writing at the same time.
  virtual Result<std::unique_ptr<WriteFile>> open_file_to_write(const std::string& path) = 0;

  // Creates one directory; its parent must exist. already_exists if there is anything of that name.
  virtual Result<void> make_directory(const std::string& path) = 0;
  // Makes creations, renames and removals in this directory durable.
  virtual Result<void> sync_directory(const std::string& path) = 0;
  // Moves a file or directory (with all it holds). already_exists if there is anything at `to`.
  virtual Result<void> rename_no_replace(const std::string& from, const std::string& to) = 0;
  // Gives each of two files or directories the other's name, at once: at no moment is there nothing, or
  // something else, of either name. not_found if one is missing; failed_precondition where the file system cannot do
  // that.
  virtual Result<void> exchange(const std::string& a, const std::string& b) = 0;
  // Gives a file another name, in place of the file of that name if there is one: at no moment is there none, or a
  // part, of that name. Directories are refused, on either side.
  virtual Result<void> replace_file(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove_file(const std::string& path) = 0;
  // Removes an empty directory.
  virtual Result<void> remove_directory(const std::string& path) = 0;

  // All entries, in no particular order, without "." and "..".
  virtual Result<std::vector<DirectoryEntry>> list_directory(const std::string& path) = 0;
  virtual Result<EntryInfo> stat(const std::string& path) = 0;
  // Whether there is a file of this name in a directory that was listed as one: quick, for those who ask thousands of
  // times. A pipe, a socket or a device may pass for a file, and so may a name below what is no directory any more;
  // open_file() refuses those.
  virtual Result<bool> has_file(const std::string& path);
  // Never waits: unavailable if somebody (also this process) holds a lock that excludes this one. What is
  // locked is what has that name at a moment when the lock is held already: not_found if it was removed or
  // renamed meanwhile. failed_precondition where the file system has no locks.
  virtual Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& path, LockKind kind) = 0;
};

// Writes a whole small file: create, write, fsync, close.
Result<void> write_file(Store& store, const std::string& path, std::span<const std::byte> data);
// Reads a whole file of at most `size_max` bytes; a larger one is corruption.
Result<std::vector<std::byte>> read_file(Store& store, const std::string& path, std::uint64_t size_max);
// Removes a directory and all below it. Stops at the first error.
Result<void> remove_tree(Store& store, const std::string& path);
// Write or read, and wait.
Result<void> write_at(WriteFile& file, std::uint64_t offset, std::span<const std::byte> data);
Result<std::size_t> read_at(ReadFile& file, std::uint64_t offset, std::span<std::byte> into);

}  // namespace milepost
