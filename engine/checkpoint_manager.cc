#include "milepost/engine/checkpoint_manager.h"

#include "milepost/engine/collector.h"
#include "milepost/engine/format/names.h"
#include "milepost/engine/memory_plan.h"
#include "milepost/engine/root.h"
#include "milepost/engine/save/save_job.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"
#include "milepost/policy/preservation.h"
#include "milepost/policy/save_decision.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <set>
#include <type_traits>
#include <utility>

namespace milepost {
namespace {

Error invalid(std::string what) { return Error(ErrorCode::invalid_argument, std::move(what)); }

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

}  // namespace

// The control thread runs one save after another; everything it shares with callers is guarded by mutex_.
class CheckpointManager::Impl {
 public:
  using Clock = std::chrono::steady_clock;

  Impl(CheckpointManagerOptions options, std::shared_ptr<Store> store, std::vector<std::int64_t> steps)
      : Impl(options, std::move(store), std::move(steps), MemoryPlan(options)) {}

  Result<bool> save(std::int64_t step, Items items, SaveOptions options);
  Result<bool> wait_until(SaveEvent event, std::optional<std::chrono::nanoseconds> timeout);
  Result<void> check_for_errors();
  Result<void> close();
  Result<void> warm_up(const Items& items);
  Result<std::vector<std::int64_t>> all_steps(bool read);
  std::optional<std::int64_t> latest_step() const;
  bool should_save(std::int64_t step) const;
  Result<StepReader> open_step(std::int64_t step);
  Result<Restored> restore(std::optional<std::int64_t> step, RestoreOptions options);
  Result<std::optional<std::int64_t>> restore_latest(Tree& target, std::string_view item);

  std::shared_ptr<SaveJob> job() const {
    const std::lock_guard lock(mutex_);
    return job_;
  }
  std::optional<SaveReport> last_report() const {
    const std::lock_guard lock(mutex_);
    return last_report_;
  }

 private:
  Impl(const CheckpointManagerOptions& options, std::shared_ptr<Store> store, std::vector<std::int64_t> steps,
       const MemoryPlan& memory)
      : steps_(std::move(steps)),
        options_(options),
        store_(std::move(store)),
        collector_(*store_),
        staging_(memory.staging),
        coding_(memory.coding),
        workers_(memory.workers, options.worker_nice),
        control_(1, 0, "milepost save") {}

  std::string directory_of(std::int64_t step) const { return StepNaming(options_.step_prefix).name(step); }
  SaveContext save_context() { return {store_.get(), &workers_, &staging_, &coding_, &encoders_}; }
  RestoreContext restore_context() { return {store_.get(), &workers_, &staging_}; }

  // already_exists if the step's name is taken on disk. Unless `look` is on, only steps that are known are looked
  // for: that costs as much as all else that a lazy save does in the call, and the commit replaces nothing anyway.
  Result<void> check_free(std::int64_t step, bool look);
  void run(const std::shared_ptr<SaveJob>& job);  // in the control thread
  Result<void> remove_old_steps(std::int64_t newest);
  void wait_for(std::int64_t step);  // for a save of it in flight
  // How the last save ended, or the one in flight will.
  struct Outcome {
    bool finished = false;
    bool error_seen = false;
    std::optional<Error> error;
  };
  static Result<void> tell(Outcome& outcome);
  void add_step(std::int64_t step);
  void forget_step(std::int64_t step);
  Result<void> read_steps();
  Result<EntryInfo> find_record(std::int64_t step);
  bool is_gone(std::int64_t step);
  // Gives `read` an opened step, none: the latest, or null if there is none; again if that step was removed meanwhile.
  template <class Read>
  std::invoke_result_t<Read, StepReader*> read_step(std::optional<std::int64_t> step, const Read& read);
  std::optional<std::int64_t> latest_step_locked() const;
  Error no_such_step(std::int64_t step);

  std::mutex save_mutex_;  // one save() at a time; taken before mutex_

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::int64_t> steps_;  // committed, ascending
  std::uint64_t steps_version_ = 0;  // counts the changes of steps_
  std::shared_ptr<SaveJob> job_;     // in flight
  std::shared_ptr<Outcome> outcome_ = std::make_shared<Outcome>(Outcome{true, false, {}});
  bool closed_ = false;
  double waited_s_ = 0;  // of the save in flight
  double stall_s_ = 0;
  std::optional<SaveReport> last_report_;

