// What every benchmark measures with: time, CPU, memory, threads that exist already, a place on disk.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace milepost::bench {

inline constexpr std::uint64_t mib = std::uint64_t{1} << 20;
inline constexpr std::uint64_t gib = std::uint64_t{1} << 30;

template <class Function> double seconds(Function function) {
  const auto start = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// User and system time of all threads of this process so far, in seconds.
inline double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

// The median of what was added; an even number of samples gives the mean of the middle two.
class Samples {
 public:
  double add(double value) {
    values_.push_back(value);
    return value;
  }
  double median() const {
    if (values_.empty()) return 0;
    std::vector<double> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    return (sorted[sorted.size() / 2] + sorted[(sorted.size() - 1) / 2]) / 2;
  }

 private:
  std::vector<double> values_;
};

// Memory of this process that is resident: now, and the most since the last reset of the peak.
class ResidentMemory {
 public:
  static std::uint64_t now() { return field("VmRSS:"); }
  static std::uint64_t of_files() { return field("RssFile:"); }  // of that: the program's own, and what it maps
  static std::uint64_t peak() { return field("VmHWM:"); }
  static void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

 private:
  static std::uint64_t field(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
      std::uint64_t kib = 0;
      if (word == name && status >> kib) return kib * 1024;
    }
    return 0;
  }
};

// Threads that wait for work, so that no measurement pays for starting them. run() is for one thread
// at a time; that thread is thread 0.
class Team {
 public:
  explicit Team(int threads) : size_(threads) {
    for (int i = 1; i < threads; ++i) threads_.emplace_back([this, i] { serve(i); });
  }
  ~Team() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }

  // Calls body(0) to body(size() - 1), each on its thread, and returns when all have returned.
  void run(const std::function<void(int)>& body) {
    {
      const std::lock_guard lock(mutex_);
      body_ = &body;
      ++round_;
      busy_ = size_ - 1;
    }
    changed_.notify_all();
    body(0);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void serve(int index) {
    for (std::uint64_t seen = 0;;) {
      const std::function<void(int)>* body = nullptr;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return over_ || round_ != seen; });
        if (over_) return;
        seen = round_;
        body = body_;
      }
      (*body)(index);
      const std::lock_guard lock(mutex_);
      if (--busy_ == 0) changed_.notify_all();
    }
  }

  const int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void(int)>* body_ = nullptr;
  std::uint64_t round_ = 0;
  int busy_ = 0;
  bool over_ = false;
  std::vector<std::thread> threads_;
};

inline int core_count() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

// A new directory under $MILEPOST_BENCH_DIR or build/bench-data; removed at the end. For one thread.
class Scratch {
 public:
  Scratch() {
    const char* given = std::getenv("MILEPOST_BENCH_DIR");
    static int made = 0;
    path_ = std::filesystem::absolute(given ? given : "build/bench-data") /
            (std::to_string(getpid()) + "-" + std::to_string(made++));
    std::filesystem::create_directories(path_);
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    std::filesystem::remove(path_.parent_path(), ignored);  // if nobody else is in it
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string path(const std::string& name) const { return (path_ / name).string(); }
  void remove(const std::string& name) const { std::filesystem::remove_all(path_ / name); }
  // Waits until the disk is done with what was removed or written before, so that the next to write does not pay for
  // it.
  void settle() const {
    const int fd = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) ::syncfs(fd);
    ::close(fd);
  }

 private:
  std::filesystem::path path_;
};

// The value, or the end of the benchmark with the error's story.
template <class Outcome> auto checked(Outcome outcome) {
  if (outcome.has_error()) {
    std::fprintf(stderr, "%s\n", outcome.error().to_string().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<typename Outcome::value_type>) return std::move(outcome).value();
}

}  // namespace milepost::bench
