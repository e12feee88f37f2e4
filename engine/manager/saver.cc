#include "milepost/engine/manager/saver.h"

#include "milepost/engine/format/names.h"
#include "milepost/engine/item_handler.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <string_view>
#include <utility>

namespace milepost {
namespace {

Error invalid(std::string what) { return Error(ErrorCode::invalid_argument, std::move(what)); }

Error within_step(Error error, std::int64_t step) { return std::move(error).within("step " + std::to_string(step)); }

// The end of time, when that is later.
Saver::Clock::time_point after(std::chrono::nanoseconds wait) {
  const auto now = Saver::Clock::now();
  if (wait >= Saver::Clock::time_point::max() - now) return Saver::Clock::time_point::max();
  return now + std::max(wait, std::chrono::nanoseconds::zero());
}

}  // namespace

Result<void> check_items(const Items& items) {
  if (items.empty()) return invalid("there are no items to save");
  std::set<std::string_view> names;
  for (const Item& item : items) {
    MILEPOST_TRY(check_item_name(item.name));
    if (!names.insert(item.name).second) return invalid("item " + item.name + ": given twice");
    if (auto valid = check_handler_name(item.handler); valid.has_error()) {
      return valid.error().within("item " + item.name);
    }
    if (auto valid = check_state(item.tree); valid.has_error()) return valid.error().within("item " + item.name);
  }
  return {};
}

// A call of the training loop, for the measurement of its pace.
class Saver::LoopCall {
 public:
  LoopCall(Saver& saver, std::int64_t step) : saver_(saver) {
    const std::lock_guard lock(saver_.mutex_);
    saver_.pace_.enter(step, saver_.now_s());
  }
  ~LoopCall() {
    const std::lock_guard lock(saver_.mutex_);
    saver_.pace_.leave(saver_.now_s());
  }
  LoopCall(const LoopCall&) = delete;
  LoopCall& operator=(const LoopCall&) = delete;

 private:
  Saver& saver_;
};

Saver::Saver(const CheckpointManagerOptions& options, const SaveContext& context, StepIndex& index)
    : options_(options),
      context_(context),
      index_(index),
      decision_(decision_policy_of(options)),
      preservation_(preservation_policy_of(options)),
      collector_(*context.store, collector_options_of(options)),
      control_(1, 0, "milepost save") {}

Saver::~Saver() = default;

// --- Saving.

Result<bool> Saver::save(std::int64_t step, Items items, SaveOptions options, bool unnamed) {
  const auto called = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - called).count(); };
  const TraceSlice slice("save", {{"step", step}});
  TraceSlice checking("check");
  if (step < 0) return within_step(invalid("a step must not be negative"), step);
  if (auto valid = check_items(items); valid.has_error()) return within_step(valid.error(), step);
  Codec codec = options.codec.value_or(options_.codec);
  if (auto valid = check_codec(codec); valid.has_error()) return within_step(valid.error(), step);
  if (auto valid = check_metrics(options.metrics); valid.has_error()) return within_step(valid.error(), step);
  auto custom_metadata = compact_custom_metadata(options.custom_metadata_json);
  if (custom_metadata.has_error()) return within_step(custom_metadata.error(), step);
  if (auto style = check_style(unnamed); style.has_error()) return within_step(style.error(), step);
  checking.end();

  const LoopCall in_loop(*this, step);
  const std::lock_guard one_save(save_mutex_);
  if (!options.force && !options.overwrite) {
    auto decision = decide(step, reached_preemption(step));
    if (decision.has_error()) return within_step(decision.error(), step);
    if (!decision->save) {
      const std::lock_guard lock(mutex_);
      // Errors are not kept until a step's turn comes.
      if (outcome_->finished) MILEPOST_TRY(tell_what_nobody_saw());
      ++counters_.declined;
      return false;
    }
  }
  const auto predicted = decide_in_grace(step, items, codec);
  const auto waited_s = wait_for_turn();
  // The error of another save names its own step.
  if (waited_s.has_error()) return waited_s.error();
  if (predicted && !predicted->start && !options.force && !options.overwrite) {
    // The save in flight was to be the last; if it failed, this one is.
    std::unique_lock lock(mutex_);
    if (!outcome_->error) {
      ++counters_.declined;
      if (last_report_) last_report_->grace = predicted;
      lock.unlock();
      emit({.kind = ManagerEventKind::preempted, .step = step, .reason = predicted->reason});
      return false;
    }
  }
  if (auto valid = check_file_name(index_.naming().name(step)); valid.has_error()) {
    return within_step(valid.error().within("step_name_format"), step);
  }
  if (index_.naming().parse(index_.naming().name(step)) != step) {
    return within_step(invalid("step_name_format does not parse the name that it gives the step"), step);
  }
  const SnapshotMode mode = options.mode.value_or(options_.mode);
  const auto free = options.overwrite ? check_replaceable(step) : check_free(step, mode == SnapshotMode::copy);
  if (free.has_error()) return within_step(free.error(), step);

  // Decided anew: what is left now is known, not predicted.
  auto grace = decide_in_grace(step, items, codec);
  if (grace && grace->drop_compression) codec = Codec::none();

  SaveRequest request{step,
                      index_.naming().name(step),
                      std::move(items),
                      mode,
                      codec,
                      options.metrics,
                      std::move(custom_metadata).value(),
                      options_.on_save_progress,
                      *waited_s,
                      options_.write_retries,
                      options.overwrite};
  collector_.spare(step);
  auto job = std::make_shared<SaveJob>(context_, std::move(request), called);
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return within_step(Error(ErrorCode::failed_precondition, "the manager is closed"), step);
    MILEPOST_TRY(tell_what_nobody_saw());
    outcome_ = std::make_shared<Outcome>();
    job_ = job;
    grace_ = std::move(grace);
    compressed_ = codec.kind != Codec::Kind::none;
    waited_s_ = *waited_s;
    stall_s_ = 0;
    last_save_s_ = now_s();
    pace_.begin_save(*last_save_s_);
    ++counters_.started;
    counters_.waited_s += *waited_s;
  }
  emit({.kind = ManagerEventKind::save_started, .step = step});
  control_.post([this, job, metrics = std::move(options.metrics), overwrite = options.overwrite] {
    run(job, metrics, overwrite);
  });
  job->capture();
  const auto waited = options_.enable_async_checkpointing ? Result<void>() : wait_until_finished(std::nullopt);
  {
    const std::lock_guard lock(mutex_);
    stall_s_ = seconds();
    counters_.stall_s += stall_s_;
    if (job_ != job && last_report_ && last_report_->step == step) last_report_->stall_s = stall_s_;
  }
  MILEPOST_TRY(waited);
  return true;
}

