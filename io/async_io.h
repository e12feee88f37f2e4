// Moves bytes between memory and open files, in the background.
//
// A transfer is a read or a write of any size. It is done in pieces: aligned ones go directly
// between memory and the device (O_DIRECT), carried by io_uring or by a thread of the pool; all
// others go through the page cache, always on the pool, because the kernel copies them inside the
// call and one thread of io_uring would copy them one after the other. Short results are continued.
#pragma once

#include "milepost/io/error.h"
#include "milepost/io/posix_store.h"
#include "milepost/io/store.h"
#include "milepost/io/unique_fd.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace milepost {

class UringFile;

// An open file. No transfer may be in flight when it is closed or destroyed.
struct TransferFile {
  TransferFile();
  ~TransferFile();

  std::string name;                             // for messages
  UniqueFd buffered;                            // always open
  UniqueFd direct;                              // opened with O_DIRECT; empty where that is not possible or not wanted
  std::size_t memory_alignment = io_alignment;  // of direct reads, bytes
  std::atomic<bool> direct_refused = false;     // the file system took O_DIRECT at open, and refused it at a transfer
  std::unique_ptr<UringFile> uring;  // of `direct`; declared last: lets go of the descriptor before it is closed
};

// All methods may be called from several threads at once.
class AsyncIo {
 public:
  // `threads` is the size of the pool. Error: unavailable if `backend` is io_uring and that is forbidden here.
  static Result<std::unique_ptr<AsyncIo>> create(IoBackend backend, int threads);
  // Waits for all transfers.
  ~AsyncIo();

  // As Store::warm_up.
  void warm_up();
  // Makes `file` ready for transfers, once its descriptors are set.
  void attach(TransferFile& file);

  // As WriteFile::write_at and ReadFile::read_at. Errors name the call, the file and the offset.
  void write(TransferFile& file, std::uint64_t offset, std::span<const std::byte> data, IoCompletion done);
  // `file_size`: where reading ends.
  void read(TransferFile& file, std::uint64_t file_size, std::uint64_t offset, std::span<std::byte> into,
            IoCompletion done);

  // As ReadFile::is_cached. Kernels before 6.5 cannot say: no.
  static bool is_cached(const TransferFile& file, std::uint64_t offset, std::uint64_t bytes);

 private:
  struct State;
  explicit AsyncIo(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace milepost
