// milepost prune: removes what a policy does not keep.
#include "tools/milepost/keep_plan.h"
#include "tools/milepost/terminal.h"
#include "tools/milepost/text.h"

#include "milepost/io/try.h"

#include <array>
#include <cstdio>
#include <set>

namespace milepost::tool {
namespace {

bool confirms(const KeepPlan::Sum& victims) {
  const std::string what = counted(victims.steps, "step", "steps") + ", " + human_bytes(victims.bytes);
  std::printf("\nRemove %s? [y/N] ", what.c_str());
  std::fflush(stdout);
  std::array<char, 16> answer{};
  if (std::fgets(answer.data(), answer.size(), stdin) == nullptr) {
    std::printf("\n");  // nobody pressed return
    return false;
  }
  const std::string_view text(answer.data());
  return text == "y\n" || text == "yes\n" || text == "Y\n";
}

// Time has passed since the plan was shown: of what it removes, only what a new plan removes too still goes.
Result<KeepPlan> plan_again(CheckpointDirectory& directory, const CommonOptions& common, const KeepOptions& options,
                            KeepPlan plan) {
  MILEPOST_ASSIGN(directory, CheckpointDirectory::open(common.directory, common.prefix, Access::change));
  MILEPOST_ASSIGN(const KeepPlan now, make_keep_plan(directory, options));
  std::set<std::int64_t> unwanted;
  for (const PlannedStep& step : now.steps) {
    if (!step.keep) unwanted.insert(step.step);
  }
  for (PlannedStep& step : plan.steps) {
    if (!unwanted.contains(step.step)) step.keep = true;
  }
  return plan;
}

Collected carry_out(CheckpointDirectory& directory, const KeepPlan& plan) {
  std::vector<std::int64_t> victims;
  for (const PlannedStep& step : plan.steps) {
    if (!step.keep) victims.push_back(step.step);
  }
  return directory.remove_steps(victims);
}

std::uint64_t freed_bytes(const KeepPlan& plan, const std::set<std::int64_t>& removed) {
  std::uint64_t bytes = 0;
  for (const PlannedStep& step : plan.steps) bytes += removed.contains(step.step) ? step.stored_bytes : 0;
  return bytes;
}

void print_outcome(const KeepPlan& plan, const Collected& collected) {
  for (const std::int64_t step : collected.in_use) {
    std::printf("%s  %s\n", coloured(Colour::bold, "step " + std::to_string(step)).c_str(),
                coloured(Colour::yellow, "somebody has it open; it was not touched").c_str());
  }
  if (collected.error) {
    std::printf("%s\n", coloured(Colour::red, printable(collected.error->to_string())).c_str());
  }
  const bool all = collected.in_use.empty() && !collected.error;
  const std::string summary = "removed " + counted(collected.removed.size(), "step", "steps") + ", freed " +
                              human_bytes(freed_bytes(plan, {collected.removed.begin(), collected.removed.end()}));
  std::printf("%s\n", coloured(all ? Colour::green : Colour::yellow, summary).c_str());
}

void print_outcome_json(const std::string& path, const KeepPlan& plan, const Collected& collected) {
  const std::set<std::int64_t> removed(collected.removed.begin(), collected.removed.end());
  const std::set<std::int64_t> in_use(collected.in_use.begin(), collected.in_use.end());
  Json steps = Json::array();
  for (const PlannedStep& step : plan.steps) {
    Json entry = json_of(step);
    entry["removed"] = removed.contains(step.step);
    if (!step.keep) entry["in_use"] = in_use.contains(step.step);
    steps.push_back(std::move(entry));
  }
  Json document = {{"directory", path},
                   {"removed", removed.size()},
                   {"in_use", in_use.size()},
                   {"freed_bytes", freed_bytes(plan, removed)},
                   {"steps", std::move(steps)}};
  if (collected.error) document["error"] = json_error(*collected.error);
  print_json(document);
}

}  // namespace

Result<int> run_prune(const CommonOptions& common, const KeepOptions& options, bool yes) {
  if (!yes && (common.json || !stdin_is_terminal() || !stdout_is_terminal())) {
    return Error(ErrorCode::failed_precondition,
                 "there is nobody to ask: look at milepost plan with the same options, then add --yes");
  }
  MILEPOST_ASSIGN(CheckpointDirectory directory,
                  CheckpointDirectory::open(common.directory, common.prefix, Access::change));
  MILEPOST_ASSIGN(KeepPlan plan, make_keep_plan(directory, options));
  if (!common.json) {
    std::fputs(plan.steps.empty() ? (directory.path() + " holds no step yet\n").c_str() : text_of(plan).c_str(),
               stdout);
    std::fflush(stdout);
  }
  const int status = plan.damaged() > 0 ? status_damaged : status_ok;
  const KeepPlan::Sum victims = plan.removed();
  if (victims.steps > 0 && !yes) {
    if (!confirms(victims)) {
      std::printf("nothing was removed\n");
      return status_damaged;
    }
    MILEPOST_ASSIGN(plan, plan_again(directory, common, options, std::move(plan)));
  }
  const Collected collected = carry_out(directory, plan);
  if (common.json) {
    print_outcome_json(directory.path(), plan, collected);
  } else if (victims.steps > 0 || collected.error) {
    print_outcome(plan, collected);
  }
  return collected.in_use.empty() && !collected.error ? status : status_damaged;
}

}  // namespace milepost::tool
