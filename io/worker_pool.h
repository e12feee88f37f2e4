// The threads that do milepost's background computing: copies, coding, digests.
//
// A pool of its own and not oneTBB's, because a TBB arena that only background work enters gets one
// thread fewer than the machine has (the missing one is the caller's, which here returns to
// training), which on small machines halves the coding speed, and because raising TBB's global limit
// would change the training loop's own parallelism behind its back.
//
// Tasks must not throw and must not wait for later tasks. All methods may be called from any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace milepost {

class WorkerPool {
 public:
  // `nice` lowers the threads' priority against the training loop's threads (0 to 19; see nice(2)).
  // `name`, at most 15 bytes, is what traces and ps call them; it lives as long as the program.
  // std::system_error if the system does not grant them, std::bad_alloc.
  WorkerPool(int threads, int nice, const char* name = "milepost worker");
  ~WorkerPool();  // runs what was posted, then joins
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int size() const { return size_; }

  // Runs a task later, in the order of posting. std::bad_alloc: it will not run.
  void post(std::function<void()> task);

  // As post(), of a pool of one thread: it begins on another core than the caller's, if it may run on one, and then
  // goes where it likes. Linux looks for an idle core only while the machine is not busy on average; else a thread is
  // woken where it ran last, and if that is the caller's core it waits for a tick there, or has the caller wait, beside
  // an idle one.
  void post_beside(std::function<void()> task);

  // Runs fn(0) ... fn(n - 1), the calling thread taking part, and returns when all are done. Throws nothing: where
  // there is no memory to call the others, the calling thread does it all.
  void parallel_for(std::size_t n, const std::function<void(std::size_t)>& fn) noexcept;

 private:
  struct State;
  int size_;
  std::unique_ptr<State> state_;
};

// While it lives, the calling thread of a pool takes a core from others the moment it wakes: for one that mostly waits
// for the disk. Without, on a machine whose cores are busy, it waits for the next tick (up to 4 ms) after each such
// wait.
class PromptWaking {
 public:
  PromptWaking();
  ~PromptWaking();
  PromptWaking(const PromptWaking&) = delete;
  PromptWaking& operator=(const PromptWaking&) = delete;
};

}  // namespace milepost
