// The workloads of bench/peers, for milepost. bench/peers/trial.py has the same for its peers.
#pragma once

#include "milepost/engine/checkpoint_manager.h"

#include <cstdint>
#include <string>

namespace milepost::bench {

struct Trial {
  std::string directory;  // where to save; empty
  Codec codec = Codec::none();
  SnapshotMode mode = SnapshotMode::copy;
};

struct Parts {
  bool check = false;    // whether what the first save saved is what the state was at the call
  bool restore = false;  // whether all and a leaf are restored
};
// Saves twice, the first time changing the state as soon as that is allowed.
void save_workload(const Trial& trial, const Tree& state, const std::string& leaf, const Parts& parts);

struct LoopShape {
  std::uint64_t products = 0;      // TrainingStep's
  std::uint64_t update_bytes = 0;  // TrainingStep's
  int steps_between = 0;           // saves
  int saves = 0;
};
// Trains without saves, with saves, and without.
void loop_workload(const Trial& trial, const Tree& state, const LoopShape& shape);

// Opens and lists a directory of so many steps, which is made if it is empty.
void steps_workload(const Trial& trial, int steps);

// Codes and decodes on one core, chunk by chunk.
void codec_workload(const Trial& trial, const Tree& state);

// The machine's limits for that many bytes of state.
void limits_workload(const Trial& trial, const Tree& state);

}  // namespace milepost::bench
