// The threads of the trainer: an oneTBB arena of the size asked for.
//
// Everything here computes the same bits on any number of threads, by one rule: work is split over
// independent outputs only, in pieces whose bounds do not depend on the number of threads, and no sum
// is ever split between two pieces.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace gpt {

// Owns its threads' arena. One thread at a time may call for_each.
class ThreadPool {
 public:
  // `threads` counts the calling thread; more than there are cores is allowed.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Calls body(0) ... body(count - 1), each once, in any order, and returns when all have returned.
  void for_each(std::int64_t count, const std::function<void(std::int64_t)>& body);
  // Calls body(begin, end) for the pieces of [0, count) that are `piece` long, the last one perhaps shorter.
  void for_pieces(std::int64_t count, std::int64_t piece,
                  const std::function<void(std::int64_t begin, std::int64_t end)>& body);

 private:
  struct Arena;
  std::unique_ptr<Arena> arena_;
};

}  // namespace gpt
