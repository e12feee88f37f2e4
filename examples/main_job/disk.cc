#include "examples/main_job/disk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace main_job {

using milepost::Error;
using milepost::Result;

Result<double> measure_write_rate(const std::string& directory, std::uint64_t bytes) {
  constexpr std::size_t block = std::size_t{4} << 20;
  constexpr int depth = 8;
  const std::string path = directory + "/write-rate";
  int fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_DIRECT | O_CLOEXEC, 0644);
  if (fd < 0 && errno == EINVAL) fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return Error::from_errno(errno, "open " + path);
  const std::unique_ptr<void, void (*)(void*)> memory(aligned_alloc(4096, block), free);
  std::memset(memory.get(), 0x5a, block);

  (void)posix_fallocate(fd, 0, static_cast<off_t>(bytes));  // as a checkpoint's file is; refused, it is only slower
  const auto start = std::chrono::steady_clock::now();
  std::atomic<std::uint64_t> next{0};
  std::atomic<int> failure{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < depth; ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t at; (at = next.fetch_add(block)) < bytes && failure == 0;) {
        const ssize_t written = pwrite(fd, memory.get(), block, static_cast<off_t>(at));
        if (written != static_cast<ssize_t>(block)) failure = written < 0 ? errno : EIO;
      }
    });
  }
  threads.clear();  // joins
  if (failure == 0 && fsync(fd) != 0) failure = errno;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  close(fd);
  unlink(path.c_str());
  if (failure != 0) return Error::from_errno(failure, "write " + path);
  return static_cast<double>(bytes) / seconds / 1e9;
}

}  // namespace main_job
