// How long does save() hold up the training loop?
//
//   cmake --build --preset release --target stall_bench && build/release/bench/stall_bench
//
// A GPT's state of 64 MB, 512 MB and 2 GB, saved in each mode with otherwise default options:
//   cold     the first save of a manager
//   warmed   the first save of a manager, after warm_up()
//   later    any save after it
// Each save is waited for, and takes its turn with a memcpy of the same bytes between touched buffers
// on as many threads. Before either the state is rewritten in place on all cores, as by a step of training:
// both begin with the same lines in the caches, and neither pays for what the other has left there.
// Counters are medians of 5 to 25 turns:
//   stall_ms   the call of save()
//   memcpy_ms  the limit
//   of_memcpy  stall_ms / memcpy_ms; goal: copy 0.75 at most, lazy 0.02 at most
#include "milepost/engine/checkpoint_manager.h"
#include "bench/limits.h"
#include "bench/measure.h"
#include "bench/registry.h"
#include "bench/state.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace milepost::bench {
namespace {

// A small state is saved more often: its times are short, and vary more.
int turns_for(std::uint64_t bytes) { return bytes < 100'000'000 ? 25 : bytes < gib ? 9 : 5; }

enum class When { cold, warmed, later };

const std::map<SnapshotMode, double> goals = {{SnapshotMode::copy, 0.75}, {SnapshotMode::lazy, 0.02}};

// What a training step does to the caches: each thread updates its share of the state.
void rewrite(Team& team, const std::vector<Tensor>& tensors) {
  team.run([&](int thread) {
    for (const Tensor& tensor : tensors) {
      const std::int64_t share = (tensor.element_count() + team.size() - 1) / team.size();
      const std::int64_t end = std::min(tensor.element_count(), share * (thread + 1));
      for (std::int64_t i = share * thread; i < end; ++i) tensor.as<float>()[i] *= 0.9999f;
    }
  });
}

CheckpointManager open_manager(const Scratch& scratch, const GptState& gpt, SnapshotMode mode) {
  CheckpointManagerOptions options;
  options.mode = mode;
  options.max_to_keep = 1;
  options.staging_bytes = gpt.bytes() + 256 * mib;  // room for the whole state
  return checked(CheckpointManager::open(scratch.path("stall"), std::move(options)));
}

void stall(benchmark::State& state, SnapshotMode mode, std::uint64_t bytes, When when) {
  const GptState& gpt = gpt_state(bytes);
  const Items items = gpt.items();
  const std::vector<Tensor> tensors = gpt.tensors();
  static Team team(core_count());
  static std::unique_ptr<TouchedArea> area;
  if (!area || area->span().size() != gpt.bytes()) {
    area.reset();
    area = std::make_unique<TouchedArea>(gpt.bytes());
  }

  const Scratch scratch;
  std::optional<CheckpointManager> manager;
  std::int64_t step = 0;
  const auto save = [&] {
    rewrite(team, tensors);
    const double taken = seconds([&] { checked(manager->save(++step, items)); });
    checked(manager->wait_until_finished());
    return taken;
  };
  const auto open = [&] {
    manager.reset();
    manager.emplace(open_manager(scratch, gpt, mode));
    if (when != When::cold) checked(manager->warm_up(items));
  };
  if (when == When::later) {
    open();
    save();
  }

  Samples stalls, copies;
  for (auto _ : state) {
    if (when != When::later) open();
    rewrite(team, tensors);
    copies.add(memcpy_seconds(team, tensors, area->span()));
    state.SetIterationTime(stalls.add(save()));
  }
  state.counters["stall_ms"] = 1e3 * stalls.median();
  state.counters["memcpy_ms"] = 1e3 * copies.median();
  state.counters["of_memcpy"] = stalls.median() / copies.median();
  // A first save into cold memory pays for the memory: the goal is for every save after it.
  const auto goal = goals.find(mode);
  if (goal != goals.end() && !(mode == SnapshotMode::copy && when == When::cold)) {
    state.counters["of_memcpy.at_most"] = goal->second;
  }
}

}  // namespace

void register_all() {
  const std::vector<std::pair<std::string, std::uint64_t>> sizes = {
      {"64 MB", 64'000'000}, {"512 MB", 512'000'000}, {"2 GB", 2'000'000'000}};
  const std::vector<std::pair<std::string, When>> moments = {
      {"cold", When::cold}, {"warmed", When::warmed}, {"later", When::later}};
  for (const auto& [size, bytes] : sizes) {
    for (const SnapshotMode mode : {SnapshotMode::copy, SnapshotMode::lazy, SnapshotMode::borrow, SnapshotMode::cow}) {
      for (const auto& [moment, when] : moments) {
        const std::string name = "stall/" + std::string(to_string(mode)) + "/" + size + "/" + moment;
        const auto run = [=, size_bytes = bytes, at = when](benchmark::State& state) {
          stall(state, mode, size_bytes, at);
        };
        add(name, turns_for(bytes), run);
      }
    }
  }
}

}  // namespace milepost::bench
