#include "bench/measure.h"
#include "bench/peers/figures.h"
#include "bench/peers/training_step.h"
#include "bench/peers/workloads.h"

#include <string>

namespace milepost::bench {

void loop_workload(const Trial& trial, const Tree& state, const LoopShape& shape) {
  Figures figures;
  const Items items = {{"state", state}};
  auto manager = checked(CheckpointManager::open(trial.directory, {.mode = trial.mode, .codec = trial.codec}));
  checked(manager.warm_up(items));
  TrainingStep training(shape.products, shape.update_bytes);
  const auto train = [&] {
    training.compute();
    if (trial.mode == SnapshotMode::lazy) manager.fence();
    training.update();
  };
  const auto train_without = [&] {
    return seconds([&] {
      for (int i = 0; i < shape.steps_between; ++i) train();
    });
  };
  train();
  checked(manager.save(0, items));
  checked(manager.wait_until_finished());
  sync_file_system(trial.directory);

  const double before = train_without();
  Samples calls;
  const double with_saves = seconds([&] {
    for (int i = 0; i < shape.saves * shape.steps_between; ++i) {
      if (i % shape.steps_between == 0) calls.add(seconds([&] { checked(manager.save(i + 1, items)); }));
      train();
    }
    checked(manager.wait_until_finished());
  });
  sync_file_system(trial.directory);
  const double plain = (before + train_without()) / 2;
  figures.set("call_s", calls.median());
  figures.set("step_s", plain / shape.steps_between);
  figures.set("lost_s", with_saves - shape.saves * plain);
  figures.set("lost", with_saves / (shape.saves * plain) - 1);
  figures.print();
}

}  // namespace milepost::bench
