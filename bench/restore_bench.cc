// How fast does a checkpoint come back?
//
//   cmake --build --preset release --target restore_bench && build/release/bench/restore_bench
//
// Counters are medians of 5 turns, 9 from the disk, whose speed varies; each restore takes its turn with the raw read
// that is its limit.
//
// restore/*: a GPT's state of 1 GB, stored without compression or with `fast`, from the disk (its files
// dropped from the page cache) or from the page cache, in place into touched buffers or into fresh ones.
//   state_GB/s  bytes of state over the time of restore(), opening the step and all digests included
//   raw_GB/s    as many bytes read raw into touched buffers: O_DIRECT, or from the page cache on all cores
//   of_raw      state_GB/s / raw_GB/s; goal: 0.9 at least, from the disk into touched buffers
//
// part/*: one leaf of 16 KiB out of 10,000, and rows of 16 MB out of a tensor of 1 GB, from the disk.
//   ms      opening the step and restoring the part
//   raw_ms  reading raw what that takes at least: record, manifest and chunk table, and the part
#include "milepost/engine/checkpoint_manager.h"
#include "bench/limits.h"
#include "bench/measure.h"
#include "bench/registry.h"
#include "bench/state.h"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace milepost::bench {
namespace {

constexpr std::uint64_t state_bytes = 1'000'000'000;
constexpr int turns = 5;
constexpr int disk_turns = 9;

// A directory with one step, 0, that lives until another one is made.
struct Saved {
  std::string name;
  Scratch scratch;
  std::string directory() const { return scratch.path("saved"); }
  std::string item() const { return directory() + "/0/state"; }
  // The data file, under either of its names.
  std::string data_file() const {
    for (const auto& entry : std::filesystem::directory_iterator(item())) {
      if (entry.path().filename().string().starts_with("data-")) return entry.path().string();
    }
    return {};
  }
};

const Saved& saved(const std::string& name, const Items& items, const Codec& codec) {
  static std::unique_ptr<Saved> current;
  if (!current || current->name != name) {
    current.reset();
    current = std::make_unique<Saved>();
    current->name = name;
    auto manager = checked(CheckpointManager::open(current->directory(), {.codec = codec}));
    checked(manager.save(0, items));
    checked(manager.close());
  }
  return *current;
}

CheckpointManager open_reader(const Saved& files) {
  return checked(CheckpointManager::open(files.directory(), {.create = false, .read_only = true}));
}

TouchedArea& raw_target() {
  static TouchedArea area(state_bytes + 64 * mib);
  return area;
}

// A file of at least that many bytes for the raw reads: where milepost reads less because it compresses,
// the limit is still the time to read all of the state.
const std::string& raw_file() {
  static const Scratch scratch;
  static const std::string path = [] {
    const auto bytes = raw_target().span();
    const std::string file = scratch.path("raw");
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file;
  }();
  return path;
}

void restore(benchmark::State& state, const std::string& codec, bool cold, bool fresh) {
  const GptState& gpt = gpt_state(state_bytes);
  const Saved& files = saved(codec, gpt.items(), checked(Codec::parse(codec)));
  const auto bytes = static_cast<double>(gpt.bytes());
  const auto into = raw_target().span().first(gpt.bytes() / 4096 * 4096);
  auto manager = open_reader(files);
  Tree target = gpt.tree();
  // Workers and staging memory are warm in a process that has restored before.
  checked(manager.restore_latest(target));
  Samples times, raw_times;
  for (auto _ : state) {
    if (cold) {
      make_cold(files.directory());
      make_cold(std::filesystem::path(raw_file()).parent_path().string());
    } else {
      make_warm(files.directory());
      raw_read_seconds(raw_file(), into, false);
    }
    raw_times.add(raw_read_seconds(raw_file(), into, cold));
    state.SetIterationTime(times.add(seconds([&] {
      if (fresh) {
        benchmark::DoNotOptimize(checked(manager.restore()));
      } else {
        checked(manager.restore_latest(target));
      }
    })));
  }
  state.counters["state_GB/s"] = 1e-9 * bytes / times.median();
  state.counters["raw_GB/s"] = 1e-9 * bytes / raw_times.median();
  state.counters["of_raw"] = raw_times.median() / times.median();
  if (cold && !fresh) state.counters["of_raw.at_least"] = 0.9;
}

// Restores what `wanted` selects of the saved items, from the disk.
void restore_part(benchmark::State& state, const Saved& files, const RestoreItem& wanted, std::uint64_t part_bytes) {
  auto manager = open_reader(files);
  const auto once = [&] { benchmark::DoNotOptimize(checked(manager.restore(0, {.items = {wanted}}))); };
  once();
  std::vector<std::byte> small(256 * mib);
  const std::string data = files.data_file();
  Samples times, raw_times;
  for (auto _ : state) {
    make_cold(files.directory());
    raw_times.add(seconds([&] {
      raw_read_seconds(files.directory() + "/0/step.json", small, false);
      for (const auto& entry : std::filesystem::directory_iterator(files.item())) {
        if (entry.path() != data) raw_read_seconds(entry.path().string(), small, false);
      }
      raw_read_seconds(data, raw_target().span().first(part_bytes), true);
    }));
    make_cold(files.directory());
    state.SetIterationTime(times.add(seconds(once)));
  }
  state.counters["ms"] = 1e3 * times.median();
  state.counters["raw_ms"] = 1e3 * raw_times.median();
  state.counters["of_raw"] = raw_times.median() / times.median();
}

void one_leaf(benchmark::State& state, const std::string& codec) {
  constexpr std::int64_t leaves = 10'000;
  constexpr std::int64_t count = 4096;
  const std::vector<float> values = sample::weights(leaves * count);
  Tree tree;
  for (std::int64_t i = 0; i < leaves; ++i) {
    tree["layers"]["leaf" + std::to_string(i)] = Tensor::of(values.data() + i * count, {count});
  }
  const Saved& files = saved("leaves/" + codec, {{"state", tree}}, checked(Codec::parse(codec)));
  restore_part(state, files, {.name = "state", .select = {"layers/leaf7321"}}, count * sizeof(float));
}

void rows(benchmark::State& state, const std::string& codec) {
  constexpr std::int64_t side = 15'808;
  constexpr std::int64_t wanted = 256;
  Tensor tensor = checked(Tensor::allocate(DType::f32, {side, side}));
  const std::vector<float> tile = sample::weights(2 * mib);
  for (std::int64_t at = 0; at < side * side; at += static_cast<std::int64_t>(tile.size())) {
    std::copy_n(tile.begin(), std::min<std::int64_t>(static_cast<std::int64_t>(tile.size()), side * side - at),
                tensor.as<float>() + at);
  }
  Tree tree;
  tree["w"] = std::move(tensor);
  const Saved& files = saved("rows/" + codec, {{"state", tree}}, checked(Codec::parse(codec)));
  tree = Tree();
  const RestoreItem item = {.name = "state", .slices = {{"w", {side / 2, 0}, {wanted, side}}}};
  restore_part(state, files, item, wanted * side * sizeof(float));
}

}  // namespace

void register_all() {
  for (const std::string codec : {"none", "fast"}) {
    for (const bool cold : {true, false}) {
      for (const bool fresh : {false, true}) {
        const std::string name =
            std::string("restore/") + codec + (cold ? "/disk" : "/page cache") + (fresh ? "/fresh" : "/touched");
        add(name, cold ? disk_turns : turns, [=](benchmark::State& state) { restore(state, codec, cold, fresh); });
      }
    }
  }
  for (const std::string codec : {"none", "fast"}) {
    add("part/" + codec + "/1 leaf of 10,000", disk_turns, [=](benchmark::State& state) { one_leaf(state, codec); });
    add("part/" + codec + "/16 MB of 1 GB", disk_turns, [=](benchmark::State& state) { rows(state, codec); });
  }
}

}  // namespace milepost::bench