Result<void> Saver::check_style(bool unnamed) {
  const std::lock_guard lock(mutex_);
  if (unnamed_.value_or(unnamed) == unnamed) {
    unnamed_ = unnamed;
    return {};
  }
  return invalid(unnamed ? "a tree without a name, after items with names: use one style with a manager"
                         : "items with names, after a tree without one: use one style with a manager");
}

Result<SaveDecision> Saver::save_decision(std::int64_t step) {
  const LoopCall in_loop(*this, step);
  return decide(step, would_reach_preemption(step));
}

Result<SaveDecision> Saver::decide(std::int64_t step, bool reached_preemption) {
  if (options_.read_only) return SaveDecision{false, "the manager is read-only"};
  SaveDecisionContext context;
  context.step = step;
  context.reached_preemption = reached_preemption;
  context.latest_step = latest_step();
  {
    const std::lock_guard lock(mutex_);
    context.is_saving_in_progress = job_ != nullptr;
    context.now_s = now_s();
    context.last_save_s = last_save_s_;
    context.pace = pace_.pace();
  }
  try {
    return decide_save(decision_, context);
  } catch (const std::exception& thrown) {
    return Error(ErrorCode::failed_precondition, std::string("the save decision threw: ") + thrown.what());
  } catch (...) {
    return Error(ErrorCode::failed_precondition, "the save decision threw");
  }
}

bool Saver::reached_preemption(std::int64_t step) {
  if (!options_.preemption) return false;
  const auto notice = options_.preemption->notice();
  {
    const std::lock_guard lock(mutex_);
    if (!preemption_.reached(step, notice.has_value())) return false;
    if (std::exchange(preemption_told_, true)) return true;
  }
  emit({.kind = ManagerEventKind::preempted, .step = step, .reason = notice ? notice->reason : ""});
  return true;
}

bool Saver::would_reach_preemption(std::int64_t step) {
  if (!options_.preemption) return false;
  const bool told = options_.preemption->signalled();
  const std::lock_guard lock(mutex_);
  return preemption_.would_reach(step, told);
}

