// What the machine can do, measured in the same run as what milepost does: the limits that benchmarks
// compare with. Nothing here uses milepost.
//
//   memory   memcpy between touched buffers on as many threads, the target in huge pages (as the
//            staging pool is); each thread copies its share of the bytes
//   disk     O_DIRECT, 8 threads with pwrite or pread, 1 MiB at a time; writing includes creating and
//            preallocating the file, and fsync; idle, or beside cores that are busy
#pragma once

#include "milepost/engine/state/tensor.h"
#include "bench/measure.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace milepost::bench {

// Memory in huge pages, all of it touched.
class TouchedArea {
 public:
  explicit TouchedArea(std::uint64_t bytes) : bytes_(bytes) {
    constexpr std::size_t huge_page = 2 * mib;
    data_ = static_cast<std::byte*>(std::aligned_alloc(huge_page, (bytes + huge_page - 1) / huge_page * huge_page));
    madvise(data_, bytes_, MADV_HUGEPAGE);
    std::memset(data_, 1, bytes_);
    asm volatile("" : : "r"(data_) : "memory");  // or it would be left out where nobody reads it
  }
  ~TouchedArea() { std::free(data_); }
  TouchedArea(const TouchedArea&) = delete;
  TouchedArea& operator=(const TouchedArea&) = delete;

  std::span<std::byte> span() const { return {data_, bytes_}; }

 private:
  std::uint64_t bytes_;
  std::byte* data_;
};

// Seconds to copy all of `from`, one tensor behind the other, to `to`.
inline double memcpy_seconds(Team& team, const std::vector<Tensor>& from, std::span<std::byte> to) {
  std::uint64_t total = 0;
  for (const Tensor& tensor : from) total += tensor.byte_count();
  const std::uint64_t share = (total + team.size() - 1) / team.size();
  return seconds([&] {
    team.run([&](int thread) {
      const std::uint64_t begin = share * thread;
      const std::uint64_t end = std::min(total, begin + share);
      std::uint64_t at = 0;
      for (const Tensor& tensor : from) {
        const std::uint64_t first = std::max(at, begin);
        const std::uint64_t last = std::min(at + tensor.byte_count(), end);
        if (first < last) std::memcpy(to.data() + first, tensor.data() + (first - at), last - first);
        at += tensor.byte_count();
      }
    });
  });
}

namespace detail {

inline constexpr std::uint64_t piece_bytes = mib;
inline constexpr int disk_threads = 8;

inline void must(bool fine, const char* call) {
  if (fine) return;
  std::perror(call);
  std::exit(1);
}

// Calls transfer(offset, bytes) for all pieces, on all threads.
template <class Transfer> void for_each_piece(std::uint64_t bytes, int threads, Transfer transfer) {
  std::atomic<std::uint64_t> next{0};
  const auto serve = [&] {
    for (std::uint64_t at; (at = next.fetch_add(piece_bytes)) < bytes;) {
      transfer(at, std::min(piece_bytes, bytes - at));
    }
  };
  std::vector<std::thread> pool;
  for (int i = 0; i < threads; ++i) pool.emplace_back(serve);
  for (std::thread& thread : pool) thread.join();
}

}  // namespace detail

// Writes that many bytes (rounded up to pages) of noise to a new file, which is removed again.
inline double raw_write_seconds(const std::string& path, std::uint64_t bytes) {
  static const TouchedArea source(64 * mib);
  static const bool filled = [] {
    std::mt19937_64 random(1);
    auto* words = reinterpret_cast<std::uint64_t*>(source.span().data());
    for (std::size_t i = 0; i < source.span().size() / 8; ++i) words[i] = random();
    return true;
  }();
  (void)filled;
  bytes = (bytes + 4095) / 4096 * 4096;
  const double taken = seconds([&] {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0644);
    detail::must(fd >= 0, "open");
    (void)posix_fallocate(fd, 0, static_cast<off_t>(bytes));
    detail::for_each_piece(bytes, detail::disk_threads, [&](std::uint64_t at, std::uint64_t size) {
      const std::byte* from = source.span().data() + at % source.span().size();
      detail::must(pwrite(fd, from, size, static_cast<off_t>(at)) == static_cast<ssize_t>(size), "pwrite");
    });
    detail::must(fsync(fd) == 0, "fsync");
    close(fd);
  });
  std::filesystem::remove(path);
  return taken;
}

// Keeps all cores copying memory, at the priority of milepost's workers, as long as it lives. In a virtual machine that
// is what a disk shares the cores and the memory with while a save is coded.
class BusyCores {
 public:
  BusyCores() {
    for (int i = 0; i < core_count(); ++i) {
      threads_.emplace_back([this] {
        setpriority(PRIO_PROCESS, 0, 10);
        TouchedArea area(32 * mib);
        const std::span<std::byte> half = area.span().first(16 * mib);
        while (!over_) std::memcpy(area.span().data() + half.size(), half.data(), half.size());
      });
    }
  }
  ~BusyCores() {
    over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  BusyCores(const BusyCores&) = delete;
  BusyCores& operator=(const BusyCores&) = delete;

 private:
  std::atomic<bool> over_{false};
  std::vector<std::thread> threads_;
};

// Reads the beginning of a file into `into`: past the page cache, or through it on all cores.
inline double raw_read_seconds(const std::string& path, std::span<std::byte> into, bool direct) {
  const std::uint64_t bytes = std::min<std::uint64_t>(into.size(), std::filesystem::file_size(path) / 4096 * 4096);
  return seconds([&] {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
    detail::must(fd >= 0, "open");
    const int threads = direct ? detail::disk_threads : core_count();
    detail::for_each_piece(bytes, threads, [&](std::uint64_t at, std::uint64_t size) {
      detail::must(pread(fd, into.data() + at, size, static_cast<off_t>(at)) == static_cast<ssize_t>(size), "pread");
    });
    close(fd);
  });
}

// Drops all files below `directory` from the page cache, or reads them through it, all of each.
inline void make_cold(const std::string& directory) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    detail::must(fd >= 0, "open");
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}
inline void make_warm(const std::string& directory) {
  std::vector<std::byte> piece(detail::piece_bytes);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    detail::must(fd >= 0, "open");
    ssize_t got = 0;
    while ((got = read(fd, piece.data(), piece.size())) > 0) continue;
    detail::must(got == 0, "read");
    close(fd);
  }
}

}  // namespace milepost::bench
