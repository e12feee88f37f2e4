#include "bench/measure.h"
#include "bench/peers/figures.h"
#include "bench/peers/workloads.h"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace milepost::bench {

void steps_workload(const Trial& trial, int steps) {
  std::vector<float> values(256, 1.0f);
  Tree tree;
  tree["values"] = Tensor::of(values.data(), {256});
  if (std::filesystem::is_empty(trial.directory)) {
    auto manager = checked(CheckpointManager::open(trial.directory, {.mode = trial.mode, .codec = trial.codec}));
    for (int step = 1; step <= steps; ++step)
      checked(manager.save(step, {{"state", tree}}, {.metrics = {{"loss", 1.0}}}));
    checked(manager.close());
  }
  Figures figures;
  std::vector<std::int64_t> listed;
  figures.set("open_s", seconds([&] {
                auto manager = checked(CheckpointManager::open(trial.directory));
                listed = checked(manager.all_steps());
              }));
  if (static_cast<int>(listed.size()) != steps) std::exit(1);
  figures.print();
}

}  // namespace milepost::bench
