// The training process: what a user's own program looks like with milepost in it.
#pragma once

#include "milepost/io/error.h"

#include <cstdint>
#include <string>

namespace main_job {

struct TrainOptions {
  std::string corpus;
  std::int64_t steps = 0;
  int threads = 2;
  std::string checkpoints;  // the directory; empty: train without
  std::int64_t save_every = 1;
  std::string policy;  // when to save instead: continuous:SECONDS, overhead:SHARE or young-daly:SECONDS
  std::string mode = "copy";
  std::string codec = "fast";
};

// Trains from the latest checkpoint, or from the beginning, to the last step, or until told to stop
// (SIGTERM); logs as in run_log.h.
milepost::Result<void> train(const TrainOptions& options);

}  // namespace main_job
