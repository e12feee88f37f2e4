#include "milepost/engine/manager/saver.h"

#include "milepost/engine/deadline.h"
#include "milepost/engine/format/names.h"
#include "milepost/engine/item_handler.h"
#include "milepost/engine/within_step.h"
#include "milepost/io/caught.h"
#include "milepost/io/refusal.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <set>
#include <string_view>
#include <utility>

namespace milepost {
Result<void> check_items(const ItemsView& items) {
  if (items.begin() == items.end()) return invalid("there are no items to save");
  std::set<std::string_view> names;
  for (const ItemView& item : items) {
    MILEPOST_TRY(check_item_name(item.name));
    const auto within_item = [&](Error error) { return std::move(error).within("item " + std::string(item.name)); };
    if (!names.insert(item.name).second) return within_item(invalid("given twice"));
    if (auto valid = check_handler_name(item.handler); valid.has_error()) return within_item(valid.error());
    if (auto valid = check_state(*item.tree); valid.has_error()) return within_item(valid.error());
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
      retention_(options, *context.store, index, [this](const ManagerEvent& event) { emit(event); }),
      control_(1, 0, "milepost save") {}

Saver::~Saver() {
  if (!closed_) (void)caught([&] { return close(); });
}

// --- Saving.

Result<bool> Saver::save(std::int64_t step, const ItemsView& items, SaveOptions options, bool unnamed) {
  const auto called = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - called).count(); };
  const TraceSlice slice("save", {{"step", step}});
  if (step < 0) return within_step(invalid("a step must not be negative"), step);
  Codec codec = options.codec.value_or(options_.codec);
  if (auto valid = check_codec(codec); valid.has_error()) return within_step(valid.error(), step);
  if (auto valid = check_metrics(options.metrics); valid.has_error()) return within_step(valid.error(), step);
  auto custom_metadata = compact_custom_metadata(options.custom_metadata_json);
  if (custom_metadata.has_error()) return within_step(custom_metadata.error(), step);
  if (auto style = check_style(unnamed); style.has_error()) return within_step(style.error(), step);

  const LoopCall in_loop(*this, step);
  const std::lock_guard one_save(save_mutex_);
  {
    const std::lock_guard lock(mutex_);
    const bool is_saved = std::exchange(told_while_saving_, std::nullopt) == step && (job_ || outcome_->committed);
    if (is_saved && !options.overwrite) return true;
  }
  if (!options.force && !options.overwrite) {
    auto decision = decide(step, reached_preemption(step));
    if (decision.has_error()) return within_step(decision.error(), step);
    if (!decision->save) {
      const std::lock_guard lock(mutex_);
      // Errors are not kept until a step's turn comes.
      if (outcome_->finished) {
        MILEPOST_TRY(tell_what_nobody_saw());
        MILEPOST_TRY(check_gave_up());
      }
      ++counters_.declined;
      return false;
    }
  }
  // Not before: the trees of a step whose turn it is not need not be looked at. Each node comes from memory once, for
  // the copy, and is then checked in the cache; but while the save before has its copy there is to be no other.
  Items copied;
  {
    const TraceSlice checking("check");
    if (!job()) copied = items.copy();
    const auto valid = check_items(copied.empty() ? items : ItemsView(copied));
    if (valid.has_error()) return within_step(valid.error(), step);
  }
  const auto predicted = decide_in_grace(step, items, codec);
  const auto waited_s = wait_for_turn();
  if (waited_s.has_error()) return waited_s.error();  // names its own step
  if (predicted && !predicted->start && !options.force && !options.overwrite) {
    // The save in flight was to be the last; if it failed, this one is.
    std::unique_lock lock(mutex_);
    if (outcome_->committed) {
      ++counters_.declined;
      if (last_report_) last_report_->grace = predicted;
      lock.unlock();
      emit({.kind = ManagerEventKind::save_declined, .step = step, .reason = predicted->reason});
      return false;
    }
  }
  const std::string name = index_.naming().name(step);
  if (auto valid = check_file_name(name); valid.has_error()) {
    return within_step(valid.error().within("step_name_format"), step);
  }
  if (index_.naming().parse(name) != step) {
    return within_step(invalid("step_name_format does not parse the name that it gives the step"), step);
  }
  const SnapshotMode mode = options.mode.value_or(options_.mode);
  const auto free = options.overwrite ? check_replaceable(step) : check_free(step, is_frozen_in_call(mode));
  if (free.has_error()) return within_step(free.error(), step);

  // Decided anew: what is left now is known, not predicted.
  auto grace = decide_in_grace(step, items, codec);
  if (grace && grace->drop_compression) codec = Codec::none();

  if (copied.empty()) copied = items.copy();
  SaveRequest request{step,
                      name,
                      std::move(copied),
                      mode,
                      codec,
                      options.metrics,
                      std::move(custom_metadata).value(),
                      options_.on_save_progress,
                      *waited_s,
                      options_.write_retries,
                      options.overwrite};
  auto job = std::make_shared<SaveJob>(context_, std::move(request), called);
  const auto next =
      std::make_shared<Run>(Run{job, StepIndex::make_room({step, 0, options.metrics}), options.overwrite});
  auto outcome = std::make_shared<Outcome>();
  // An older error must not cost this step.
  Result<void> older;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return within_step(Error(ErrorCode::failed_precondition, "the manager is closed"), step);
    // The last thing that can fail. It begins when the save has been announced.
    const auto task = [this, next] { run(*next); };
    if (is_frozen_in_call(mode)) {
      control_.post_beside(task);
    } else {
      control_.post(task);
    }
    retention_.spare(step);
    older = tell_what_nobody_saw();
    outcome_ = std::move(outcome);
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
  {
    const std::lock_guard lock(mutex_);
    next->announced = true;
    changed_.notify_all();
  }
  bool captured = job->capture(deadline_after(options_.timeout));
  // Who is told of an error may not think of memory that is still read.
  if (captured && older.has_error()) captured = job->wait_captured(deadline_after(options_.timeout));
  const auto waited = options_.enable_async_checkpointing ? Result<void>() : wait_until_finished(std::nullopt);
  {
    const std::lock_guard lock(mutex_);
    stall_s_ = seconds();
    counters_.stall_s += stall_s_;
    if (job_ != job && last_report_ && last_report_->step == step) last_report_->stall_s = stall_s_;
  }
  std::optional<Error> error;
  if (!captured) error = too_late(job, options_.timeout);
  if (captured && waited.has_error()) error = waited.error();
  if (older.has_error()) {
    if (!error) {
      const std::lock_guard lock(mutex_);
      told_while_saving_ = step;
      return Error(older.error().code(),
                   older.error().to_string() + " (step " + std::to_string(step) + " is being saved all the same)",
                   older.error().system_errno());
    }
    error->and_then(older.error());
  }
  if (error) return *error;
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
  } catch (...) {
    return Error::of_exception(ErrorCode::failed_precondition).within("the save decision threw");
  }
}

