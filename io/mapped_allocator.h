// An allocator for large arrays that live briefly: their memory goes back to the system when they are freed, where
// malloc, once it has seen a few of them, would keep it. What is reserved and never touched costs nothing.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <new>

namespace milepost {

template <class T> struct MappedAllocator {
  using value_type = T;

  MappedAllocator() = default;
  template <class U> MappedAllocator(const MappedAllocator<U>&) {}

  T* allocate(std::size_t count) {
    if (!is_large(count)) return std::allocator<T>().allocate(count);
    void* const mapped = ::mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    return static_cast<T*>(mapped);
  }

  void deallocate(T* memory, std::size_t count) noexcept {
    if (!is_large(count)) return std::allocator<T>().deallocate(memory, count);
    ::munmap(memory, count * sizeof(T));
  }

  bool operator==(const MappedAllocator&) const = default;

 private:
  // Below it, mapping costs more than it is worth.
  static bool is_large(std::size_t count) { return count >= (std::size_t{1} << 20) / sizeof(T); }
};

}  // namespace milepost
