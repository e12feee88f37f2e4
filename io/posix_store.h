// A Store on a local (or mounted) file system.
//
// Bulk I/O runs on threads that the store owns; its destructor waits until all of it has completed.
// They block all signals, so handlers of the program never run on them. A write beyond RLIMIT_FSIZE
// comes back as EFBIG, without the signal SIGXFSZ. What is not bulk I/O runs on the calling thread.
//
// Direct I/O (O_DIRECT) falls back to the page cache where the file system refuses it; openat2 and
// RENAME_NOREPLACE to slower and equally safe ways where they are missing (posix_root.h, posix_store.cc).
#pragma once

#include "milepost/io/store.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace milepost {

// Who carries bulk reads and writes to the kernel.
enum class IoBackend {
  automatic,  // io_uring where the kernel allows it, threads otherwise
  io_uring,   // unavailable if the kernel or the container forbids it
  threads,    // a pool of threads with pread and pwrite
};

struct PosixStoreOptions {
  bool create = true;      // create the root, and its missing parents, durably
  bool read_only = false;  // every operation that would change something is failed_precondition
  // Of each directory that is created, exactly, whatever the umask; files get its read and write bits. It must
  // give the owner all of 0700. None: what the umask leaves.
  std::optional<std::uint32_t> path_permission_mode = std::nullopt;
  IoBackend backend = IoBackend::automatic;
  int io_threads = 4;  // for all bulk I/O with the backend `threads`; with io_uring only for what is not direct
};

class PosixStore {
 public:
  // `root` may be relative; it is resolved once, here. not_found if it is missing and create is off;
  // invalid_argument for a mode that would keep its owner out.
  static Result<std::unique_ptr<Store>> open(const std::string& root, const PosixStoreOptions& options = {});
};

// The backend that `automatic` gives in this process: asks the kernel, once.
IoBackend available_io_backend();

}  // namespace milepost
