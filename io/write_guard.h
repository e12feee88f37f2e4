// Write protection of memory of this process, by userfaultfd:
//
//   1. The owner names whole pages. A thread that writes there is put to sleep by the kernel, which tells the guard's
//      thread. So is one in a system call that writes there, such as read(2).
//   2. The guard's thread calls before_write(), takes the protection of the pages that it names away, and so wakes the
//      writer.
//   3. munmap, mremap and madvise(DONTNEED, FREE) of protected memory are told to the owner too: lost().
//   4. end() takes all protection away. Nothing is left to the closing of the descriptor: a child that was forked
//      meanwhile may hold it open.
//
// Only the privileged kind of userfaultfd will do (CAP_SYS_PTRACE, access to /dev/userfaultfd, or
// vm.unprivileged_userfaultfd = 1): with the other, system calls that write to protected memory fail with EFAULT.
//
// What goes past the page tables of this process is not seen: devices that write to pinned memory (RDMA, GPUs),
// buffers that are registered with io_uring. Memory of files, and memory that other processes map as well, is refused
// for that reason.
#pragma once

#include "milepost/io/error.h"
#include "milepost/io/unique_fd.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

namespace milepost {

class WriteGuard {
 public:
  struct Pages {  // whole ones
    std::byte* begin = nullptr;
    std::byte* end = nullptr;

    std::size_t size() const { return static_cast<std::size_t>(end - begin); }
  };

  // What the guard's thread calls. Neither these functions nor anybody for whom they wait may write to protected
  // memory: nobody would wake them.
  class Owner {
   public:
    // A thread waits to write to the page at this address. Returns what may be written from now on, that page included.
    virtual Pages before_write(std::byte* address) noexcept = 0;
    // Some of this memory, part of which was protected, is gone or about to be, or to lose its content.
    virtual void lost(Pages pages, const char* how) noexcept = 0;

   protected:
    ~Owner() = default;
  };

  // Sorted by address and disjoint. Until it returns nobody may write there. unavailable, or the system's error:
  // nothing is protected. The owner outlives the guard. std::bad_alloc, std::system_error.
  static Result<std::unique_ptr<WriteGuard>> protect(std::vector<Pages> pages, Owner& owner);
  ~WriteGuard();  // on any thread but the guard's
  WriteGuard(const WriteGuard&) = delete;
  WriteGuard& operator=(const WriteGuard&) = delete;

  // Takes the protection of these away and wakes who waits there. It may stay, where memory is being unmapped
  // just now: then the owner is asked again.
  void release(Pages pages) noexcept;
  // Takes away all that is left; not while release() is called. But for a call on the guard's thread, lost() will not
  // be called any more.
  void end() noexcept;
  // Returns when the guard's thread is gone. After end().
  void join() noexcept;

 private:
  WriteGuard(UniqueFd descriptor, UniqueFd stop, Owner& owner);
  Result<void> protect(Pages pages, bool untouched_too);
  int change(Pages pages, bool protect) const noexcept;  // 0 or the errno
  void unregister(Pages pages) const noexcept;
  void watch() noexcept;
  void let_write(std::byte* address) noexcept;

  const UniqueFd descriptor_;
  const UniqueFd stop_;  // an eventfd
  Owner& owner_;
  std::vector<Pages> pages_;  // that are registered
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

// Of the system.
std::size_t system_page_bytes();

}  // namespace milepost
