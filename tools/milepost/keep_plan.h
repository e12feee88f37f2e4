// What is to be kept of a directory, and why: `plan` shows it, `prune` carries it out.
#pragma once

#include "tools/milepost/checkpoint_directory.h"
#include "tools/milepost/commands.h"
#include "tools/milepost/json.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace milepost::tool {

struct PlannedStep {
  std::int64_t step = 0;
  std::int64_t commit_unix_ns = 0;
  std::uint64_t stored_bytes = 0;
  std::optional<double> metric;  // the one that steps are ranked by
  bool keep = true;
  std::string reason;
  std::optional<Error> damage;  // the record cannot be read: nothing else is known, and the step is kept
};

struct KeepPlan {
  std::string metric;  // empty: steps are not ranked
  std::vector<PlannedStep> steps;

  struct Sum {
    std::uint64_t steps = 0;
    std::uint64_t bytes = 0;
  };
  Sum kept() const;
  Sum removed() const;
  std::uint64_t damaged() const;
};

// invalid_argument, with the way out, if the options do not say what to keep.
Result<KeepPlan> make_keep_plan(CheckpointDirectory& directory, const KeepOptions& options);

// The steps, and a line that sums up.
std::string text_of(const KeepPlan& plan);
Json json_of(const PlannedStep& step);

}  // namespace milepost::tool
