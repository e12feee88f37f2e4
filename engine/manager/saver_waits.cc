// Waiting for saves, and telling their errors.
#include "milepost/engine/deadline.h"
#include "milepost/engine/manager/saver.h"
#include "milepost/engine/within_step.h"
#include "milepost/io/caught.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace milepost {

Result<void> Saver::tell(Outcome& outcome) {
  if (!outcome.error) return {};
  outcome.error_seen = true;
  return *outcome.error;
}

Result<void> Saver::tell_last() {
  if (auto removed = retention_.check(); removed.has_error()) keep(removed.error());
  return tell(*outcome_);
}

Result<void> Saver::tell_what_nobody_saw() {
  if (auto removed = retention_.check(); removed.has_error()) keep(removed.error());
  return outcome_->error_seen ? Result<void>() : tell(*outcome_);
}

Result<void> Saver::check_gave_up() const {
  if (!gave_up_) return {};
  return Error(gave_up_->code(), "no step is saved any more since a save failed: " + gave_up_->to_string(),
               gave_up_->system_errno());
}

void Saver::keep(const Error& error) noexcept {
  const bool first = !outcome_->error || outcome_->error_seen;
  outcome_->error = first ? error : outcome_->error->and_then(error);
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
  const auto deadline = deadline_after(timeout.value_or(std::chrono::nanoseconds::max()));
  // Of this save, even if the next one is under way when this thread wakes.
  const auto [current, outcome] = last();
  if (current && event != SaveEvent::committed) {
    const bool in_time =
        event == SaveEvent::captured ? current->wait_captured(deadline) : current->wait_durable(deadline);
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
  const auto deadline = deadline_after(patience);
  const auto [current, outcome] = last();
  if (!wait_finished(*outcome, deadline)) return too_late(current, patience);
  if (!retention_.wait_idle(deadline)) {
    return Error(ErrorCode::deadline_exceeded,
                 "old steps are still being removed from " + context_.store->description());
  }
  const std::lock_guard lock(mutex_);
  const auto told = tell(*outcome);
  return both(told, tell_what_nobody_saw());
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
  const auto [current, outcome] = last();
  const auto deadline = deadline_after(options_.timeout);
  if (!wait_finished(*outcome, deadline)) return too_late(current, options_.timeout);
  if (!retention_.wait_idle(deadline)) return wait_until_finished(std::chrono::nanoseconds::zero());
  std::optional<Retention::Committed> put_off;
  {
    const std::lock_guard lock(mutex_);
    put_off = std::exchange(removal_put_off_, std::nullopt);
  }
  if (put_off) remove_old_steps(*put_off);
  if (const auto retried = caught([&] { return retention_.retry(); }); retried.has_error()) {
    keep_and_emit(retried.error(), ManagerEventKind::removal_failed, 0);
  }
  return wait_until_finished(std::nullopt);
}

Result<void> Saver::wait_for(std::int64_t step) {
  std::unique_lock lock(mutex_);
  if (!job_ || job_->step() != step) return {};
  const auto current = job_;
  if (changed_.wait_until(lock, deadline_after(options_.timeout), [&] { return job_ != current; })) return {};
  return too_late(current, options_.timeout);
}

void Saver::emit(const ManagerEvent& event) noexcept {
  if (!options_.on_event) return;
  try {
    const std::lock_guard lock(event_mutex_);
    options_.on_event(event);
  } catch (...) {
    const Error thrown = Error::of_exception(ErrorCode::failed_precondition).within("on_event threw");
    const std::lock_guard lock(mutex_);
    keep(within_step(thrown, event.step));
  }
}

void Saver::keep_and_emit(const Error& error, ManagerEventKind kind, std::int64_t step) noexcept {
  {
    const std::lock_guard lock(mutex_);
    keep(error);
  }
  emit({.kind = kind, .step = step, .error = error});
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
  SaveCounters counters = counters_;
  counters.removed = retention_.removed_count();
  return counters;
}

}  // namespace milepost
