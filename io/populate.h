// Has the kernel give memory its pages ahead, in place of one fault after the other as they are touched.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace milepost {

// The pages that hold some of these bytes. On systems with pages of more than 4 KiB both calls may fail.
class PageRange {
 public:
  PageRange(std::byte* begin, std::size_t bytes)
      : begin_(begin - reinterpret_cast<std::uintptr_t>(begin) % page_bytes),
        bytes_(static_cast<std::size_t>(begin + bytes - begin_)) {}

  // Whether the first 4 MiB of them are in memory.
  bool is_resident() const noexcept {
    std::array<unsigned char, 1024> resident;
    const std::size_t bytes = std::min(bytes_, resident.size() * page_bytes);
    const std::size_t pages = (bytes + page_bytes - 1) / page_bytes;
    return ::mincore(begin_, bytes, resident.data()) == 0 &&
           std::all_of(resident.begin(), resident.begin() + pages, [](unsigned char page) { return (page & 1) != 0; });
  }

  // They can be written then without a fault; what is in them stays. Returns 0 or the errno; EINVAL: a kernel before
  // 5.14, which cannot.
  int populate() const noexcept {
#ifdef MADV_POPULATE_WRITE
    int result = 0;
    do {
      result = ::madvise(begin_, bytes_, MADV_POPULATE_WRITE);
    } while (result != 0 && (errno == EINTR || errno == EAGAIN));
    return result == 0 ? 0 : errno;
#else
    return EINVAL;
#endif
  }

 private:
  static constexpr std::size_t page_bytes = 4096;
  std::byte* begin_;
  std::size_t bytes_;
};

}  // namespace milepost