std::optional<GraceDecision> Saver::decide_in_grace(std::int64_t step, const Items& items, const Codec& codec) {
  const auto notice = options_.preemption ? options_.preemption->notice() : std::nullopt;
  if (!notice || !reached_preemption(step)) return std::nullopt;
  GraceBudget budget;
  budget.left_s = std::chrono::duration<double>(notice->deadline - Clock::now()).count();
  std::uint64_t bytes = 0;
  for (const Item& item : items) {
    for_each_leaf(item.tree, [&](const std::string&, const Tree& leaf) {
      if (const auto* tensor = leaf.get_if<Tensor>()) bytes += tensor->byte_count();
      if (const auto* text = leaf.get_if<std::string>()) bytes += text->size();
      if (const auto* blob = leaf.get_if<Tree::Bytes>()) bytes += blob->size();
    });
  }
  budget.next_bytes = bytes;
  budget.next_compressed = codec.kind != Codec::Kind::none;
  const auto current = job();
  const std::lock_guard lock(mutex_);
  if (current && current == job_) {
    const Progress progress = current->progress();
    const bool captured = progress.phase != Phase::capturing;
    budget.in_flight = {captured ? progress.bytes_done : 0, progress.bytes_total, compressed_};
  }
  budget.measured = throughput_.throughput();
  return decide_grace(budget);
}

Result<double> Saver::wait_for_turn() {
  const TraceSlice slice("wait for the save before");
  const auto began = Clock::now();
  std::unique_lock lock(mutex_);
  if (closed_) return Error(ErrorCode::failed_precondition, "the manager is closed");
  if (options_.read_only) return Error(ErrorCode::failed_precondition, "the manager is read-only");
  if (!changed_.wait_until(lock, after(options_.timeout), [&] { return !job_; })) {
    return too_late(job_, options_.timeout);
  }
  MILEPOST_TRY(tell_what_nobody_saw());
  return std::chrono::duration<double>(Clock::now() - began).count();
}

Result<void> Saver::check_free(std::int64_t step, bool look) {
  // A step that is known may be gone since.
  if (!look && !index_.contains(step)) return {};
  const std::string name = index_.naming().name(step);
  const auto info = context_.store->stat(name);
  if (info.has_value()) {
    return Error(ErrorCode::already_exists,
                 context_.store->description() + "/" + name + ": File exists; it was not touched", EEXIST);
  }
  return info.error().code() == ErrorCode::not_found ? Result<void>{} : info.error();
}

Result<void> Saver::check_replaceable(std::int64_t step) {
  const auto lock = lock_for_overwrite(*context_.store, index_.naming().name(step));
  if (lock.has_error() && lock.error().code() != ErrorCode::not_found) return lock.error();
  return {};
}

void Saver::finish_report(SaveReport& report) {
  report.waited_s = waited_s_;
  report.stall_s = stall_s_ > 0 ? stall_s_ : report.committed_s;  // save() has not returned yet
  report.grace = std::move(grace_);
  last_report_ = report;
  ++counters_.committed;
  counters_.retries += report.retries;
  counters_.raw_bytes += report.raw_bytes;
  counters_.stored_bytes += report.stored_bytes;
  throughput_.add({compressed_, report.raw_bytes, report.durable_s - waited_s_, report.committed_s - waited_s_,
                   report.captured_s - waited_s_, report.stored_bytes, report.disk_s});
}

void Saver::run(const std::shared_ptr<SaveJob>& job, const Metrics& metrics, bool overwrote) {
  const std::int64_t step = job->step();
  TraceSlice slice("run save", {{"step", step}});
  auto report = job->run();
  std::optional<Error> error;
  if (report.has_error()) {
    error = report.error();
    // Published, and only its survival is unknown: a step all the same, for readers and for retention.
    if (context_.store->stat(index_.naming().name(step) + '/' + std::string(step_record_name)).has_value()) {
      index_.add(step);
    }
  } else {
    index_.add(step, StepInfo{step, report->commit_unix_ns, metrics});
  }
  const bool committed = !error;
  {
    const std::lock_guard lock(mutex_);
    if (committed) {
      finish_report(*report);
    } else {
      ++counters_.failed;
      if (options_.on_save_error == OnSaveError::refuse_to_save) gave_up_ = error;
    }
  }
  if (committed) {
    emit({.kind = ManagerEventKind::save_committed, .step = step, .report = *report});
    auto removed = remove_old_steps(step);
    if (removed.has_value()) removed = remove_replaced(overwrote);
    if (const auto& replaced = job->removal(); replaced.has_error()) {
      if (removed.has_value()) removed = replaced;
      const std::lock_guard lock(mutex_);
      replaced_is_left_ = true;
    }
    if (removed.has_error()) {
      error =
          removed.error().within("step " + std::to_string(step) + " is committed, but old steps could not be removed");
      emit({.kind = ManagerEventKind::removal_failed, .step = step, .error = error});
    }
  } else {
    emit({.kind = ManagerEventKind::save_failed, .step = step, .error = error});
  }
  slice.end();
  Trace::flush();
  const std::lock_guard lock(mutex_);
  pace_.finish_save(now_s(), committed);
  if (error) keep(*error);
  outcome_->finished = true;
  job_.reset();
  changed_.notify_all();
}