bool Saver::reached_preemption(std::int64_t step) {
  if (!options_.preemption) return false;
  tell_whether_unwatched(step);
  const auto notice = options_.preemption->notice();
  {
    const std::lock_guard lock(mutex_);
    if (!preemption_.reached(step, notice.has_value())) return false;
    if (std::exchange(preemption_told_, true)) return true;
  }
  emit({.kind = ManagerEventKind::preempted, .step = step, .reason = notice ? notice->reason : ""});
  return true;
}

void Saver::tell_whether_unwatched(std::int64_t step) {
  const auto trouble = options_.preemption->trouble();
  const std::string text = trouble ? trouble->to_string() : "";
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(trouble_told_, text) == text) return;
  }
  if (trouble) emit({.kind = ManagerEventKind::unwatched, .step = step, .error = trouble});
}

bool Saver::would_reach_preemption(std::int64_t step) {
  if (!options_.preemption) return false;
  const bool told = options_.preemption->signalled();
  const std::lock_guard lock(mutex_);
  return preemption_.would_reach(step, told);
}

std::optional<GraceDecision> Saver::decide_in_grace(std::int64_t step, const ItemsView& items, const Codec& codec) {
  const auto notice = options_.preemption ? options_.preemption->notice() : std::nullopt;
  if (!notice || !reached_preemption(step)) return std::nullopt;
  GraceBudget budget;
  budget.left_s = std::chrono::duration<double>(notice->deadline - Clock::now()).count();
  std::uint64_t bytes = 0;
  for (const ItemView& item : items) {
    for_each_leaf(*item.tree, [&](const std::string&, const Tree& leaf) {
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
  if (!changed_.wait_until(lock, deadline_after(options_.timeout), [&] { return !job_; })) {
    return too_late(job_, options_.timeout);
  }
  if (gave_up_) MILEPOST_TRY(tell_what_nobody_saw());
  MILEPOST_TRY(check_gave_up());
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
  ++counters_.committed;
  counters_.retries += report.retries;
  counters_.raw_bytes += report.raw_bytes;
  counters_.stored_bytes += report.stored_bytes;
  throughput_.add({compressed_, report.raw_bytes, report.durable_s - waited_s_, report.committed_s - waited_s_,
                   report.captured_s - waited_s_, report.stored_bytes, report.disk_s});
  SaveReport copy = report;
  last_report_ = std::move(copy);  // all of it or nothing
}

void Saver::run(Run& run) noexcept {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return run.announced; });
  }
  const std::int64_t step = run.job->step();
  TraceSlice slice("run save", {{"step", step}});
  auto report = run.job->run();
  const bool committed = report.has_value();
  Result<void> finished;
  if (committed) {
    run.room.mapped()->time_unix_ns = report->commit_unix_ns;
    index_.add(std::move(run.room));
    finished = caught([&] { finish_committed(run, *report); });
  } else {
    // There is a step of that name all the same: published, and only its survival is unknown; the one that was not to
    // be replaced; somebody else's. For readers and for retention it counts.
    const auto record =
        caught([&] { return context_.store->stat(index_.naming().name(step) + '/' + std::string(step_record_name)); });
    if (record.has_value()) {
      run.room.mapped().reset();
      index_.add(std::move(run.room));
    }
    if (run.job->left_attempt()) retention_.sweep_next_time();
    {
      const std::lock_guard lock(mutex_);
      ++counters_.failed;
      if (options_.on_save_error == OnSaveError::refuse_to_save) gave_up_ = report.error();
    }
    keep_and_emit(report.error(), ManagerEventKind::save_failed, step);
  }
  slice.end();
  Trace::flush();
  const std::lock_guard lock(mutex_);
  pace_.finish_save(now_s(), committed);
  if (finished.has_error()) keep(finished.error());
  outcome_->committed = committed;
  outcome_->finished = true;
  job_.reset();
  changed_.notify_all();
}

