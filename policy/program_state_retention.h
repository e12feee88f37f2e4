// Which versions of a federated program's state survive: the rule of TensorFlow Federated's FileProgramStateManager,
// and, with keep_every_k = 1, of its simulation FileCheckpointManager.
#pragma once

#include "milepost/policy/preservation.h"

namespace milepost {

// Candidates are the multiples of keep_every_k, the newest, and, if keep_first, the first; all else goes. If there are
// more candidates than keep_total, and that is not 0 or less, the first (if keep_first) and the newest of them remain,
// keep_total together, but at the least the newest.
//
// A preservation policy like those of policy/preservation.h, with what is promised there.
struct ProgramStateRetention {
  std::int64_t keep_total = 5;
  bool keep_first = true;
  std::int64_t keep_every_k = 1;  // at least 1; with less, all are kept

  std::vector<PreservationDecision> operator()(std::span<const StepInfo> steps) const;
};

}  // namespace milepost
