#include "milepost/engine/manager/retention.h"

#include "milepost/engine/format/names.h"
#include "milepost/io/caught.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <utility>

namespace milepost {

Retention::Retention(const CheckpointManagerOptions& options, Store& store, StepIndex& index, Tell tell)
    : store_(store),
      index_(index),
      policy_(preservation_policy_of(options)),
      tell_(std::move(tell)),
      sweeps_(options.cleanup_tmp_directories),
      collector_(store, collector_options_of(options),
                 [this](const Error& error) { tell_({.kind = ManagerEventKind::removal_failed, .error = error}); }) {}

Result<std::vector<PreservationDecision>> Retention::plan() {
  MILEPOST_ASSIGN(auto infos, index_.infos());
  auto plan = plan_preservation(policy_ ? policy_ : PreservationPolicy(PreserveAll{}), infos.steps);
  for (const StepIndex::Unreadable& step : infos.unreadable) {
    plan.push_back({step.step, true, "its record cannot be read: " + step.error.to_string()});
  }
  std::sort(plan.begin(), plan.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return plan;
}

Result<void> Retention::remove_old_steps(const Committed& committed) {
  if (committed.replaced.has_error()) attempt_is_left_ = true;
  const auto given_up = remove_given_up(committed.newest);
  return both(given_up, committed.replaced.has_error() ? committed.replaced : remove_replaced(committed.overwrote));
}

Result<void> Retention::remove_given_up(std::int64_t newest) {
  if (!policy_) return {};
  const TraceSlice slice("retention");
  const auto is_victim = [newest](const PreservationDecision& decision) {
    // A step saved out of order, older than what is there, was still asked for just now.
    return !decision.keep && decision.step != newest;
  };
  MILEPOST_ASSIGN(auto decisions, plan());
  if (std::any_of(decisions.begin(), decisions.end(), is_victim)) {
    // Others may have removed what this plan counts on.
    MILEPOST_ASSIGN(const bool others_removed, index_.forget_missing());
    if (others_removed) {
      MILEPOST_ASSIGN(decisions, plan());
    }
  }
  std::vector<Victim> victims;
  for (const PreservationDecision& decision : decisions) {
    if (is_victim(decision)) victims.push_back({decision.step, index_.naming().name(decision.step)});
  }
  const Collected collected = collector_.collect(std::move(victims));
  note_removed(collected.removed, decisions);
  if (collected.error) return *collected.error;
  return {};
}

// In the trash, or, where it could not be put there, under the name of a dead attempt.
Result<void> Retention::remove_replaced(bool overwrote) {
  const bool left = attempt_is_left_.exchange(false);
  auto removed = caught([&] {
    return left && sweeps_ ? collector_.sweep() : left || overwrote ? collector_.empty_trash() : Result<void>();
  });
  if (left && removed.has_error()) attempt_is_left_ = true;
  return removed;
}

Result<void> Retention::retry() {
  const auto replaced = remove_replaced(false);
  return both(replaced, caught([&] { return retry_put_off(); }));
}

// What a reader had open may be free by now. But what was to go then may be all that there is now.
Result<void> Retention::retry_put_off() {
  if (!collector_.has_put_off()) return {};
  MILEPOST_TRY(index_.reload());
  MILEPOST_ASSIGN(const auto decisions, plan());
  for (const PreservationDecision& decision : decisions) {
    if (decision.keep) collector_.spare(decision.step);
  }
  const Collected collected = collector_.retry();
  note_removed(collected.removed, decisions);
  if (collected.error) return *collected.error;
  return {};
}

Result<void> Retention::remove(std::int64_t step) {
  if (!index_.contains(step)) return Error(ErrorCode::not_found, "no such step in " + store_.description());
  bool forgotten = false;
  auto removed = collector_.remove({step, index_.naming().name(step)}, [&] { forgotten = index_.forget(step); });
  if (forgotten) tell_removed(step, "delete_step()");
  return removed;
}

void Retention::note_removed(const std::vector<std::int64_t>& steps, const std::vector<PreservationDecision>& plan) {
  for (const std::int64_t step : steps) {
    if (!index_.forget(step)) continue;
    const auto decision = std::find_if(plan.begin(), plan.end(), [&](const auto& d) { return d.step == step; });
    // Without memory for the reason the next one is still to be forgotten.
    static_cast<void>(caught([&] { tell_removed(step, decision == plan.end() ? std::string() : decision->reason); }));
  }
}

void Retention::tell_removed(std::int64_t step, std::string reason) {
  ++removed_count_;
  tell_({.kind = ManagerEventKind::step_removed, .step = step, .reason = std::move(reason)});
}

}  // namespace milepost
