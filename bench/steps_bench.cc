// What does a directory of very many steps cost?
//
//   cmake --build --preset release --target steps_bench && build/release/bench/steps_bench
//
// 10,000 steps, known to the page cache, one thread; medians of 5 turns. The limits are the system calls without which
// it cannot be done:
//   names     readdir, and a stat of each step's record
//   records   that, and each record opened, read and closed
#include "milepost/engine/checkpoint_manager.h"
#include "bench/many_steps.h"
#include "bench/measure.h"
#include "bench/registry.h"

#include <dirent.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace milepost::bench {
namespace {

constexpr int turns = 5;
constexpr std::int64_t step_count = 10'000;

// Reads all records, or only looks for them.
double raw_seconds(const std::string& directory, bool read) {
  return seconds([&] {
    DIR* const stream = ::opendir(directory.c_str());
    if (stream == nullptr) std::abort();
    std::vector<char> bytes(1 << 16);
    std::int64_t found = 0;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string path = std::string(entry->d_name) + '/' + std::string(step_record_name);
      struct stat info {};
      if (::fstatat(::dirfd(stream), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      ++found;
      if (!read) continue;
      const int fd = ::openat(::dirfd(stream), path.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0 || ::pread(fd, bytes.data(), bytes.size(), 0) != info.st_size) std::abort();
      ::close(fd);
    }
    ::closedir(stream);
    if (found != step_count) std::abort();
  });
}

void measure(benchmark::State& state, bool records, const std::function<double(const std::string&)>& once) {
  static const Scratch scratch;  // written once
  const std::string directory = scratch.path("steps");
  if (!std::filesystem::exists(directory)) write_many_steps(directory, step_count);
  scratch.settle();
  Samples taken, raw;
  raw_seconds(directory, true);
  for (auto _ : state) {
    raw.add(raw_seconds(directory, records));
    state.SetIterationTime(taken.add(once(directory)));
  }
  state.counters["ms"] = 1e3 * taken.median();
  state.counters["raw_ms"] = 1e3 * raw.median();
  state.counters["of_raw"] = taken.median() / raw.median();
  state.counters["of_raw.at_most"] = 4;
}

CheckpointManager opened(const std::string& directory, bool lightweight) {
  return checked(
      CheckpointManager::open(directory, {.max_to_keep = 100, .create = false, .lightweight_initialize = lightweight}));
}

}  // namespace

void register_all() {
  const auto add_one = [](const std::string& name, bool records, std::function<double(const std::string&)> once) {
    add("steps/" + name, turns, [=](benchmark::State& state) { measure(state, records, once); });
  };
  add_one("open, lightweight/names", false,
          [](const std::string& directory) { return seconds([&] { opened(directory, true); }); });
  add_one("open/records", true,
          [](const std::string& directory) { return seconds([&] { opened(directory, false); }); });
  add_one("list again/names", false, [](const std::string& directory) {
    auto manager = opened(directory, true);
    return seconds([&] { benchmark::DoNotOptimize(checked(manager.all_steps(true))); });
  });
  add_one("plan/records", true, [](const std::string& directory) {
    auto manager = opened(directory, true);
    return seconds([&] { benchmark::DoNotOptimize(checked(manager.preservation_plan())); });
  });
}

}  // namespace milepost::bench
