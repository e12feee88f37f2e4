#include "tests/memory/allocation_faults.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace milepost::testing {
namespace {

std::atomic<bool> counting{false};
std::atomic<bool> for_ever{false};
std::atomic<std::uint64_t> first_to_fail{0};
std::atomic<std::uint64_t> seen{0};
std::atomic<std::uint64_t> failures{0};

bool fails_now() noexcept {
  if (!counting.load()) return false;
  const std::uint64_t n = seen.fetch_add(1);
  if (n < first_to_fail || (n > first_to_fail && !for_ever)) return false;
  failures.fetch_add(1);
  return true;
}

void* allocate(std::size_t bytes) noexcept { return fails_now() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes); }

void* allocate(std::size_t bytes, std::align_val_t alignment) noexcept {
  void* memory = nullptr;
  if (fails_now() || ::posix_memalign(&memory, static_cast<std::size_t>(alignment), bytes) != 0) return nullptr;
  return memory;
}

void* or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

AllocationFaults::AllocationFaults(std::uint64_t nth, bool forever) {
  first_to_fail = nth;
  for_ever = forever;
  seen = failures = 0;
}

void AllocationFaults::start() { counting = true; }
void AllocationFaults::stop() { counting = false; }
std::uint64_t AllocationFaults::failed() const { return failures; }

}  // namespace milepost::testing

using milepost::testing::allocate;
using milepost::testing::fails_now;
using milepost::testing::or_throw;

void* operator new(std::size_t bytes) { return or_throw(allocate(bytes)); }
void* operator new[](std::size_t bytes) { return or_throw(allocate(bytes)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return or_throw(allocate(bytes, alignment)); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return or_throw(allocate(bytes, alignment)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(bytes, alignment);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(bytes, alignment);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept { std::free(memory); }

extern "C" {
// Names that the linker makes up.
void* __real_mmap(void* address, std::size_t bytes, int protection, int flags, int fd, off_t offset);
void* __wrap_mmap(void* address, std::size_t bytes, int protection, int flags, int fd, off_t offset);
void* __real_aligned_alloc(std::size_t alignment, std::size_t bytes);
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes);

void* __wrap_mmap(void* address, std::size_t bytes, int protection, int flags, int fd, off_t offset) {
  if (!fails_now()) return __real_mmap(address, bytes, protection, flags, fd, offset);
  errno = ENOMEM;
  return MAP_FAILED;
}

void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return fails_now() ? nullptr : __real_aligned_alloc(alignment, bytes);
}
}
