// milepost prune: removes what a policy does not keep.
#include "tools/milepost/keep_plan.h"
#include "tools/milepost/terminal.h"
#include "tools/milepost/text.h"

#include "milepost/io/try.h"

#include <array>
#include <cstdio>
#include <map>
#include <set>

namespace milepost::tool {
namespace {

// What came of the steps that were to be removed.
struct Outcome {
  std::set<std::int64_t> removed;
  std::map<std::int64_t, Error> failed;
  std::uint64_t freed_bytes = 0;
};

bool confirms(const KeepPlan::Sum& victims) {
  const std::string what = counted(victims.steps, "step", "steps") + ", " + human_bytes(victims.bytes);
  std::printf("\nRemove %s? [y/N] ", what.c_str());
  std::fflush(stdout);
  std::array<char, 16> answer{};
  if (std::fgets(answer.data(), answer.size(), stdin) == nullptr) return false;
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

Outcome carry_out(CheckpointDirectory& directory, const KeepPlan& plan) {
  Outcome outcome;
  for (const PlannedStep& step : plan.steps) {
    if (step.keep) continue;
    const auto removed = directory.remove_step(step.step);
    if (removed.has_value()) {
      outcome.removed.insert(step.step);
      outcome.freed_bytes += step.stored_bytes;
    } else if (removed.error().code() != ErrorCode::not_found) {  // somebody else was faster
      outcome.failed.emplace(step.step, removed.error());
    }
  }
  return outcome;
}

void print_outcome(const Outcome& outcome) {
  for (const auto& [step, error] : outcome.failed) {
    const std::string why = error.code() == ErrorCode::unavailable
                                ? "somebody has it open; it was not touched"
                                : "could not be removed: " + printable(error.to_string());
    std::printf("%s  %s\n", coloured(Colour::bold, "step " + std::to_string(step)).c_str(),
                coloured(Colour::yellow, why).c_str());
  }
  const std::string summary =
      "removed " + counted(outcome.removed.size(), "step", "steps") + ", freed " + human_bytes(outcome.freed_bytes);
  std::printf("%s\n", coloured(outcome.failed.empty() ? Colour::green : Colour::yellow, summary).c_str());
}

void print_outcome_json(const std::string& path, const KeepPlan& plan, const Outcome& outcome) {
  Json steps = Json::array();
  for (const PlannedStep& step : plan.steps) {
    Json entry = json_of(step);
    entry["removed"] = outcome.removed.contains(step.step);
    if (const auto failed = outcome.failed.find(step.step); failed != outcome.failed.end()) {
      entry["error"] = json_error(failed->second);
    }
    steps.push_back(std::move(entry));
  }
  print_json({{"directory", path},
              {"removed", outcome.removed.size()},
              {"failed", outcome.failed.size()},
              {"freed_bytes", outcome.freed_bytes},
              {"steps", std::move(steps)}});
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
  const Outcome outcome = carry_out(directory, plan);
  if (common.json) {
    print_outcome_json(directory.path(), plan, outcome);
  } else if (victims.steps > 0) {
    print_outcome(outcome);
  }
  return outcome.failed.empty() ? status : status_damaged;
}

}  // namespace milepost::tool
