// What does a release to a CSV file cost, by the number of rows that are there?
//
//   cmake --build --preset release --target release_bench && build/release/bench/release_bench
//
// Rows of a key and three metrics, about 50 bytes each:
//   append   a row is appended
//   write    the file is written anew, with a row more
//   remove   in append mode, for a key that is there: the file is written anew without its row
// Each release takes its turn with its limit on the same disk: a write of the same row behind a file of that size, with
// fsync; or a copy of the file, with fsync. Counters are medians of the turns:
//   ms       the call of release()
//   raw_ms   the limit
//   of_raw   ms / raw_ms; goal of append: 4 at most, for there are two fsyncs in it, of two files
//   MB       the file
//   open_ms  opening the file, which reads it
#include "milepost/engine/federated/csv_release_manager.h"
#include "bench/limits.h"
#include "bench/measure.h"
#include "bench/registry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace milepost::bench {
namespace {

enum class Kind { append, write, remove };

ProgramValue metrics_of(std::int64_t key) {
  const auto number = static_cast<double>(key);
  ProgramValue metrics;
  metrics["accuracy"] = 1 - 1 / (number + 3);
  metrics["clients"] = key * 7 % 1000;
  metrics["loss"] = 2 / (number + 1);
  return metrics;
}

std::string row_of(std::int64_t key) { return std::to_string(key) + ",0.9473684210526316,123,0.10526315789473684\r\n"; }

void make_file(const std::string& path, std::int64_t rows) {
  std::ofstream file(path, std::ios::binary);
  file << "key,accuracy,clients,loss\r\n";
  for (std::int64_t key = 0; key < rows; ++key) file << row_of(key);
}

double raw_append_seconds(const std::string& path, const std::string& row) {
  return seconds([&] {
    const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    detail::must(fd >= 0, "open");
    detail::must(write(fd, row.data(), row.size()) == static_cast<ssize_t>(row.size()), "write");
    detail::must(fsync(fd) == 0, "fsync");
    close(fd);
  });
}

double raw_copy_seconds(const std::string& from, const std::string& to) {
  static std::vector<char> buffer(mib);
  const double taken = seconds([&] {
    const int in = open(from.c_str(), O_RDONLY | O_CLOEXEC);
    const int out = open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    detail::must(in >= 0 && out >= 0, "open");
    for (ssize_t bytes; (bytes = read(in, buffer.data(), buffer.size())) > 0;) {
      detail::must(write(out, buffer.data(), static_cast<std::size_t>(bytes)) == bytes, "write");
    }
    detail::must(fsync(out) == 0, "fsync");
    close(in);
    close(out);
  });
  std::filesystem::remove(to);
  return taken;
}

void release(benchmark::State& state, Kind kind, std::int64_t rows) {
  const Scratch scratch;
  const std::string path = scratch.path("metrics.csv");
  const std::string raw = scratch.path("raw.csv");
  make_file(path, rows);
  make_file(raw, rows);
  scratch.settle();
  const CsvSaveMode mode = kind == Kind::write ? CsvSaveMode::write : CsvSaveMode::append;
  std::optional<CsvFileReleaseManager> manager;
  const double open_seconds =
      seconds([&] { manager = checked(CsvFileReleaseManager::open(path, {.save_mode = mode})); });
  std::int64_t key = kind == Kind::remove ? rows - 1 : rows;
  checked(manager->release(metrics_of(key), key));  // the first makes what appending needs
  Samples times, raw_times;
  for (auto _ : state) {
    scratch.settle();
    raw_times.add(kind == Kind::append ? raw_append_seconds(raw, row_of(key))
                                       : raw_copy_seconds(path, scratch.path("copy")));
    scratch.settle();
    if (kind != Kind::remove) ++key;
    const ProgramValue metrics = metrics_of(key);
    state.SetIterationTime(times.add(seconds([&] { checked(manager->release(metrics, key)); })));
  }
  state.counters["ms"] = 1e3 * times.median();
  state.counters["raw_ms"] = 1e3 * raw_times.median();
  state.counters["of_raw"] = times.median() / raw_times.median();
  state.counters["MB"] = 1e-6 * static_cast<double>(std::filesystem::file_size(path));
  state.counters["open_ms"] = 1e3 * open_seconds;
  if (kind == Kind::append) state.counters["of_raw.at_most"] = 4;
}

}  // namespace

void register_all() {
  const std::vector<std::pair<std::string, std::int64_t>> sizes = {
      {"10", 10}, {"1,000", 1000}, {"100,000", 100'000}, {"1,000,000", 1'000'000}};
  const std::vector<std::pair<std::string, Kind>> kinds = {
      {"append", Kind::append}, {"write", Kind::write}, {"remove", Kind::remove}};
  for (const auto& [name, kind] : kinds) {
    for (const auto& [label, rows] : sizes) {
      const int turns = kind == Kind::append ? 41 : rows < 100'000 ? 21 : 7;
      add("release/" + name + "/" + label, turns,
          [kind = kind, rows = rows](benchmark::State& state) { release(state, kind, rows); });
    }
  }
}

}  // namespace milepost::bench
