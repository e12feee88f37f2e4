// milepost plan: what a policy would keep.
#include "tools/milepost/keep_plan.h"

#include "milepost/io/try.h"

#include <cstdio>

namespace milepost::tool {

Result<int> run_plan(const CommonOptions& common, const KeepOptions& options) {
  MILEPOST_ASSIGN(CheckpointDirectory directory, CheckpointDirectory::open(common.directory, common.prefix));
  MILEPOST_ASSIGN(const KeepPlan plan, make_keep_plan(directory, options));
  const int status = plan.damaged() > 0 ? status_damaged : status_ok;
  if (common.json) {
    Json steps = Json::array();
    for (const PlannedStep& step : plan.steps) steps.push_back(json_of(step));
    print_json({{"directory", directory.path()},
                {"keeps", plan.kept().steps},
                {"keeps_bytes", plan.kept().bytes},
                {"removes", plan.removed().steps},
                {"frees_bytes", plan.removed().bytes},
                {"steps", std::move(steps)}});
  } else if (plan.steps.empty()) {
    std::printf("%s holds no step yet\n", directory.path().c_str());
  } else {
    std::fputs(text_of(plan).c_str(), stdout);
  }
  return status;
}

}  // namespace milepost::tool
