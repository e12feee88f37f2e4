// Memory of whole pages, unmapped at the end.
#pragma once

#include "milepost/io/unique_fd.h"
#include "milepost/io/write_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace milepost::testing {

class MappedPages {
 public:
  // Private and anonymous unless said otherwise.
  explicit MappedPages(std::size_t pages, int flags = MAP_PRIVATE | MAP_ANONYMOUS, int fd = -1)
      : bytes_(pages * system_page_bytes()), begin_(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, flags, fd, 0)) {
    if (begin_ == MAP_FAILED) throw std::runtime_error("mmap");
  }
  ~MappedPages() { ::munmap(begin_, bytes_); }
  MappedPages(const MappedPages&) = delete;
  MappedPages& operator=(const MappedPages&) = delete;

  std::byte* data() const { return static_cast<std::byte*>(begin_); }
  std::size_t size() const { return bytes_; }
  std::byte* page(std::size_t index) const { return data() + index * system_page_bytes(); }
  WriteGuard::Pages pages() const { return {data(), data() + bytes_}; }

 private:
  std::size_t bytes_;
  void* begin_;
};

// Whether a write to the page of this address would have to wait, as the kernel tells in /proc/self/pagemap (5.13).
inline bool is_protected(const std::byte* address) {
  constexpr std::uint64_t write_protected = std::uint64_t{1} << 57;
  const UniqueFd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  const std::uintptr_t page = reinterpret_cast<std::uintptr_t>(address) / system_page_bytes();
  std::uint64_t entry = 0;
  if (::pread(pagemap.get(), &entry, sizeof entry, static_cast<off_t>(page * sizeof entry)) != sizeof entry) {
    throw std::runtime_error("/proc/self/pagemap");
  }
  return (entry & write_protected) != 0;
}

// Why this process cannot protect memory; empty: it can.
inline std::string why_no_write_guard() {
  struct Nobody final : WriteGuard::Owner {
    WriteGuard::Pages before_write(std::byte* address) noexcept override {
      return {address, address + system_page_bytes()};
    }
    void lost(WriteGuard::Pages, const char*) noexcept override {}
  } nobody;
  const MappedPages memory(1);
  const auto guard = WriteGuard::protect({memory.pages()}, nobody);
  return guard.has_error() ? guard.error().to_string() : "";
}

#define SKIP_WITHOUT_WRITE_GUARD() \
  if (const std::string why = ::milepost::testing::why_no_write_guard(); !why.empty()) GTEST_SKIP() << why

}  // namespace milepost::testing
