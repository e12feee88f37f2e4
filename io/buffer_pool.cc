#include "milepost/io/buffer_pool.h"

#include "milepost/io/caught.h"
#include "milepost/io/populate.h"
#include "milepost/io/trace.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace milepost {
namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

// Anonymous memory that starts on a boundary of huge pages; null if the system has none.
std::byte* map_aligned(std::size_t bytes, bool huge_pages) {
  const std::size_t padded = bytes + huge_page_bytes;
  void* const mapped = ::mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(mapped);
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::size_t skip = round_up(address, huge_page_bytes) - address;
  if (skip > 0) ::munmap(begin, skip);
  if (padded > skip + bytes) ::munmap(begin + skip + bytes, padded - skip - bytes);
  if (huge_pages) ::madvise(begin + skip, bytes, MADV_HUGEPAGE);  // a wish: refused where the kernel has none
  return begin + skip;
}

// Returns 0 or the errno.
int touch(std::byte* begin, std::size_t bytes) {
  const int populated = PageRange(begin, bytes).populate();
  if (populated != EINVAL) return populated;
  for (std::size_t at = 0; at < bytes; at += page_bytes) *static_cast<volatile std::byte*>(begin + at) = std::byte{0};
  return 0;
}

Error no_memory(std::size_t bytes) {
  return Error(ErrorCode::no_space, "map " + std::to_string(bytes) + " bytes for staging: no memory left", ENOMEM);
}

}  // namespace

struct BufferPool::State {
  // Constant after construction.
  std::size_t block_bytes = 0;
  std::size_t capacity_blocks = 0;
  std::size_t slab_blocks = 0;  // a slab is mapped at once: a huge page of small blocks, or one block
  bool huge_pages = false;
  const char* trace_name = nullptr;

  struct Slab {
    std::byte* begin;
    std::size_t bytes;
  };
  struct Waiter {
    std::condition_variable served;
    std::byte* block = nullptr;
  };

  mutable std::mutex mutex;
  // Protected by mutex. Waiters exist only while no block is free.
  std::vector<std::byte*> warm;  // free, touched before; the most recently used last
  std::vector<std::byte*> cold;  // free, mapped, never leased
  std::list<Waiter*> waiters;    // the oldest first
  std::vector<Slab> slabs;
  std::size_t mapped_blocks = 0;
  std::size_t leased_blocks = 0;
  std::size_t leased_peak_blocks = 0;
  std::size_t prefaulting_blocks = 0;  // held back by prefault()
  std::size_t waiters_hold_blocks = 0;

  // Maps one more slab into `cold`; false at the bound or when the system has no memory.
  bool map_slab() {
    const std::size_t blocks = std::min(slab_blocks, capacity_blocks - mapped_blocks);
    if (blocks == 0) return false;
    try {
      // Room for all blocks in either list: giving one back must not need memory.
      slabs.reserve(slabs.size() + 1);
      cold.reserve(mapped_blocks + blocks);
      warm.reserve(mapped_blocks + blocks);
    } catch (const std::bad_alloc&) {
      return false;
    }
    std::byte* const begin = map_aligned(blocks * block_bytes, huge_pages);
    if (begin == nullptr) return false;
    slabs.push_back({begin, blocks * block_bytes});
    mapped_blocks += blocks;
    for (std::size_t i = blocks; i-- > 0;) cold.push_back(begin + i * block_bytes);
    return true;
  }

  void count_leased(std::size_t blocks) {
    leased_blocks = blocks;
    leased_peak_blocks = std::max(leased_peak_blocks, blocks);
    trace_counter(trace_name, blocks * block_bytes);
  }

  // A free block, leased; null if there is none. Does not look at the waiters.
  std::byte* take() {
    if (warm.empty() && cold.empty() && !map_slab()) return nullptr;
    std::vector<std::byte*>& from = warm.empty() ? cold : warm;
    std::byte* const block = from.back();
    from.pop_back();
    count_leased(leased_blocks + 1);
    return block;
  }

  // Puts a block into `free`, or into the hands of the oldest waiter. The block is not counted as leased before.
  void give(std::byte* block, std::vector<std::byte*>& free) {
    if (waiters.empty()) {
      free.push_back(block);
      return;
    }
    Waiter& oldest = *waiters.front();
    waiters.pop_front();
    oldest.block = block;
    count_leased(leased_blocks + 1);
    oldest.served.notify_one();  // under the lock: the waiter lives on the stack of its thread
  }

  void release(std::byte* block) {
    const std::lock_guard lock(mutex);
    count_leased(leased_blocks - 1);
    give(block, warm);
  }

  // A null block is for the deadline that passed.
  Result<std::byte*> acquire(std::size_t held, const std::chrono::steady_clock::time_point* deadline) {
    std::unique_lock lock(mutex);
    if (waiters.empty()) {
      if (std::byte* const block = take()) return block;
    }
    if (leased_blocks + prefaulting_blocks <= waiters_hold_blocks + held) return no_memory(slab_blocks * block_bytes);
    const TraceSlice slice("wait for memory", {{"pool", std::string_view(trace_name)}});
    Waiter self;
    const auto place = waiters.insert(waiters.end(), &self);
    waiters_hold_blocks += held;
    const auto is_served = [&self] { return self.block != nullptr; };
    if (deadline == nullptr) {
      self.served.wait(lock, is_served);
    } else if (!self.served.wait_until(lock, *deadline, is_served)) {
      waiters.erase(place);
    }
    waiters_hold_blocks -= held;
    return self.block;
  }
};

BufferLease::BufferLease(BufferLease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), data_(std::exchange(other.data_, nullptr)) {}

