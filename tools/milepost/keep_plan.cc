#include "tools/milepost/keep_plan.h"

#include "tools/milepost/step_totals.h"
#include "tools/milepost/terminal.h"
#include "tools/milepost/text.h"

#include "milepost/io/refusal.h"
#include "milepost/io/try.h"
#include "milepost/policy/preservation.h"

#include <cstdio>
#include <set>

namespace milepost::tool {
namespace {

Result<double> duration_of(const std::string& option, const std::string& text) {
  if (const auto seconds = parse_duration(text)) return *seconds;
  return invalid(option + ": \"" + text + "\" is no duration: say 90s, 30m, 1h30m or 7d");
}

// By the metric that the options name, if steps can be ranked by it.
Result<BestN> best_of(const KeepOptions& options, const std::vector<StepInfo>& steps) {
  std::set<std::string, std::less<>> names;
  for (const StepInfo& step : steps) {
    for (const auto& [name, value] : step.metrics) names.insert(name);
  }
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  const std::string known = names.empty() ? "no step has a metric" : "the steps have: " + list;
  if (options.metric.empty()) return invalid("--keep-best needs --metric NAME; " + known);
  if (options.mode.empty()) {
    return invalid("--keep-best needs --mode min, where less is better (a loss), or --mode max (an accuracy)");
  }
  // A name with a slip in it would otherwise make all steps worthless.
  if (!steps.empty() && !names.contains(options.metric)) {
    return invalid("--metric: no step has \"" + options.metric + "\"; " + known);
  }
  return BestN{[name = options.metric](const Metrics& metrics) { return metrics.at(name); },
               options.mode == "min" ? BestMode::min : BestMode::max, *options.best, !options.drop_without_metrics};
}

Result<PreservationPolicy> policy_of(const KeepOptions& options, const CheckpointDirectory& directory,
                                     const std::vector<StepInfo>& steps) {
  AnyPreservationPolicy any;
  if (options.latest) any.policies.emplace_back(LatestN{*options.latest});
  if (options.best) {
    MILEPOST_ASSIGN(BestN best, best_of(options, steps));
    any.policies.emplace_back(std::move(best));
  } else if (!options.metric.empty() || !options.mode.empty() || options.drop_without_metrics) {
    return invalid("--metric, --mode and --drop-without-metrics say how to rank: add --keep-best N");
  }
  if (options.every_steps) any.policies.emplace_back(EveryNSteps{*options.every_steps});
  if (!options.every_duration.empty()) {
    MILEPOST_ASSIGN(const double seconds, duration_of("--keep-every-duration", options.every_duration));
    any.policies.emplace_back(EveryNSeconds{seconds});
  }
  if (!options.last_duration.empty()) {
    MILEPOST_ASSIGN(const double seconds, duration_of("--keep-last-duration", options.last_duration));
    any.policies.emplace_back(LatestDuration{seconds});
  }
  if (!options.steps.empty()) {
    CustomSteps chosen;
    for (const std::string& name : options.steps) {
      MILEPOST_ASSIGN(const std::int64_t step, directory.find_step(name));
      chosen.steps_to_keep.insert(step);
    }
    any.policies.emplace_back(std::move(chosen));
  }
  if (any.policies.empty()) {
    return invalid("say what to keep, such as --keep-latest 5; several --keep options add up, and --help lists them");
  }
  return PreservationPolicy(std::move(any));
}

}  // namespace

KeepPlan::Sum KeepPlan::kept() const {
  Sum sum;
  for (const PlannedStep& step : steps) {
    if (step.keep) sum = {sum.steps + 1, sum.bytes + step.stored_bytes};
  }
  return sum;
}

KeepPlan::Sum KeepPlan::removed() const {
  Sum sum;
  for (const PlannedStep& step : steps) {
    if (!step.keep) sum = {sum.steps + 1, sum.bytes + step.stored_bytes};
  }
  return sum;
}

std::uint64_t KeepPlan::damaged() const {
  std::uint64_t count = 0;
  for (const PlannedStep& step : steps) count += step.damage ? 1 : 0;
  return count;
}

Result<KeepPlan> make_keep_plan(CheckpointDirectory& directory, const KeepOptions& options) {
  KeepPlan plan;
  if (options.best) plan.metric = options.metric;
  std::vector<StepInfo> readable;
  for (const std::int64_t step : directory.steps()) {
    const auto record = directory.read_record(step);
    PlannedStep planned;
    planned.step = step;
    if (record.has_value()) {
      planned.commit_unix_ns = record->commit_unix_ns;
      planned.stored_bytes = totals_of(*record).stored_bytes;
      if (const auto metric = record->metrics.find(plan.metric); metric != record->metrics.end()) {
        planned.metric = metric->second;
      }
      readable.push_back({step, record->commit_unix_ns, record->metrics});
    } else {
      if (record.error().code() == ErrorCode::not_found) continue;  // removed since the directory was listed
      if (record.error().code() == ErrorCode::io) return record.error();
      planned.damage = record.error();
      planned.reason = "it cannot be read";
    }
    plan.steps.push_back(std::move(planned));
  }
  // A damaged step is no step to resume from: the newest of the others is kept too.
  MILEPOST_ASSIGN(const PreservationPolicy policy, policy_of(options, directory, readable));
  auto decisions = plan_preservation(policy, readable);
  auto decision = decisions.begin();
  for (PlannedStep& planned : plan.steps) {
    if (planned.damage) continue;
    planned.keep = decision->keep;
    planned.reason = std::move(decision->reason);
    ++decision;
  }
  return plan;
}

std::string text_of(const KeepPlan& plan) {
  const std::int64_t now = now_unix_ns();
  using enum Table::Align;
  Table table({{"STEP", right},
               {"AGE", right},
               {printable(plan.metric), right},
               {"FREES", right},
               {"PLAN", left},
               {"REASON", left}});
  for (const PlannedStep& step : plan.steps) {
    const Table::Cell name = {std::to_string(step.step), Colour::bold};
    if (step.damage) {
      table.add_note(name, {"keep, for it cannot be read: " + printable(step.damage->to_string()), Colour::red});
      continue;
    }
    char metric[40] = "";
    if (step.metric) std::snprintf(metric, sizeof metric, "%.6g", *step.metric);
    table.add({name,
               {human_age(seconds_between(step.commit_unix_ns, now))},
               {metric},
               {step.keep ? "" : human_bytes(step.stored_bytes)},
               {step.keep ? "keep" : "remove", step.keep ? Colour::green : Colour::red},
               {printable(step.reason), step.keep ? Colour::plain : Colour::dim}});
  }
  const KeepPlan::Sum kept = plan.kept();
  const KeepPlan::Sum removed = plan.removed();
  std::string summary = "keeps " + counted(kept.steps, "step", "steps") + ", " + human_bytes(kept.bytes) +
                        (removed.steps == 0 ? "; there is nothing to remove"
                                            : "; removes " + counted(removed.steps, "step", "steps") + " and frees " +
                                                  human_bytes(removed.bytes));
  if (plan.damaged() > 0) summary += "; " + std::to_string(plan.damaged()) + " cannot be read";
  return table.to_string() + coloured(Colour::dim, summary) + "\n";
}

Json json_of(const PlannedStep& step) {
  Json document = {{"step", step.step}, {"keep", step.keep}, {"reason", step.reason}};
  if (step.damage) {
    document["error"] = json_error(*step.damage);
    return document;
  }
  document["committed"] = utc_time(step.commit_unix_ns);
  document["age_s"] = seconds_between(step.commit_unix_ns, now_unix_ns());
  if (step.metric) document["metric"] = json_number(*step.metric);
  document["stored_bytes"] = step.stored_bytes;
  return document;
}

}  // namespace milepost::tool