  // Constant after construction, or with their own synchronization. Destroyed from the bottom up: the
  // threads, last of all, end before what they use.
  const CheckpointManagerOptions options_;
  const std::shared_ptr<Store> store_;
  Collector collector_;
  EncoderCache encoders_;
  BufferPool staging_;
  BufferPool coding_;
  WorkerPool workers_;
  WorkerPool control_;
};

Result<bool> CheckpointManager::Impl::save(std::int64_t step, Items items, SaveOptions options) {
  const auto called = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - called).count(); };
  const auto explain = [&](Error error) { return std::move(error).within("step " + std::to_string(step)); };

  const TraceSlice slice("save", {{"step", step}});
  TraceSlice checking("check");
  if (step < 0) return explain(invalid("a step must not be negative"));
  if (auto valid = check_items(items); valid.has_error()) return explain(valid.error());
  const Codec codec = options.codec.value_or(options_.codec);
  if (auto valid = check_codec(codec); valid.has_error()) return explain(valid.error());
  if (auto valid = check_metrics(options.metrics); valid.has_error()) return explain(valid.error());
  auto custom_metadata = compact_custom_metadata(options.custom_metadata_json);
  if (custom_metadata.has_error()) return explain(custom_metadata.error());

  checking.end();
  const std::lock_guard one_save(save_mutex_);
  if (!options.force && !should_save(step)) return false;
  {
    std::unique_lock lock(mutex_);
    if (closed_) return explain(Error(ErrorCode::failed_precondition, "the manager is closed"));
    if (options_.read_only) return explain(Error(ErrorCode::failed_precondition, "the manager is read-only"));
    const TraceSlice waiting("wait for the save before");
    changed_.wait(lock, [&] { return !job_; });
    if (!outcome_->error_seen) MILEPOST_TRY(tell(*outcome_));
  }
  const SnapshotMode mode = options.mode.value_or(options_.mode);
  if (auto free = check_free(step, mode == SnapshotMode::copy); free.has_error()) return explain(free.error());
  const double waited_s = seconds();

  SaveRequest request{step,
                      directory_of(step),
                      std::move(items),
                      mode,
                      codec,
                      std::move(options.metrics),
                      std::move(custom_metadata).value(),
                      options_.on_save_progress,
                      false};
  auto job = std::make_shared<SaveJob>(save_context(), std::move(request), called);
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return explain(Error(ErrorCode::failed_precondition, "the manager is closed"));
    outcome_ = std::make_shared<Outcome>();
    job_ = job;
    waited_s_ = waited_s;
  }
  control_.post([this, job] { run(job); });
  job->capture();

  const std::lock_guard lock(mutex_);
  stall_s_ = seconds();
  if (job_ != job && last_report_ && last_report_->step == step) last_report_->stall_s = stall_s_;
  return true;
}

Result<void> CheckpointManager::Impl::check_free(std::int64_t step, bool look) {
  {
    const std::lock_guard lock(mutex_);
    // A step that is known may be gone since.
    if (!look && !std::binary_search(steps_.begin(), steps_.end(), step)) return {};
  }
  const std::string name = directory_of(step);
  const auto info = store_->stat(name);
  if (info.has_value()) {
    return Error(ErrorCode::already_exists, store_->description() + "/" + name + ": File exists; it was not touched",
                 EEXIST);
  }
  return info.error().code() == ErrorCode::not_found ? Result<void>{} : info.error();
}

void CheckpointManager::Impl::run(const std::shared_ptr<SaveJob>& job) {
  TraceSlice slice("run save", {{"step", job->step()}});
  auto report = job->run();
  std::optional<Error> error;
  if (report.has_error()) {
    error = report.error();
    // Published, and only its survival is unknown: a step all the same, for readers and for retention.
    if (find_record(job->step()).has_value()) add_step(job->step());
  } else {
    add_step(job->step());
    if (auto removed = remove_old_steps(job->step()); removed.has_error()) {
      error = removed.error().within("step " + std::to_string(job->step()) +
                                     " is committed, but old steps could not be removed");
    }
  }
  slice.end();
  Trace::flush();
  const std::lock_guard lock(mutex_);
  if (report.has_value()) {
    report->waited_s = waited_s_;
    report->stall_s = stall_s_;
    last_report_ = *report;
  }
  outcome_->error = std::move(error);
  outcome_->finished = true;
  job_.reset();
  changed_.notify_all();
}

