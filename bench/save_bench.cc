// How fast is a save, from the call until it is committed?
//
//   cmake --build --preset release --target save_bench && build/release/bench/save_bench
//
// About 1 GB of state (smaller ones are saved several times over under different names), by codec and
// by data: a trained state whole and its fp32 leaves alone, published weights, random bytes, zeros. In mode
// copy, which codes nothing before all is copied; trained fp32 in mode lazy too, which does. Each save takes
// its turn with a raw write of as many bytes. Medians of 5 turns, 9 of trained fp32 since a disk's speed varies:
//   state_GB/s   bytes of state over the time from the call of save() until it is committed
//   disk_GB/s    the raw write
//   busy_disk_GB/s  a raw write while all cores copy memory; of those saves that keep the cores busy
//   of_disk      state_GB/s / disk_GB/s; goals: none 0.9 at least; fast 1.1 at least on trained fp32
//   cpu_s/GB     user and system time of all threads, a GB of state; goal: none 0.25 at most
//   ratio        bytes of state / bytes on disk
//   over_h0      bytes on disk / order-0 entropy of the byte planes - 1
#include "milepost/engine/checkpoint_manager.h"
#include "bench/limits.h"
#include "bench/measure.h"
#include "bench/real_state.h"
#include "bench/registry.h"
#include "bench/sample_data.h"

#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace milepost::bench {
namespace {

constexpr std::uint64_t state_bytes = 1'000'000'000;

struct Data {
  Tree tree;          // of state_bytes
  double order0 = 0;  // of all of it
};

Data repeated(const Tree& tree) {
  const Tree all = repeat(tree, state_bytes);
  const double times = static_cast<double>(byte_count(all)) / static_cast<double>(byte_count(tree));
  return {all, times * order0_bytes(tree)};
}

Tree bytes_as_tree(const std::string& kind) {
  const std::vector<std::byte> made = sample::make(kind, 100'000'000);
  Tensor tensor = checked(Tensor::allocate(DType::f32, {static_cast<std::int64_t>(made.size() / sizeof(float))}));
  std::memcpy(tensor.data(), made.data(), tensor.byte_count());
  Tree tree;
  tree["values"] = std::move(tensor);
  return tree;
}

void save_until_committed(benchmark::State& state, const Data& data, SnapshotMode mode, const Codec& codec,
                          bool trained_fp32) {
  const Items items = {{"state", data.tree}};
  const auto bytes = static_cast<double>(byte_count(data.tree));
  const Scratch scratch;
  CheckpointManagerOptions options;
  options.mode = mode;
  options.codec = codec;
  options.staging_bytes = static_cast<std::uint64_t>(bytes) + 256 * mib;
  auto manager = checked(CheckpointManager::open(scratch.path("save"), std::move(options)));
  checked(manager.warm_up(items));
  std::int64_t step = 0;
  Samples times, raw_times, busy_times, cpu;
  for (auto _ : state) {
    scratch.settle();
    raw_times.add(raw_write_seconds(scratch.path("raw"), static_cast<std::uint64_t>(bytes)));
    scratch.settle();
    if (codec.kind != Codec::Kind::none) {
      const BusyCores busy;
      busy_times.add(raw_write_seconds(scratch.path("raw"), static_cast<std::uint64_t>(bytes)));
    }
    scratch.settle();
    const double cpu_before = cpu_seconds();
    state.SetIterationTime(times.add(seconds([&] {
      checked(manager.save(++step, items));
      checked(manager.wait_until_finished());
    })));
    cpu.add(cpu_seconds() - cpu_before);
    scratch.remove("save/" + std::to_string(step));
  }
  const auto stored = static_cast<double>(manager.last_save().value().stored_bytes);
  state.counters["state_GB/s"] = 1e-9 * bytes / times.median();
  state.counters["disk_GB/s"] = 1e-9 * bytes / raw_times.median();
  if (codec.kind != Codec::Kind::none) state.counters["busy_disk_GB/s"] = 1e-9 * bytes / busy_times.median();
  state.counters["of_disk"] = raw_times.median() / times.median();
  state.counters["cpu_s/GB"] = cpu.median() / (1e-9 * bytes);
  state.counters["ratio"] = bytes / stored;
  if (codec.kind != Codec::Kind::none && data.order0 > 0) state.counters["over_h0"] = stored / data.order0 - 1;
  if (codec.kind == Codec::Kind::none) {
    state.counters["of_disk.at_least"] = 0.9;
    state.counters["cpu_s/GB.at_most"] = 0.25;
  }
  if (codec.kind == Codec::Kind::fast && trained_fp32) state.counters["of_disk.at_least"] = 1.1;
}

const std::vector<std::string> all_codecs = {"none", "fast", "zstd:1"};

void register_data(const std::string& name, const std::function<Result<Tree>()>& make,
                   SnapshotMode mode = SnapshotMode::copy, const std::vector<std::string>& codecs = all_codecs) {
  const bool is_trained_fp32 = name == "trained fp32";
  for (const std::string& codec : codecs) {
    const auto run = [=](benchmark::State& state) {
      static std::map<std::string, Result<Data>> made;  // the latest only
      if (!made.contains(name)) {
        made.clear();
        auto tree = make();
        made.emplace(name, tree.has_value() ? Result<Data>(repeated(*tree)) : Result<Data>(tree.error()));
      }
      const Result<Data>& data = made.at(name);
      if (data.has_error()) return state.SkipWithError(data.error().to_string().c_str());
      save_until_committed(state, *data, mode, checked(Codec::parse(codec)), is_trained_fp32);
    };
    const int turns = is_trained_fp32 ? 9 : 5;
    add("save/" + name + "/" + std::string(to_string(mode)) + "/" + codec, turns, run);
  }
}

}  // namespace

void register_all() {
  const auto trained = [] {
    static const Result<Tree> state = trained_state();
    return state;
  };
  const auto trained_fp32 = [=]() -> Result<Tree> {
    auto tree = trained();
    return tree.has_value() ? Result<Tree>(only(*tree, DType::f32)) : tree;
  };
  register_data("trained fp32", trained_fp32);
  register_data("trained fp32", trained_fp32, SnapshotMode::lazy, {"none", "fast"});
  register_data("trained", trained);
  register_data("weights", published_weights);
  register_data("random", [] { return Result<Tree>(bytes_as_tree("random")); });
  register_data("zeros", [] { return Result<Tree>(bytes_as_tree("zeros")); });
}

}  // namespace milepost::bench
