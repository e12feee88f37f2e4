// What do very many small leaves cost?
//
//   cmake --build --preset release --target leaves_bench && build/release/bench/leaves_bench
//
// 100,000 leaves of 64 floats (25.6 MB). Medians of 5 turns:
//   call_ms, saved_ms   save() returns; is committed. Goal: saved within 500 ms
//   opened_ms           a new manager lists the steps, opens the step and reads its manifest. Goal: 300 ms
//   list_ms             the steps are listed again
//   one_ms              one leaf is restored
//   raw_ms              the bytes of the step, raw: written directly and synced, one file
#include "milepost/engine/checkpoint_manager.h"
#include "bench/limits.h"
#include "bench/measure.h"
#include "bench/registry.h"
#include "bench/sample_data.h"

#include <string>
#include <utility>
#include <vector>

namespace milepost::bench {
namespace {

constexpr int turns = 5;
constexpr std::int64_t leaf_count = 100'000;
constexpr std::int64_t values_each = 64;

void leaves(benchmark::State& state, const std::string& codec) {
  const std::vector<float> values = sample::weights(leaf_count * values_each);
  Tree tree;
  Tree& layers = tree["layers"];
  for (std::int64_t i = 0; i < leaf_count; ++i) {
    layers["block" + std::to_string(i / 100)]["w" + std::to_string(i % 100)] =
        Tensor::of(values.data() + i * values_each, {values_each});
  }
  const Items items = {{"state", tree}};
  const Scratch scratch;
  const std::string directory = scratch.path("leaves");
  auto manager = checked(CheckpointManager::open(directory, {.max_to_keep = 2, .codec = checked(Codec::parse(codec))}));
  checked(manager.warm_up(items));
  Samples calls, saves, opens, lists, ones, raw;
  std::int64_t step = 0;
  for (auto _ : state) {
    state.SetIterationTime(saves.add(seconds([&] {
      calls.add(seconds([&] { checked(manager.save(++step, items)); }));
      checked(manager.wait_until_finished());
    })));
    raw.add(raw_write_seconds(scratch.path("raw"), manager.last_save().value().stored_bytes));
    opens.add(seconds([&] {
      auto reader = checked(CheckpointManager::open(directory, {.create = false, .read_only = true}));
      auto opened = checked(reader.open_step(reader.latest_step().value()));
      benchmark::DoNotOptimize(opened.record());
      benchmark::DoNotOptimize(checked(opened.manifest("state")));
    }));
    lists.add(seconds([&] { benchmark::DoNotOptimize(checked(manager.all_steps(true))); }));
    ones.add(seconds([&] {
      const RestoreItem wanted = {.name = "state", .select = {"layers/block731/w42"}};
      benchmark::DoNotOptimize(checked(manager.restore(step, {.items = {wanted}})));
    }));
  }
  state.counters["call_ms"] = 1e3 * calls.median();
  state.counters["saved_ms"] = 1e3 * saves.median();
  state.counters["saved_ms.at_most"] = 500;
  state.counters["raw_ms"] = 1e3 * raw.median();
  state.counters["opened_ms"] = 1e3 * opens.median();
  state.counters["opened_ms.at_most"] = 300;
  state.counters["list_ms"] = 1e3 * lists.median();
  state.counters["one_ms"] = 1e3 * ones.median();
}

}  // namespace

void register_all() {
  for (const std::string codec : {"none", "fast"}) {
    add("leaves/" + codec, turns, [=](benchmark::State& state) { leaves(state, codec); });
  }
}

}  // namespace milepost::bench