Result<void> CheckpointManager::Impl::remove_old_steps(std::int64_t newest) {
  const TraceSlice slice("retention");
  std::vector<StepInfo> steps;
  {
    const std::lock_guard lock(mutex_);
    for (const std::int64_t step : steps_) steps.push_back({.step = step});
  }
  const PreservationPolicy policy = preservation_policy_of({.max_to_keep = options_.max_to_keep});
  std::vector<Victim> victims;
  for (const PreservationDecision& decision : plan_preservation(policy, steps)) {
    // A step saved out of order, older than what is there, was still asked for just now.
    if (!decision.keep && decision.step != newest) victims.push_back({decision.step, directory_of(decision.step)});
  }
  const Collected collected = collector_.collect(std::move(victims));
  for (const std::int64_t step : collected.removed) forget_step(step);
  return collected.error ? *collected.error : Result<void>();
}

Result<void> CheckpointManager::Impl::tell(Outcome& outcome) {
  if (!outcome.error) return {};
  outcome.error_seen = true;
  return *outcome.error;
}

Result<bool> CheckpointManager::Impl::wait_until(SaveEvent event, std::optional<std::chrono::nanoseconds> timeout) {
  std::optional<Clock::time_point> deadline;
  // A deadline beyond what the clock can tell is none.
  if (const auto now = Clock::now(); timeout && *timeout < Clock::time_point::max() - now) {
    deadline = now + std::max(*timeout, std::chrono::nanoseconds::zero());
  }
  std::shared_ptr<SaveJob> current;
  std::shared_ptr<Outcome> outcome;  // of this save, even if the next one is under way when this thread wakes
  {
    const std::lock_guard lock(mutex_);
    current = job_;
    outcome = outcome_;
  }
  if (current && event != SaveEvent::committed) {
    const bool in_time =
        event == SaveEvent::captured ? current->snapshot().wait_captured(deadline) : current->wait_durable(deadline);
    if (!in_time) return false;
    // A failed save is captured too, but durable never: then its error is about to be known.
    if (event == SaveEvent::captured || current->is_durable()) return true;
  }
  std::unique_lock lock(mutex_);
  const auto finished = [&] { return outcome->finished; };
  if (deadline) {
    if (!changed_.wait_until(lock, *deadline, finished)) return false;
  } else {
    changed_.wait(lock, finished);
  }
  MILEPOST_TRY(tell(*outcome));
  return true;
}

Result<void> CheckpointManager::Impl::check_for_errors() {
  const std::lock_guard lock(mutex_);
  return tell(*outcome_);
}

Result<void> CheckpointManager::Impl::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  MILEPOST_TRY(wait_until(SaveEvent::committed, std::nullopt));
  return {};
}

Result<void> CheckpointManager::Impl::warm_up(const Items& items) {
  MILEPOST_TRY(check_items(items));
  std::size_t segments = 0;
  for (const Item& item : items) segments += plan_stream(item.tree, options_.codec).segments.size();
  const auto parallel_for = [this](std::size_t n, const std::function<void(std::size_t)>& fn) {
    workers_.parallel_for(n, fn);
  };
  MILEPOST_TRY(staging_.prefault(segments * staging_.block_bytes(), parallel_for));
  return coding_.prefault(std::numeric_limits<std::size_t>::max(), parallel_for);
}

// --- Steps.

std::optional<std::int64_t> CheckpointManager::Impl::latest_step_locked() const {
  std::optional<std::int64_t> latest;
  if (!steps_.empty()) latest = steps_.back();
  if (job_) latest = std::max(latest.value_or(job_->step()), job_->step());
  return latest;
}

std::optional<std::int64_t> CheckpointManager::Impl::latest_step() const {
  const std::lock_guard lock(mutex_);
  return latest_step_locked();
}

bool CheckpointManager::Impl::should_save(std::int64_t step) const {
  const std::lock_guard lock(mutex_);
  const SaveDecisionPolicy policy = save_policy_of({.save_interval_steps = options_.save_interval_steps});
  return !options_.read_only && decide_save(policy, {.step = step, .latest_step = latest_step_locked()}).save;
}

Result<std::vector<std::int64_t>> CheckpointManager::Impl::all_steps(bool read) {
  if (read) MILEPOST_TRY(read_steps());
  const std::lock_guard lock(mutex_);
  std::vector<std::int64_t> steps = steps_;
  if (job_ && !std::binary_search(steps.begin(), steps.end(), job_->step())) {
    steps.insert(std::lower_bound(steps.begin(), steps.end(), job_->step()), job_->step());
  }
  return steps;
}

