// A step of training that costs the same in every process, without the training: computing on all cores, then a pass
// over memory as an optimizer makes it. milepost's side of the comparison calls it here, the peers' side as a shared
// library from Python, which is free to run other threads meanwhile.
#pragma once

#include "bench/measure.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace milepost::bench {

// For one thread at a time; the work is split over as many threads as there are cores, evenly, and each phase ends when
// the last of them has done its part.
class TrainingStep {
 public:
  // `products` of small matrices in compute(); `bytes` that update() reads and writes.
  TrainingStep(std::uint64_t products, std::uint64_t bytes);

  void compute();
  void update();

 private:
  const std::uint64_t products_;
  Team team_{core_count()};
  std::vector<float> memory_;
  std::vector<float> sums_ = std::vector<float>(team_.size());  // of each thread's last product
};

}  // namespace milepost::bench

extern "C" {
void* training_step_new(std::uint64_t products, std::uint64_t bytes);
void training_step_compute(void* step);
void training_step_update(void* step);
void training_step_delete(void* step);
}
