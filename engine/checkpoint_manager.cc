#include "milepost/engine/checkpoint_manager.h"

#include "milepost/engine/format/names.h"
#include "milepost/engine/manager/restorer.h"
#include "milepost/engine/manager/saver.h"
#include "milepost/engine/manager/step_index.h"
#include "milepost/engine/memory_plan.h"
#include "milepost/engine/root.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <limits>
#include <system_error>
#include <utility>

namespace milepost {

// What all of it shares. Destroyed from the bottom up: saving ends before what it uses.
class CheckpointManager::Impl {
 public:
  Impl(CheckpointManagerOptions given, std::shared_ptr<Store> opened)
      : Impl(given, std::move(opened), MemoryPlan(given)) {}

  Result<void> warm_up(const ItemsView& items);

  const CheckpointManagerOptions options;
  const std::shared_ptr<Store> store;
  Spares<ChunkEncoder> encoders;
  Spares<DecodingSpace> decoders;
  BufferPool staging;
  BufferPool coding;
  WorkerPool workers;
  StepIndex index;
  Saver saver;
  Restorer restorer;

 private:
  Impl(const CheckpointManagerOptions& given, std::shared_ptr<Store> opened, const MemoryPlan& memory)
      : options(given),
        store(std::move(opened)),
        staging(memory.staging),
        coding(memory.coding),
        workers(memory.workers, given.worker_nice),
        index(store, naming_of(given)),
        saver(options, {store.get(), &workers, &staging, &coding, &encoders}, index),
        restorer({store.get(), &workers, &staging, &decoders}, index.naming(), &saver, given.io_backend) {}
};

Result<void> CheckpointManager::Impl::warm_up(const ItemsView& items) {
  MILEPOST_TRY(check_items(items));
  std::size_t segments = 0;
  for (const ItemView& item : items) segments += plan_stream(*item.tree, options.codec).segments.size();
  const auto parallel_for = [this](std::size_t n, const std::function<void(std::size_t)>& fn) {
    workers.parallel_for(n, fn);
  };
  MILEPOST_TRY(staging.prefault(segments * staging.block_bytes(), parallel_for));
  return coding.prefault(std::numeric_limits<std::size_t>::max(), parallel_for);
}

Result<CheckpointManager> CheckpointManager::open(const std::string& directory, CheckpointManagerOptions options) {
  const auto explain = [&](Error error) { return std::move(error).within("open " + directory); };
  if (auto valid = check_options(options); valid.has_error()) return explain(valid.error());
  auto custom_metadata = compact_custom_metadata(options.root_custom_metadata_json);
  if (custom_metadata.has_error()) return explain(custom_metadata.error().within("root_custom_metadata_json"));
  if (auto traced = Trace::start_from_environment(); traced.has_error()) return explain(traced.error());
  std::shared_ptr<Store> store = options.store;
  if (!store) {
    auto opened = PosixStore::open(directory, {.create = options.create && !options.read_only,
                                               .read_only = options.read_only,
                                               .path_permission_mode = options.path_permission_mode,
                                               .backend = options.io_backend});
    if (opened.has_error()) return explain(opened.error());
    store = std::move(opened).value();
  }
  if (auto ensured = ensure_root_record(*store, options.read_only, *custom_metadata); ensured.has_error()) {
    return explain(ensured.error());
  }
  const bool needs_records = options.best_fn || options.preservation_policy || options.max_to_keep;
  std::unique_ptr<Impl> impl;
  try {
    impl = std::make_unique<Impl>(std::move(options), std::move(store));
  } catch (const std::system_error& failure) {
    return explain(Error(ErrorCode::unavailable, std::string("start threads: ") + failure.code().message(),
                         failure.code().value()));
  }
  if (impl->options.cleanup_tmp_directories && !impl->options.read_only) {
    if (auto swept = impl->saver.sweep(); swept.has_error()) return explain(swept.error());
  }
  if (auto listed = impl->index.reload(); listed.has_error()) return explain(listed.error());
  if (needs_records && !impl->options.lightweight_initialize) {
    if (auto read = impl->index.infos(); read.has_error()) return explain(read.error());
  }
  return CheckpointManager(std::move(impl));
}

CheckpointManager::CheckpointManager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CheckpointManager::CheckpointManager(CheckpointManager&&) noexcept = default;
CheckpointManager& CheckpointManager::operator=(CheckpointManager&&) noexcept = default;
CheckpointManager::~CheckpointManager() = default;

Result<bool> CheckpointManager::save(std::int64_t step, const ItemsView& items, SaveOptions options) {
  return impl_->saver.save(step, items, std::move(options));
}

Result<bool> CheckpointManager::save_unnamed(std::int64_t step, const Tree& item, SaveOptions options) {
  return impl_->saver.save(step, {{default_item_name, item}}, std::move(options), true);
}

void CheckpointManager::fence() {
  if (const auto job = impl_->saver.job()) job->snapshot().fence();
}

void CheckpointManager::fence(const void* data, std::size_t bytes) {
  if (const auto job = impl_->saver.job(); job && !job->snapshot().is_captured()) job->snapshot().fence(data, bytes);
}

Result<bool> CheckpointManager::wait_until(SaveEvent event, std::optional<std::chrono::nanoseconds> timeout) {
  return impl_->saver.wait_until(event, timeout);
}

Result<void> CheckpointManager::wait_until_finished(std::optional<std::chrono::nanoseconds> timeout) {
  return impl_->saver.wait_until_finished(timeout);
}

Result<void> CheckpointManager::check_for_errors() { return impl_->saver.check_for_errors(); }
bool CheckpointManager::is_saving_in_progress() const { return impl_->saver.job() != nullptr; }

Progress CheckpointManager::save_progress() const {
  const auto job = impl_->saver.job();
  return job ? job->progress() : Progress{};
}

std::optional<SaveReport> CheckpointManager::last_save() const { return impl_->saver.last_report(); }
SaveCounters CheckpointManager::counters() const { return impl_->saver.counters(); }
Result<void> CheckpointManager::warm_up(const ItemsView& items) { return impl_->warm_up(items); }

// --- Steps.

Result<std::vector<std::int64_t>> CheckpointManager::all_steps(bool read) {
  if (read) MILEPOST_TRY(impl_->index.reload());
  for (;;) {
    const auto job = impl_->saver.job();
    std::vector<std::int64_t> steps = impl_->index.steps();
    if (impl_->saver.job() != job) continue;  // it ended meanwhile
    if (job && !std::binary_search(steps.begin(), steps.end(), job->step())) {
      steps.insert(std::lower_bound(steps.begin(), steps.end(), job->step()), job->step());
    }
    return steps;
  }
}

std::optional<std::int64_t> CheckpointManager::latest_step() const { return impl_->saver.latest_step(); }

Result<std::optional<std::int64_t>> CheckpointManager::best_step() {
  if (!impl_->options.best_fn) return impl_->index.latest();
  MILEPOST_ASSIGN(const auto infos, impl_->index.infos());
  return milepost::best_step(infos.steps, impl_->options.best_fn, impl_->options.best_mode);
}

Result<void> CheckpointManager::reload() { return impl_->index.reload(); }

bool CheckpointManager::should_save(std::int64_t step) {
  const auto decision = impl_->saver.save_decision(step);
  return decision.has_error() || decision->save;
}

Result<SaveDecision> CheckpointManager::save_decision(std::int64_t step) { return impl_->saver.save_decision(step); }
bool CheckpointManager::reached_preemption(std::int64_t step) { return impl_->saver.reached_preemption(step); }

Result<std::vector<PreservationDecision>> CheckpointManager::preservation_plan() {
  return impl_->saver.preservation_plan();
}

Result<void> CheckpointManager::delete_step(std::int64_t step) { return impl_->saver.delete_step(step); }

// --- Reading.

Result<StepMetadata> CheckpointManager::metadata(std::int64_t step) { return impl_->restorer.metadata(step); }
Result<RootMetadata> CheckpointManager::metadata() { return impl_->restorer.root_metadata(); }

Result<std::map<std::string, ItemMetadata, std::less<>>> CheckpointManager::item_metadata(std::int64_t step) {
  MILEPOST_ASSIGN(StepMetadata metadata, impl_->restorer.metadata(step));
  return std::move(metadata.items);
}

Result<std::optional<Metrics>> CheckpointManager::metrics(std::int64_t step) {
  MILEPOST_ASSIGN(StepRecord record, impl_->restorer.record(step));
  if (record.metrics.empty()) return std::optional<Metrics>();
  return std::optional(std::move(record.metrics));
}

Result<Restored> CheckpointManager::restore(std::optional<std::int64_t> step, RestoreOptions options) {
  return impl_->restorer.restore(step, options);
}

Result<std::optional<std::int64_t>> CheckpointManager::restore_latest(Tree& target, std::string_view item) {
  return impl_->restorer.restore_latest(target, item);
}

Result<StepReader> CheckpointManager::open_step(std::int64_t step) { return impl_->restorer.open_step(step); }
Result<void> CheckpointManager::close() { return impl_->saver.close(); }

}  // namespace milepost