void CheckpointManager::Impl::add_step(std::int64_t step) {
  const std::lock_guard lock(mutex_);
  ++steps_version_;
  const auto at = std::lower_bound(steps_.begin(), steps_.end(), step);
  if (at == steps_.end() || *at != step) steps_.insert(at, step);  // a listing may have been faster
}

void CheckpointManager::Impl::forget_step(std::int64_t step) {
  const std::lock_guard lock(mutex_);
  ++steps_version_;
  std::erase(steps_, step);
}

Result<void> CheckpointManager::Impl::read_steps() {
  const auto version = [&] {
    const std::lock_guard lock(mutex_);
    return steps_version_;
  };
  while (true) {
    const std::uint64_t before = version();
    MILEPOST_ASSIGN(auto found, list_steps(*store_, options_.step_prefix));
    const std::lock_guard lock(mutex_);
    if (steps_version_ != before) continue;  // the listing was overtaken
    steps_ = std::move(found);
    return {};
  }
}

void CheckpointManager::Impl::wait_for(std::int64_t step) {
  std::unique_lock lock(mutex_);
  if (!job_ || job_->step() != step) return;
  const auto current = job_;
  changed_.wait(lock, [&] { return job_ != current; });
}

Error CheckpointManager::Impl::no_such_step(std::int64_t step) {
  std::string message = "no such step in " + store_->description();
  if (const auto entries = store_->list_directory(""); entries.has_value()) {
    for (const DirectoryEntry& entry : *entries) {
      if (is_attempt_directory_name(entry.name) && entry.name.starts_with(".tmp-" + std::to_string(step) + "-")) {
        message += "; an attempt to save it was never committed (" + entry.name + ")";
      }
    }
  }
  if (const auto steps = list_steps(*store_, options_.step_prefix); steps.has_value()) {
    message += steps->empty()
                   ? "; it has none"
                   : "; it has " + std::to_string(steps->size()) + ", the latest is " + std::to_string(steps->back());
  }
  return Error(ErrorCode::not_found, std::move(message)).within("step " + std::to_string(step));
}

// --- Restoring.

Result<StepReader> CheckpointManager::Impl::open_step(std::int64_t step) {
  wait_for(step);
  auto reader = step < 0 ? Result<StepReader>(Error(ErrorCode::not_found, ""))
                         : StepReader::open(restore_context(), directory_of(step));
  if (reader.has_value()) {
    if (reader->record().step == step) return reader;
    return Error(ErrorCode::corruption,
                 reader->directory() + "/step.json: is the record of step " + std::to_string(reader->record().step))
        .within("step " + std::to_string(step));
  }
  if (reader.error().code() == ErrorCode::not_found) return no_such_step(step);
  return reader.error().within("step " + std::to_string(step));
}

Result<EntryInfo> CheckpointManager::Impl::find_record(std::int64_t step) {
  return store_->stat(directory_of(step) + '/' + std::string(step_record_name));
}

bool CheckpointManager::Impl::is_gone(std::int64_t step) {
  const auto info = find_record(step);
  return info.has_error() && info.error().code() == ErrorCode::not_found;
}

template <class Read>
std::invoke_result_t<Read, StepReader*> CheckpointManager::Impl::read_step(std::optional<std::int64_t> step,
                                                                           const Read& read) {
  if (const auto latest = step ? std::nullopt : latest_step()) wait_for(*latest);
  while (true) {
    std::int64_t wanted = step.value_or(0);
    if (!step) {
      MILEPOST_ASSIGN(const auto steps, list_steps(*store_, options_.step_prefix));
      if (steps.empty()) return read(nullptr);
      wanted = steps.back();
    }
    auto reader = open_step(wanted);
    if (reader.has_value()) {
      auto result = read(&*reader);
      if (result.has_value() || !is_gone(wanted)) return result;
      if (step) return no_such_step(wanted);
    } else if (step || !is_gone(wanted)) {
      return reader.error();
    }
  }
}

Result<Restored> CheckpointManager::Impl::restore(std::optional<std::int64_t> step, RestoreOptions options) {
  return read_step(step, [&](StepReader* reader) -> Result<Restored> {
    if (!reader) return Error(ErrorCode::not_found, "there are no steps in " + store_->description());
    return reader->restore(options);
  });
}