// --- Removing.

Result<std::vector<PreservationDecision>> Saver::preservation_plan() {
  MILEPOST_ASSIGN(auto infos, index_.infos());
  auto plan = plan_preservation(preservation_ ? preservation_ : PreservationPolicy(PreserveAll{}), infos.steps);
  for (const StepIndex::Unreadable& step : infos.unreadable) {
    plan.push_back({step.step, true, "its record cannot be read: " + step.error.to_string()});
  }
  std::sort(plan.begin(), plan.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return plan;
}

Result<void> Saver::remove_old_steps(std::int64_t newest) {
  if (!preservation_) return {};
  const TraceSlice slice("retention");
  MILEPOST_ASSIGN(const auto plan, preservation_plan());
  std::vector<Victim> victims;
  for (const PreservationDecision& decision : plan) {
    // A step saved out of order, older than what is there, was still asked for just now.
    if (decision.keep || decision.step == newest) continue;
    victims.push_back({decision.step, index_.naming().name(decision.step)});
  }
  const Collected collected = collector_.collect(std::move(victims));
  count_removed(collected.removed, plan);
  if (collected.error) return *collected.error;
  return {};
}

Result<void> Saver::remove_replaced(bool overwrote) {
  bool left;
  {
    const std::lock_guard lock(mutex_);
    left = std::exchange(replaced_is_left_, false);
  }
  auto removed = left ? collector_.sweep() : overwrote ? collector_.empty_trash() : Result<void>();
  if (left && removed.has_error()) {
    const std::lock_guard lock(mutex_);
    replaced_is_left_ = true;
  }
  return removed;
}

void Saver::count_removed(const std::vector<std::int64_t>& steps, const std::vector<PreservationDecision>& plan) {
  for (const std::int64_t step : steps) {
    if (!index_.forget(step)) continue;
    {
      const std::lock_guard lock(mutex_);
      ++counters_.removed;
    }
    const auto decision = std::find_if(plan.begin(), plan.end(), [&](const auto& d) { return d.step == step; });
    emit({.kind = ManagerEventKind::step_removed,
          .step = step,
          .reason = decision == plan.end() ? std::string() : decision->reason});
  }
}

Result<void> Saver::delete_step(std::int64_t step) {
  if (options_.read_only) return within_step(Error(ErrorCode::failed_precondition, "the manager is read-only"), step);
  MILEPOST_TRY(wait_for(step));
  if (!index_.contains(step)) {
    return within_step(Error(ErrorCode::not_found, "no such step in " + context_.store->description()), step);
  }
  auto removed = collector_.remove({step, index_.naming().name(step)});
  if (removed.has_error() && removed.error().code() != ErrorCode::not_found) return within_step(removed.error(), step);
  count_removed({step}, {{step, false, "delete_step()"}});
  if (removed.has_error()) return within_step(removed.error(), step);  // somebody else was faster
  return {};
}

// --- Waiting, and errors.

Result<void> Saver::tell(Outcome& outcome) {
  if (!outcome.error) return {};
  outcome.error_seen = true;
  return *outcome.error;
}

Result<void> Saver::tell_last() {
  if (auto removed = collector_.check(); removed.has_error()) keep(removed.error());
  return tell(*outcome_);
}

Result<void> Saver::tell_what_nobody_saw() {
  if (auto removed = collector_.check(); removed.has_error()) keep(removed.error());
  if (!outcome_->error_seen) MILEPOST_TRY(tell(*outcome_));
  if (!gave_up_) return {};
  return Error(gave_up_->code(), "no step is saved any more since a save failed: " + gave_up_->to_string(),
               gave_up_->system_errno());
}

void Saver::keep(const Error& error) {
  const bool first = !outcome_->error || outcome_->error_seen;
  outcome_->error =
      first ? error
            : Error(outcome_->error->code(), outcome_->error->to_string() + "; and then: " + error.to_string(),
                    outcome_->error->system_errno());
  outcome_->error_seen = false;
}

Error Saver::too_late(const std::shared_ptr<SaveJob>& job, std::chrono::nanoseconds waited) const {
  const Progress progress = job->progress();
  char text[160];
  std::snprintf(text, sizeof text, "not committed after waiting for %.3g s; it is %.*s, %.3f of %.3f GB are done",
                std::chrono::duration<double>(waited).count(), static_cast<int>(to_string(progress.phase).size()),
                to_string(progress.phase).data(), static_cast<double>(progress.bytes_done) * 1e-9,
                static_cast<double>(progress.bytes_total) * 1e-9);
  return within_step(Error(ErrorCode::deadline_exceeded, text), job->step());
}

Saver::LastSave Saver::last() const {
  const std::lock_guard lock(mutex_);
  return {job_, outcome_};
}

bool Saver::wait_finished(const Outcome& outcome, Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return outcome.finished; });
}