BufferLease& BufferLease::operator=(BufferLease&& other) noexcept {
  if (this != &other) {
    release();
    pool_ = std::exchange(other.pool_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
  }
  return *this;
}

BufferLease::~BufferLease() { release(); }

std::size_t BufferLease::size() const { return pool_ == nullptr ? 0 : pool_->block_bytes(); }

void BufferLease::release() {
  if (pool_ == nullptr) return;
  std::exchange(pool_, nullptr)->state_->release(std::exchange(data_, nullptr));
}

BufferPool::BufferPool(const BufferPoolOptions& options) : state_(std::make_unique<State>()) {
  state_->block_bytes = std::max(round_up(options.block_bytes, page_bytes), page_bytes);
  state_->capacity_blocks = std::max<std::size_t>(options.capacity_bytes / state_->block_bytes, 1);
  state_->slab_blocks = std::max<std::size_t>(huge_page_bytes / state_->block_bytes, 1);
  state_->huge_pages = options.huge_pages;
  state_->trace_name = options.trace_name;
}

BufferPool::~BufferPool() {
  assert(state_->leased_blocks == 0 && state_->waiters.empty() && "a lease outlives its pool");
  for (const State::Slab& slab : state_->slabs) ::munmap(slab.begin, slab.bytes);
}

std::size_t BufferPool::block_bytes() const { return state_->block_bytes; }

Result<BufferLease> BufferPool::acquire(std::size_t held) {
  const Result<std::byte*> block = caught([&] { return state_->acquire(held, nullptr); });
  if (block.has_error()) return block.error();
  return BufferLease(this, *block);
}

std::optional<BufferLease> BufferPool::try_acquire() {
  const std::lock_guard lock(state_->mutex);
  if (!state_->waiters.empty()) return std::nullopt;
  std::byte* const block = state_->take();
  if (block == nullptr) return std::nullopt;
  return BufferLease(this, block);
}

Result<BufferLease> BufferPool::acquire_until(std::chrono::steady_clock::time_point deadline) {
  const Result<std::byte*> block = caught([&] { return state_->acquire(0, &deadline); });
  if (block.has_error()) return block.error();
  if (*block == nullptr) return Error(ErrorCode::deadline_exceeded, "no staging buffer came free in time");
  return BufferLease(this, *block);
}

Result<void> BufferPool::prefault(std::size_t bytes, const ParallelFor& parallel_for) {
  State& state = *state_;
  const std::size_t wanted_blocks =
      std::min(bytes / state.block_bytes + (bytes % state.block_bytes != 0), state.capacity_blocks);
  std::vector<std::byte*> blocks;  // to touch; nobody else sees them meanwhile
  // Whole huge pages: two threads in one would both wait for the same page.
  const std::size_t group = state.slab_blocks;
  std::atomic<int> first_errno = 0;
  const std::function<void(std::size_t)> touch_group = [&](std::size_t index) {
    const std::size_t end = std::min((index + 1) * group, blocks.size());
    for (std::size_t i = index * group; i < end; ++i) {
      const int result = touch(blocks[i], state.block_bytes);
      int none = 0;
      if (result != 0) first_errno.compare_exchange_strong(none, result);
    }
  };
  blocks.reserve(wanted_blocks);  // nothing throws from here on, until they are given back
  bool out_of_memory = false;
  {
    const std::lock_guard lock(state.mutex);
    std::size_t touched_blocks = state.mapped_blocks - state.cold.size();
    // Who had a block before may have written to a part of it only: a restore reads chunks that are coded.
    auto kept = state.warm.begin();
    for (std::byte* const block : state.warm) {
      if (blocks.size() == wanted_blocks || PageRange(block, state.block_bytes).is_resident()) {
        *kept++ = block;
      } else {
        blocks.push_back(block);
      }
    }
    state.warm.erase(kept, state.warm.end());
    for (; touched_blocks < wanted_blocks; ++touched_blocks) {
      if (state.cold.empty() && !state.map_slab()) {
        out_of_memory = true;
        break;
      }
      blocks.push_back(state.cold.back());
      state.cold.pop_back();
    }
    state.prefaulting_blocks += blocks.size();
  }

  const std::size_t groups = (blocks.size() + group - 1) / group;
  if (parallel_for) {
    parallel_for(groups, touch_group);
  } else {
    for (std::size_t index = 0; index < groups; ++index) touch_group(index);
  }

  const std::lock_guard lock(state.mutex);
  state.prefaulting_blocks -= blocks.size();
  for (std::byte* const block : blocks) state.give(block, first_errno == 0 ? state.warm : state.cold);
  if (out_of_memory || first_errno == ENOMEM) return no_memory(state.slab_blocks * state.block_bytes);
  if (first_errno != 0) return Error::from_errno(first_errno, "touch staging memory");
  return {};
}

std::size_t BufferPool::trim(std::size_t bytes) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  std::size_t given = 0;
  auto block = state.warm.begin();
  for (; block != state.warm.end() && given < bytes; ++block, given += state.block_bytes) {
    ::madvise(*block, state.block_bytes, MADV_DONTNEED);
    state.cold.push_back(*block);
  }
  state.warm.erase(state.warm.begin(), block);
  return given;
}

BufferPoolStats BufferPool::stats() const {
  const std::lock_guard lock(state_->mutex);
  const std::size_t block = state_->block_bytes;
  return {.capacity_bytes = state_->capacity_blocks * block,
          .mapped_bytes = state_->mapped_blocks * block,
          .touched_bytes = (state_->mapped_blocks - state_->cold.size()) * block,
          .leased_bytes = state_->leased_blocks * block,
          .leased_peak_bytes = state_->leased_peak_blocks * block,
          .waiting = state_->waiters.size()};
}

}  // namespace milepost
