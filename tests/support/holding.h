// What this process holds of the system, and what it holds more of later on: for tests that look for leaks.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace milepost::testing {

class Holding {
 public:
  // Of now.
  Holding() : descriptors_(count_descriptors()), threads_(count_threads()) {}

  // Names what there is more of now; empty: nothing. A thread that was joined is still listed for a moment: waits.
  std::string grown(std::size_t descriptors_more_max = 0) const {
    std::string what;
    if (count_descriptors() > descriptors_ + descriptors_more_max) what += "descriptors ";
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (count_threads() > threads_ && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
    if (count_threads() > threads_) what += "threads ";
    return what;
  }

 private:
  static std::size_t count_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

  // Without those of the kernel, which an io_uring has as many of as it likes.
  static std::size_t count_threads() {
    std::size_t count = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::getline(std::ifstream(task.path() / "comm"), name);
      if (!name.empty() && !name.starts_with("iou-")) ++count;
    }
    return count;
  }

  std::size_t descriptors_;
  std::size_t threads_;
};

}  // namespace milepost::testing
