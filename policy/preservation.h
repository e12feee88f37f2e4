// Which steps survive. Pure: no I/O, no clock, no threads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace milepost {

struct PreservationDecision {
  std::int64_t step = 0;
  bool keep = true;
  std::string reason;  // "among the latest 3", "older than the latest 3"
};

// Decides for every one of `steps` (ascending). Without max_to_keep all are kept; max_to_keep is not
// negative. The newest step is kept whatever the policy says: a job must be able to resume.
std::vector<PreservationDecision> plan_preservation(std::span<const std::int64_t> steps,
                                                    std::optional<int> max_to_keep);

}  // namespace milepost
