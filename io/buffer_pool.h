// The staging pool: blocks of memory of one size, aligned for direct I/O, in huge pages where the
// kernel gives them, touched once and then reused, because a first touch of fresh memory is ten to
// thirty times slower than the copy into it (docs/performance.md).
//
// The pool never holds more than its bound. Memory is mapped as it is first needed, and kept.
#pragma once

#include "milepost/io/error.h"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>

namespace milepost {

class BufferPool;

// One block, returned to its pool on destruction. Movable. The pool must outlive it.
class BufferLease {
 public:
  BufferLease() = default;
  BufferLease(BufferLease&& other) noexcept;
  BufferLease& operator=(BufferLease&& other) noexcept;
  ~BufferLease();

  explicit operator bool() const { return pool_ != nullptr; }
  std::byte* data() const { return data_; }
  std::size_t size() const;  // the pool's block_bytes
  std::span<std::byte> span() const { return {data_, size()}; }
  void release();  // returns it early

 private:
  friend class BufferPool;
  BufferLease(BufferPool* pool, std::byte* data) : pool_(pool), data_(data) {}
  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
};

struct BufferPoolOptions {
  std::size_t capacity_bytes = 0;                  // the bound; rounded down to whole blocks, at least one
  std::size_t block_bytes = std::size_t{4} << 20;  // rounded up to a multiple of 4 KiB
  bool huge_pages = true;                          // ask for transparent huge pages
  const char* trace_name = "pool bytes";           // of its counter in a trace; lives as long as the pool
};

struct BufferPoolStats {
  std::size_t capacity_bytes = 0;
  std::size_t mapped_bytes = 0;       // addresses taken from the system so far
  std::size_t touched_bytes = 0;      // of blocks that have been leased or prefaulted: that much memory is taken
  std::size_t leased_bytes = 0;       // out now
  std::size_t leased_peak_bytes = 0;  // most ever out at once
  std::size_t waiting = 0;            // threads that wait for a block now
};

// All methods may be called from several threads at once.
class BufferPool {
 public:
  // No memory is mapped yet. A bound under one block is raised to one block.
  explicit BufferPool(const BufferPoolOptions& options);
  ~BufferPool();  // all leases must be back
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  std::size_t block_bytes() const;

  // Waits until a block is free. Waiters are served in the order in which they came. `held`: how many blocks the caller
  // keeps meanwhile. Fails only when no block will come back (no_space): the pool is at its bound or the system has no
  // memory left to map, and all that are out are held by those who wait.
  Result<BufferLease> acquire(std::size_t held = 0);
  // A block if one is free and nobody waits for it; nothing otherwise.
  std::optional<BufferLease> try_acquire();
  // As acquire(), but gives up with deadline_exceeded.
  Result<BufferLease> acquire_until(std::chrono::steady_clock::time_point deadline);

  // Maps and touches blocks until at least min(bytes, bound) are mapped, and touches the rest of free blocks that were
  // used in part, so that no save pays for it later. `parallel_for(n, fn)` runs fn(0..n-1), on as many threads as it
  // likes, and returns when all are done; by default the calling thread does it all.
  using ParallelFor = std::function<void(std::size_t, const std::function<void(std::size_t)>&)>;
  Result<void> prefault(std::size_t bytes, const ParallelFor& parallel_for = {});

  // Gives the memory of free blocks back to the system, those first that were not used for long, until it is that many
  // bytes or there are none left: they are as if never touched. Returns how many bytes it gave back.
  std::size_t trim(std::size_t bytes);

  BufferPoolStats stats() const;

 private:
  friend class BufferLease;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace milepost
