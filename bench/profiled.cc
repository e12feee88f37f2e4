// Saves or restores a trained state of about 1 GB several times, and lets perf look at nothing but that: tools/profile.
//
//   profiled save|restore CODEC TIMES
//
// $MILEPOST_BENCH_PERF_CONTROL names the two pipes of `perf record --control=fifo:CONTROL,ACK`, as CONTROL,ACK.
#include "milepost/engine/checkpoint_manager.h"
#include "bench/limits.h"
#include "bench/measure.h"
#include "bench/real_state.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace milepost::bench {
namespace {

constexpr std::uint64_t state_bytes = 1'000'000'000;

class Perf {
 public:
  Perf() {
    const char* const pipes = std::getenv("MILEPOST_BENCH_PERF_CONTROL");
    if (!pipes) return;
    const std::string both = pipes;
    control_.open(both.substr(0, both.find(',')), std::ios::out);
    ack_.open(both.substr(both.find(',') + 1), std::ios::in);
  }
  template <class Function> void look_at(Function function) {
    say("enable");
    function();
    say("disable");
  }

 private:
  void say(const char* command) {
    if (!control_.is_open()) return;
    control_ << command << std::endl;
    std::string done;
    std::getline(ack_, done);
  }

  std::ofstream control_;
  std::ifstream ack_;
};

void save(const Codec& codec, int times) {
  const Scratch scratch;
  const Items items = {{"state", repeat(checked(trained_state()), state_bytes)}};
  auto manager = checked(CheckpointManager::open(scratch.path("save"), {.codec = codec}));
  checked(manager.warm_up(items));
  Perf perf;
  for (int step = 0; step < times; ++step) {
    perf.look_at([&] {
      checked(manager.save(step, items));
      checked(manager.wait_until_finished());
    });
    checked(manager.delete_step(step));
    scratch.settle();
  }
}

void restore(const Codec& codec, int times) {
  const Scratch scratch;
  auto manager = checked(CheckpointManager::open(scratch.path("saved"), {.codec = codec}));
  checked(manager.save(0, {{"state", repeat(checked(trained_state()), state_bytes)}}));
  checked(manager.wait_until_finished());
  Restored buffers = checked(manager.restore());
  checked(manager.close());
  Perf perf;
  for (int i = 0; i < times; ++i) {
    make_cold(scratch.path("saved"));
    perf.look_at([&] {
      auto reader = checked(CheckpointManager::open(scratch.path("saved"), {.create = false, .read_only = true}));
      checked(reader.restore_latest(buffers.tree()));
    });
  }
}

}  // namespace
}  // namespace milepost::bench

int main(int count, char** values) {
  using namespace milepost::bench;
  if (count != 4) {
    std::fprintf(stderr, "usage: profiled save|restore CODEC TIMES\n");
    return 2;
  }
  const auto codec = checked(milepost::Codec::parse(values[2]));
  (std::string(values[1]) == "save" ? save : restore)(codec, std::atoi(values[3]));
}
