// What the main job shows at its end.
#pragma once

#include "examples/main_job/run_log.h"

#include <cstdint>
#include <string>
#include <vector>

namespace main_job {

struct Outcome {
  RunLog uninterrupted;
  std::vector<RunLog> interrupted;  // one for each process, in order; the last one finished
  std::string torn_attempt;         // the directory that the kill left behind
  std::string directory;            // of the checkpoints
  double disk_gb_per_s = 0;
  std::string when;  // "every 3 steps", or a policy
  std::string mode;
  std::string codec;
};

// Prints the report; true if every loss and the final state are the same bit for bit.
bool print_report(const Outcome& outcome);

}  // namespace main_job