Result<bool> Saver::wait_until(SaveEvent event, std::optional<std::chrono::nanoseconds> timeout) {
  const auto deadline = after(timeout.value_or(std::chrono::nanoseconds::max()));
  // Of this save, even if the next one is under way when this thread wakes.
  const auto [current, outcome] = last();
  if (current && event != SaveEvent::committed) {
    const bool in_time =
        event == SaveEvent::captured ? current->snapshot().wait_captured(deadline) : current->wait_durable(deadline);
    if (!in_time) return false;
    // A failed save is captured too, but durable never: then its error is about to be known.
    if (event == SaveEvent::captured || current->is_durable()) return true;
  }
  if (!wait_finished(*outcome, deadline)) return false;
  const std::lock_guard lock(mutex_);
  MILEPOST_TRY(tell(*outcome));
  return true;
}

Result<void> Saver::wait_until_finished(std::optional<std::chrono::nanoseconds> timeout) {
  const auto patience = timeout.value_or(options_.timeout);
  const auto deadline = after(patience);
  const auto [current, outcome] = last();
  if (!wait_finished(*outcome, deadline)) return too_late(current, patience);
  if (!collector_.wait_idle(deadline)) {
    return Error(ErrorCode::deadline_exceeded,
                 "old steps are still being removed from " + context_.store->description());
  }
  const std::lock_guard lock(mutex_);
  MILEPOST_TRY(tell(*outcome));
  return tell_last();
}

Result<void> Saver::check_for_errors() {
  {
    const std::lock_guard lock(mutex_);
    MILEPOST_TRY(tell_last());
  }
  return options_.preemption ? options_.preemption->check_for_errors() : Result<void>{};
}

Result<void> Saver::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  const auto finished = wait_until_finished(std::nullopt);
  if (finished.has_error() && finished.error().code() == ErrorCode::deadline_exceeded) return finished;
  if (auto retried = retry_removals(); retried.has_error()) {
    const std::lock_guard lock(mutex_);
    keep(retried.error());
  }
  return wait_until_finished(std::nullopt);
}

// What a reader had open may be free by now. But what was to go then may be all that there is now.
Result<void> Saver::retry_removals() {
  MILEPOST_TRY(remove_replaced(false));
  if (!collector_.has_put_off()) return {};
  MILEPOST_TRY(index_.reload());
  MILEPOST_ASSIGN(const auto plan, preservation_plan());
  for (const PreservationDecision& decision : plan) {
    if (decision.keep) collector_.spare(decision.step);
  }
  const Collected collected = collector_.retry();
  count_removed(collected.removed, plan);
  if (collected.error) return *collected.error;
  return {};
}

Result<void> Saver::wait_for(std::int64_t step) {
  std::unique_lock lock(mutex_);
  if (!job_ || job_->step() != step) return {};
  const auto current = job_;
  if (changed_.wait_until(lock, after(options_.timeout), [&] { return job_ != current; })) return {};
  return too_late(current, options_.timeout);
}

void Saver::emit(const ManagerEvent& event) {
  if (!options_.on_event) return;
  std::string what;
  try {
    const std::lock_guard lock(event_mutex_);
    options_.on_event(event);
    return;
  } catch (const std::exception& thrown) {
    what = thrown.what();
  } catch (...) {
    what = "an unknown exception";
  }
  const std::lock_guard lock(mutex_);
  keep(within_step(Error(ErrorCode::failed_precondition, "on_event threw: " + what), event.step));
}

// --- What there is to know.

std::shared_ptr<SaveJob> Saver::job() const {
  const std::lock_guard lock(mutex_);
  return job_;
}

std::optional<std::int64_t> Saver::latest_step() const {
  const auto current = job();
  const auto latest = index_.latest();
  return current ? std::max(latest.value_or(current->step()), current->step()) : latest;
}

std::optional<SaveReport> Saver::last_report() const {
  const std::lock_guard lock(mutex_);
  return last_report_;
}

SaveCounters Saver::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace milepost
