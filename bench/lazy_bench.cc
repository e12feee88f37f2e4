// How much does a save slow a training loop that rewrites its whole state in every step?
//
//   cmake --build --preset release --target lazy_bench && build/release/bench/lazy_bench
//
// The loop: a compute phase that stays in the cache (forward and backward), fence(), and an update that
// streams over weights and both moments as Adam does; on as many threads as there are cores ("busy") or
// on one less ("spare"). Now and then a step begins with a save. Times are in units of P, the stall of a
// save in copy mode in the same run; the compute phase lasts about 4 P. Medians of 11 saves, each beside
// the three steps before and after it. In mode cow there is no fence. "disk" is the limit: what the disk alone costs
// such a loop, raw direct writes of as many bytes by other threads in place of the save:
//   freeze_p  how much longer than others the step with the save takes, from the call of save() to the
//             end of the update; goal for lazy mode: 1.1 at most when busy, 0.25 at most with a spare core; cow: 1.5,
//             0.45
//   total_p   how much longer all steps take together, from the call of save() until it is committed:
//             includes digests and writing, which share the cores and the memory with the loop
//   p_ms, step_ms, steps   P, a step without a save, and how many steps a save lasted
#include "milepost/engine/checkpoint_manager.h"
#include "bench/limits.h"
#include "bench/measure.h"
#include "bench/registry.h"
#include "bench/state.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace milepost::bench {
namespace {

constexpr std::uint64_t state_bytes = 512'000'000;
constexpr int turns = 11;

// The training loop, without the training.
class Loop {
 public:
  Loop(const GptState& gpt, int threads) : team_(threads) {
    for (const GptParameter& parameter : gpt.parameters()) {
      const auto count = static_cast<std::size_t>(parameter.values[0].element_count());
      for (std::size_t at = 0; at < count; at += piece) {
        const auto part = [&](std::size_t k) { return parameter.values[k].as<float>() + at; };
        pieces_.push_back({part(0), part(1), part(2), std::min(piece, count - at)});
      }
    }
    gradient_.assign(piece, 1e-4f);
  }

  void compute(std::uint64_t rounds) {
    team_.run([&](int) {
      std::array<float, 512> values;
      values.fill(0.5f);
      for (std::uint64_t i = 0; i < rounds; ++i) {
        for (float& value : values) value = value * 0.999f + 0.0005f;
        benchmark::DoNotOptimize(values);
      }
    });
  }

  void update() {
    team_.run([&](int thread) {
      const std::size_t share = (pieces_.size() + team_.size() - 1) / team_.size();
      const std::size_t end = std::min(pieces_.size(), share * (thread + 1));
      for (std::size_t i = share * thread; i < end; ++i) adam(pieces_[i]);
    });
  }

 private:
  static constexpr std::size_t piece = 64 * 1024;
  struct Piece {
    float *p, *m, *v;
    std::size_t count;
  };

  void adam(const Piece& part) const {
    float* __restrict p = part.p;
    float* __restrict m = part.m;
    float* __restrict v = part.v;
    const float* __restrict gradient = gradient_.data();
    for (std::size_t i = 0; i < part.count; ++i) {
      m[i] = 0.9f * m[i] + 0.1f * gradient[i];
      v[i] = 0.999f * v[i] + 0.001f * gradient[i] * gradient[i];
      p[i] -= 1e-6f * m[i] / (std::sqrt(v[i]) + 1e-8f);
    }
  }

  Team team_;
  std::vector<Piece> pieces_;
  std::vector<float> gradient_;
};

double copy_stall_seconds(CheckpointManager& manager, const Items& items, std::int64_t& step) {
  Samples samples;
  for (int i = 0; i < 5; ++i) {
    samples.add(seconds([&] { checked(manager.save(++step, items, {.mode = SnapshotMode::copy})); }));
    checked(manager.wait_until_finished());
  }
  return samples.median();
}

// Writes of as many bytes as the state has, by nobody's save.
class RawWrites {
 public:
  explicit RawWrites(const std::string& path) : path_(path) {}
  void start(std::uint64_t bytes) {
    going_ = true;
    thread_ = std::jthread([this, bytes] {
      raw_write_seconds(path_, bytes);
      going_ = false;
    });
  }
  bool is_going() const { return going_; }

