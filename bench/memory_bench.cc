// Does memory stay within its bound?
//
//   cmake --build --preset release --target memory_bench && build/release/bench/memory_bench
//
// A GPT's state of 512 MB, and one of 100,000 leaves of 64 floats, saved in each mode, four times, or
// restored in place, or both, with the default codec and with none, and a bound (staging_bytes) of 64 MiB and of 256
// MiB.
//   extra_MB  the most memory that was resident at any time of the save or restore (VmHWM), without what
//             was before the manager was opened, the state and the tree, and without pages of the program's files. Each
//             in a process of its own, in which nothing has been allocated and freed before
//   bound_MB  staging_bytes
//   of_bound  extra_MB / bound_MB; goal: 1 at most
#include "milepost/engine/checkpoint_manager.h"
#include "bench/limits.h"
#include "bench/measure.h"
#include "bench/registry.h"
#include "bench/sample_data.h"
#include "bench/state.h"

#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace milepost::bench {
namespace {

Items gpt_items() { return gpt_state(512'000'000).items(); }

Items small_leaves() {
  constexpr std::int64_t leaf_count = 100'000;
  constexpr std::int64_t values_each = 64;
  static std::vector<float> values = sample::weights(leaf_count * values_each);
  Tree tree;
  for (std::int64_t i = 0; i < leaf_count; ++i) {
    tree["block" + std::to_string(i / 100)]["w" + std::to_string(i % 100)] =
        Tensor::of(values.data() + i * values_each, {values_each});
  }
  return {{"state", std::move(tree)}};
}

// What a function returns that runs in a process of its own; there are no threads when it begins.
std::uint64_t in_a_child(const std::function<std::uint64_t()>& fn) {
  std::array<int, 2> ends{};
  detail::must(::pipe(ends.data()) == 0, "pipe");
  const pid_t child = ::fork();
  detail::must(child >= 0, "fork");
  std::uint64_t value = 0;
  if (child == 0) {
    value = fn();
    std::_Exit(::write(ends[1], &value, sizeof value) == sizeof value ? 0 : 1);
  }
  ::close(ends[1]);
  const bool told = ::read(ends[0], &value, sizeof value) == sizeof value;
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  if (!told) std::exit(1);  // it has said why
  return value;
}

void save_in_a_child(const std::string& directory, const CheckpointManagerOptions& options, const Items& items) {
  in_a_child([&] {
    auto manager = checked(CheckpointManager::open(directory, options));
    checked(manager.save(1, items));
    checked(manager.close());
    return 0;
  });
}

struct Doing {
  const char* name;
  std::optional<SnapshotMode> save;  // none: restores what a save before has left
  bool restore = false;              // by the manager that has saved
};

// In bytes.
std::uint64_t extra_memory(Items (*make)(), const Doing& doing, const Codec& codec, std::uint64_t bound) {
  Items items = make();
  const Scratch scratch;
  CheckpointManagerOptions options;
  options.mode = doing.save.value_or(SnapshotMode::copy);
  options.codec = codec;
  options.staging_bytes = bound;
  if (!doing.save) save_in_a_child(scratch.path("memory"), options, items);
  malloc_trim(0);
  const std::uint64_t before = ResidentMemory::now();
  const std::uint64_t files_before = ResidentMemory::of_files();
  ResidentMemory::reset_peak();
  auto manager = checked(CheckpointManager::open(scratch.path("memory"), options));
  for (int step = 1; doing.save && step <= 4; ++step) checked(manager.save(step, items));
  checked(manager.wait_until_finished());
  if (doing.restore) checked(manager.restore_latest(items.front().tree));
  checked(manager.close());
  const std::uint64_t peak = ResidentMemory::peak() - (ResidentMemory::of_files() - files_before);
  return peak > before ? peak - before : 0;
}

void measure(benchmark::State& state, Items (*make)(), const Doing& doing, const Codec& codec, std::uint64_t bound) {
  std::uint64_t extra = 0;
  for (auto _ : state) {
    const auto taken = seconds([&] { extra = in_a_child([&] { return extra_memory(make, doing, codec, bound); }); });
    state.SetIterationTime(taken);
  }
  state.counters["extra_MB"] = 1e-6 * static_cast<double>(extra);
  state.counters["bound_MB"] = 1e-6 * static_cast<double>(bound);
  state.counters["of_bound"] = static_cast<double>(extra) / static_cast<double>(bound);
  state.counters["of_bound.at_most"] = 1;
}

}  // namespace

void register_all() {
  const std::vector<std::pair<std::string, Items (*)()>> states = {{"GPT 512 MB", gpt_items},
                                                                   {"100,000 leaves", small_leaves}};
  const std::vector<Doing> doings = {{"save copy", SnapshotMode::copy},
                                     {"save lazy", SnapshotMode::lazy},
                                     {"save borrow", SnapshotMode::borrow},
                                     {"restore", std::nullopt, true},
                                     {"both", SnapshotMode::copy, true}};
  for (const auto& [name, make] : states) {
    for (const Codec& codec : {Codec::fast(), Codec::none()}) {
      for (const std::uint64_t bound : {64 * mib, 256 * mib}) {
        for (const Doing& doing : doings) {
          const auto run = [=, items = make](benchmark::State& state) { measure(state, items, doing, codec, bound); };
          add("memory/" + name + ", " + codec.to_string() + "/" + doing.name + "/" + std::to_string(bound / mib) +
                  " MiB",
              1, run);
        }
      }
    }
  }
}

}  // namespace milepost::bench