Result<std::optional<std::int64_t>> CheckpointManager::Impl::restore_latest(Tree& target, std::string_view item) {
  return read_step(std::nullopt, [&](StepReader* reader) -> Result<std::optional<std::int64_t>> {
    if (!reader) return std::optional<std::int64_t>();
    std::string name(item);
    if (name.empty()) {
      const auto& items = reader->record().items;
      if (items.size() != 1) {
        std::string names;
        for (const ItemRecord& record : items) names += (names.empty() ? "" : ", ") + record.name;
        return invalid("the step has several items (" + names + "): name one")
            .within("step " + std::to_string(reader->record().step));
      }
      name = items.front().name;
    }
    MILEPOST_ASSIGN(Restored restored, reader->restore({.items = {{.name = name, .target = target}}}));
    target = std::move(restored.tree());
    return std::optional(restored.step);
  });
}

// --- The handle.

Result<CheckpointManager> CheckpointManager::open(const std::string& directory, CheckpointManagerOptions options) {
  const auto explain = [&](Error error) { return std::move(error).within("open " + directory); };
  if (auto valid = check_options(options); valid.has_error()) return explain(valid.error());
  if (auto traced = Trace::start_from_environment(); traced.has_error()) return explain(traced.error());
  std::shared_ptr<Store> store = options.store;
  if (!store) {
    auto opened = PosixStore::open(directory, {.create = options.create && !options.read_only,
                                               .read_only = options.read_only,
                                               .backend = options.io_backend});
    if (opened.has_error()) return explain(opened.error());
    store = std::move(opened).value();
  }
  if (auto ensured = ensure_root_record(*store, options.read_only); ensured.has_error())
    return explain(ensured.error());
  if (options.cleanup_tmp_directories && !options.read_only) {
    if (auto swept = Collector(*store).sweep(); swept.has_error()) return explain(swept.error());
  }
  auto steps = list_steps(*store, options.step_prefix);
  if (steps.has_error()) return explain(steps.error());
  return CheckpointManager(std::make_unique<Impl>(std::move(options), std::move(store), std::move(steps).value()));
}

CheckpointManager::CheckpointManager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CheckpointManager::CheckpointManager(CheckpointManager&&) noexcept = default;
CheckpointManager& CheckpointManager::operator=(CheckpointManager&&) noexcept = default;
CheckpointManager::~CheckpointManager() = default;

Result<bool> CheckpointManager::save(std::int64_t step, Items items, SaveOptions options) {
  return impl_->save(step, std::move(items), std::move(options));
}

void CheckpointManager::fence() {
  if (const auto job = impl_->job()) job->snapshot().fence();
}

void CheckpointManager::fence(const void* data, std::size_t bytes) {
  if (const auto job = impl_->job(); job && !job->snapshot().is_captured()) job->snapshot().fence(data, bytes);
}

Result<bool> CheckpointManager::wait_until(SaveEvent event, std::optional<std::chrono::nanoseconds> timeout) {
  return impl_->wait_until(event, timeout);
}

Result<void> CheckpointManager::wait_until_finished() {
  MILEPOST_TRY(impl_->wait_until(SaveEvent::committed, std::nullopt));
  return {};
}

Result<void> CheckpointManager::check_for_errors() { return impl_->check_for_errors(); }
bool CheckpointManager::is_saving_in_progress() const { return impl_->job() != nullptr; }

Progress CheckpointManager::save_progress() const {
  const auto job = impl_->job();
  return job ? job->progress() : Progress{};
}

std::optional<SaveReport> CheckpointManager::last_save() const { return impl_->last_report(); }
Result<void> CheckpointManager::warm_up(const Items& items) { return impl_->warm_up(items); }
Result<std::vector<std::int64_t>> CheckpointManager::all_steps(bool read) { return impl_->all_steps(read); }
std::optional<std::int64_t> CheckpointManager::latest_step() const { return impl_->latest_step(); }
bool CheckpointManager::should_save(std::int64_t step) const { return impl_->should_save(step); }

Result<Restored> CheckpointManager::restore(std::optional<std::int64_t> step, RestoreOptions options) {
  return impl_->restore(step, std::move(options));
}

Result<std::optional<std::int64_t>> CheckpointManager::restore_latest(Tree& target, std::string_view item) {
  return impl_->restore_latest(target, item);
}

Result<StepReader> CheckpointManager::open_step(std::int64_t step) { return impl_->open_step(step); }
Result<void> CheckpointManager::close() { return impl_->close(); }

}  // namespace milepost