// What may fail after the commit; nothing of it undoes that.
void Saver::finish_committed(const Run& run, SaveReport& report) {
  const std::int64_t step = run.job->step();
  {
    const std::lock_guard lock(mutex_);
    finish_report(report);
  }
  emit({.kind = ManagerEventKind::save_committed, .step = step, .report = report});
  // Removing may take long; in a grace period every second is for saving.
  const bool put_off = is_in_grace_period();
  std::unique_lock lock(mutex_);
  const Retention::Committed now = with_what_was_put_off({step, run.overwrite, run.job->removal()});
  if (put_off) {
    removal_put_off_ = now;
    return;
  }
  lock.unlock();
  remove_old_steps(now);
}

Retention::Committed Saver::with_what_was_put_off(Retention::Committed now) noexcept {
  const auto before = std::exchange(removal_put_off_, std::nullopt);
  if (!before) return now;
  now.overwrote |= before->overwrote;
  now.replaced = both(before->replaced, now.replaced);
  return now;
}

bool Saver::is_in_grace_period() const {
  const auto notice = options_.preemption ? options_.preemption->notice() : std::nullopt;
  return notice && Clock::now() < notice->deadline;
}

void Saver::remove_old_steps(const Retention::Committed& committed) noexcept {
  const auto removed = caught([&] { return retention_.remove_old_steps(committed); });
  if (removed.has_value()) return;
  char what[96];
  std::snprintf(what, sizeof what, "step %" PRId64 " is committed, but old steps could not be removed",
                committed.newest);
  keep_and_emit(Error(removed.error()).within(what), ManagerEventKind::removal_failed, committed.newest);
}

Result<void> Saver::delete_step(std::int64_t step) {
  if (options_.read_only) return within_step(Error(ErrorCode::failed_precondition, "the manager is read-only"), step);
  MILEPOST_TRY(wait_for(step));
  const auto removed = retention_.remove(step);
  return removed.has_error() ? within_step(removed.error(), step) : removed;
}

}  // namespace milepost