 private:
  const std::string path_;
  std::atomic<bool> going_{false};
  std::jthread thread_;
};

// Without a mode: raw writes, and no save.
void slowdown(benchmark::State& state, std::optional<SnapshotMode> mode, int threads, double goal) {
  const GptState& gpt = gpt_state(state_bytes);
  const Items items = gpt.items();
  const Scratch scratch;
  CheckpointManagerOptions options;
  options.mode = mode.value_or(SnapshotMode::copy);
  options.codec = Codec::none();
  options.max_to_keep = 1;
  options.staging_bytes = gpt.bytes() + 256 * mib;
  auto manager = checked(CheckpointManager::open(scratch.path("lazy"), std::move(options)));
  checked(manager.warm_up(items));
  std::int64_t step = 0;
  const double p = copy_stall_seconds(manager, items, step);

  Loop loop(gpt, threads);
  loop.update();
  constexpr std::uint64_t trial = 1'000'000;  // long enough that waking the threads is nothing beside it
  double fastest = seconds([&] { loop.compute(trial); });
  for (int i = 0; i < 4; ++i) fastest = std::min(fastest, seconds([&] { loop.compute(trial); }));
  const auto rounds = static_cast<std::uint64_t>(static_cast<double>(trial) * 4 * p / fastest);
  RawWrites writes(scratch.path("raw"));
  const auto train = [&](bool saving) {
    return seconds([&] {
      if (saving && mode) checked(manager.save(++step, items));
      if (saving && !mode) writes.start(gpt.bytes());
      loop.compute(rounds);
      if (mode == SnapshotMode::lazy) manager.fence();
      loop.update();
    });
  };

  constexpr int apart = 3;  // steps between two saves
  const auto plain_steps = [&] {
    std::array<double, apart> taken{};
    for (double& one : taken) one = train(false);
    return taken;
  };
  Samples plain, freezes, totals, lengths;
  std::array<double, apart> before = plain_steps();
  for (auto _ : state) {
    const double first = train(true);
    double total = first;
    double steps = 1;
    while (manager.is_saving_in_progress() || writes.is_going()) {
      total += train(false);
      ++steps;
    }
    checked(manager.wait_until_finished());
    const std::array<double, apart> after = plain_steps();
    Samples near;  // the machine's speed drifts
    for (const auto& side : {before, after}) {
      for (const double one : side) near.add(one);
    }
    before = after;
    plain.add(near.median());
    freezes.add(first - near.median());
    totals.add(total - steps * near.median());
    lengths.add(steps);
    state.SetIterationTime(first);
  }
  state.counters["p_ms"] = 1e3 * p;
  state.counters["step_ms"] = 1e3 * plain.median();
  state.counters["freeze_p"] = freezes.median() / p;
  state.counters["total_p"] = totals.median() / p;
  state.counters["steps"] = lengths.median();
  if (goal > 0) state.counters["freeze_p.at_most"] = goal;
}

}  // namespace

void register_all() {
  const auto add_loop = [](const std::string& name, std::optional<SnapshotMode> mode, int threads, double goal) {
    const auto run = [=](benchmark::State& state) { slowdown(state, mode, threads, goal); };
    add(name, turns, run);
  };
  const int cores = core_count();
  add_loop("loop/lazy/busy", SnapshotMode::lazy, cores, 1.1);
  add_loop("loop/cow/busy", SnapshotMode::cow, cores, 1.5);
  add_loop("loop/copy/busy", SnapshotMode::copy, cores, 0);
  add_loop("loop/disk/busy", std::nullopt, cores, 0);
  if (cores == 1) return;
  add_loop("loop/lazy/spare", SnapshotMode::lazy, cores - 1, 0.25);
  add_loop("loop/cow/spare", SnapshotMode::cow, cores - 1, 0.45);
  add_loop("loop/copy/spare", SnapshotMode::copy, cores - 1, 0);
  add_loop("loop/disk/spare", std::nullopt, cores - 1, 0);
}

}  // namespace milepost::bench
