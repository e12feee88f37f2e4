// One trial of milepost, in a process of its own; prints one line of JSON. bench/peers/driver.py runs it in turn with
// trial.py, which does the same for milepost's peers.
//
//   milepost_peer state FILE BYTES                      writes the state to measure with, as safetensors
//   milepost_peer limits STATE DIRECTORY - -
//   milepost_peer save STATE DIRECTORY CODEC MODE LEAF PARTS   parts: "check,restore", or one of them
//   milepost_peer leaves STATE DIRECTORY CODEC MODE COUNT PARTS
//   milepost_peer codec STATE DIRECTORY CODEC MODE
//   milepost_peer loop STATE DIRECTORY CODEC MODE PRODUCTS UPDATE_BYTES STEPS_BETWEEN SAVES
//   milepost_peer steps - DIRECTORY CODEC MODE COUNT
#include "bench/measure.h"
#include "bench/peers/wide_state.h"
#include "bench/peers/workloads.h"
#include "bench/real_state.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace milepost::bench {
namespace {

// An uncompressed data file is a safetensors file.
void write_state(const std::string& file, std::uint64_t bytes) {
  const std::string directory = file + ".part";
  auto manager = checked(CheckpointManager::open(directory, {.codec = Codec::none()}));
  checked(manager.save(0, {{"state", checked(wide_state(bytes))}}));
  checked(manager.close());
  std::filesystem::rename(directory + "/0/state/data-0.safetensors", file);
  std::filesystem::remove_all(directory);
}

int run(const std::vector<std::string>& arguments) {
  const auto argument = [&](std::size_t index) {
    if (index < arguments.size()) return arguments[index];
    std::fprintf(stderr, "milepost_peer: too few arguments\n");
    std::exit(2);
  };
  const auto number = [&](std::size_t index) { return std::strtoull(argument(index).c_str(), nullptr, 10); };
  const std::string workload = argument(0);
  if (workload == "state") {
    write_state(argument(1), number(2));
    return 0;
  }
  Trial trial{argument(2)};
  std::filesystem::create_directories(trial.directory);
  const Tree state = workload == "steps" ? Tree() : checked(read_safetensors(argument(1)));
  if (workload == "limits") {
    limits_workload(trial, state);
    return 0;
  }
  trial.codec = checked(Codec::parse(argument(3)));
  const auto mode = parse_snapshot_mode(argument(4));
  if (!mode) {
    std::fprintf(stderr, "milepost_peer: no mode %s\n", argument(4).c_str());
    return 2;
  }
  trial.mode = *mode;
  const auto parts = [&] {
    const std::string words = argument(6);
    return Parts{words.find("check") != std::string::npos, words.find("restore") != std::string::npos};
  };
  if (workload == "save") {
    save_workload(trial, state, argument(5), parts());
  } else if (workload == "leaves") {
    const Tree leaves = small_leaves(state, static_cast<int>(number(5)));
    save_workload(trial, leaves, "block3.w42", parts());
  } else if (workload == "codec") {
    codec_workload(trial, state);
  } else if (workload == "loop") {
    loop_workload(trial, state, {number(5), number(6), static_cast<int>(number(7)), static_cast<int>(number(8))});
  } else if (workload == "steps") {
    steps_workload(trial, static_cast<int>(number(5)));
  } else {
    std::fprintf(stderr, "milepost_peer: no workload %s\n", workload.c_str());
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace milepost::bench

int main(int count, char** values) { return milepost::bench::run({values + 1, values + count}); }
