#include "milepost/engine/checkpoint_manager.h"

#include "milepost/engine/format/names.h"
#include "milepost/engine/manager/restorer.h"
#include "milepost/engine/manager/saver.h"
#include "milepost/engine/manager/step_index.h"
#include "milepost/engine/memory_plan.h"
#include "milepost/engine/root.h"
#include "milepost/engine/within_step.h"
#include "milepost/io/caught.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <limits>
#include <system_error>
#include <utility>

namespace milepost {
namespace {

// What a call about a step throws is told with the step.
template <class Function> std::invoke_result_t<Function> of_step(std::int64_t step, const Function& fn) noexcept {
  try {
    return fn();
  } catch (...) {
    return within_step(Error::of_exception(ErrorCode::internal), step);
  }
}

}  // namespace

// What all of it shares. Destroyed from the bottom up: saving ends before what it uses.
class CheckpointManager::Impl {
 public:
  Impl(CheckpointManagerOptions given, std::shared_ptr<Store> opened)
      : Impl(given, std::move(opened), MemoryPlan(given)) {}

  static Result<std::unique_ptr<Impl>> open(const std::string& directory, CheckpointManagerOptions options);
  Result<void> warm_up(const ItemsView& items);
  void let_write();
  void make_room(std::uint64_t bytes);
  Result<std::vector<std::int64_t>> all_steps(bool read);

  const CheckpointManagerOptions options;
  const std::shared_ptr<Store> store;
  const std::uint64_t memory_bound;
  const std::uint64_t coder_bytes;
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
        memory_bound(memory.bound),
        coder_bytes(memory.coder_bytes),
        staging(memory.staging),
        coding(memory.coding),
        workers(memory.workers, given.worker_nice),
        index(store, naming_of(given)),
        saver(options, {store.get(), &workers, &staging, &coding, &encoders}, index),
        restorer({store.get(), &workers, &staging, &decoders, [this] { let_write(); },
                  [this](std::uint64_t bytes) { make_room(bytes); }},
                 index.naming(), &saver, given.io_backend) {}
};

void CheckpointManager::Impl::let_write() {
  if (const auto job = saver.job()) job->let_write();
}

// What earlier saves had is free for the index of a step that is restored, but no more of it than that needs: the next
// save has to touch it anew. A restore takes its blocks from the staging memory, and has coders of its own.
void CheckpointManager::Impl::make_room(std::uint64_t bytes) {
  const std::uint64_t touched = staging.stats().touched_bytes + coding.stats().touched_bytes;
  const std::uint64_t wanted = touched + bytes + coder_bytes;
  if (wanted <= memory_bound) return;
  encoders.clear();
  const std::uint64_t over = wanted - memory_bound;
  const std::uint64_t given = coding.trim(over);
  if (given < over) staging.trim(over - given);
}

Result<void> CheckpointManager::Impl::warm_up(const ItemsView& items) {
  MILEPOST_TRY(check_items(items));
  store->warm_up();
  std::size_t segments = 0;
  for (const ItemView& item : items) segments += plan_stream(*item.tree, options.codec).segments.size();
  const auto parallel_for = [this](std::size_t n, const std::function<void(std::size_t)>& fn) {
    workers.parallel_for(n, fn);
  };
  MILEPOST_TRY(staging.prefault(segments * staging.block_bytes(), parallel_for));
  return coding.prefault(std::numeric_limits<std::size_t>::max(), parallel_for);
}

Result<CheckpointManager> CheckpointManager::open(const std::string& directory, CheckpointManagerOptions options) {
  return caught([&]() -> Result<CheckpointManager> {
    auto opened = caught([&] { return Impl::open(directory, std::move(options)); });
    if (opened.has_error()) return opened.error().within("open " + directory);
    return CheckpointManager(std::move(opened).value());
  });
}

Result<std::unique_ptr<CheckpointManager::Impl>> CheckpointManager::Impl::open(const std::string& directory,
                                                                               CheckpointManagerOptions options) {
  MILEPOST_TRY(check_options(options));
  auto custom_metadata = compact_custom_metadata(options.root_custom_metadata_json);
  if (custom_metadata.has_error()) return custom_metadata.error().within("root_custom_metadata_json");
  MILEPOST_TRY(Trace::start_from_environment());
  std::shared_ptr<Store> store = options.store;
  if (!store) {
    MILEPOST_ASSIGN(store, PosixStore::open(directory, {.create = options.create && !options.read_only,
                                                        .read_only = options.read_only,
                                                        .path_permission_mode = options.path_permission_mode,
                                                        .backend = options.io_backend}));
  }
  MILEPOST_TRY(ensure_root_record(*store, options.read_only, *custom_metadata));
  const bool needs_records = options.best_fn || options.preservation_policy || options.max_to_keep;
  std::unique_ptr<Impl> impl;
  try {
    impl = std::make_unique<Impl>(std::move(options), std::move(store));
  } catch (const std::system_error& failure) {
    return Error(ErrorCode::unavailable, std::string("start threads: ") + failure.code().message(),
                 failure.code().value());
  }
  if (impl->options.cleanup_tmp_directories && !impl->options.read_only) MILEPOST_TRY(impl->saver.sweep());
  MILEPOST_TRY(impl->index.reload());
  if (needs_records && !impl->options.lightweight_initialize) MILEPOST_TRY(impl->index.infos());
  return impl;
}

CheckpointManager::CheckpointManager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CheckpointManager::CheckpointManager(CheckpointManager&&) noexcept = default;
CheckpointManager& CheckpointManager::operator=(CheckpointManager&&) noexcept = default;
CheckpointManager::~CheckpointManager() = default;

Result<bool> CheckpointManager::save(std::int64_t step, const ItemsView& items, SaveOptions options) {
  return of_step(step, [&] { return impl_->saver.save(step, items, std::move(options)); });
}

Result<bool> CheckpointManager::save_unnamed(std::int64_t step, const Tree& item, SaveOptions options) {
  return of_step(step, [&] { return impl_->saver.save(step, {{default_item_name, item}}, std::move(options), true); });
}

void CheckpointManager::fence() {
  if (const auto job = impl_->saver.job()) job->snapshot().fence();
}

void CheckpointManager::fence(const void* data, std::size_t bytes) {
  if (const auto job = impl_->saver.job(); job && !job->snapshot().is_captured()) job->snapshot().fence(data, bytes);
}

Result<bool> CheckpointManager::wait_until(SaveEvent event, std::optional<std::chrono::nanoseconds> timeout) {
  return caught([&] { return impl_->saver.wait_until(event, timeout); });
}

Result<void> CheckpointManager::wait_until_finished(std::optional<std::chrono::nanoseconds> timeout) {
  return caught([&] { return impl_->saver.wait_until_finished(timeout); });
}

Result<void> CheckpointManager::check_for_errors() {
  return caught([&] { return impl_->saver.check_for_errors(); });
}

bool CheckpointManager::is_saving_in_progress() const { return impl_->saver.job() != nullptr; }

Progress CheckpointManager::save_progress() const {
  const auto job = impl_->saver.job();
  return job ? job->progress() : Progress{};
}

std::optional<SaveReport> CheckpointManager::last_save() const {
  auto report = caught([&] { return Result<std::optional<SaveReport>>(impl_->saver.last_report()); });
  return report.has_value() ? std::move(*report) : std::nullopt;
}

SaveCounters CheckpointManager::counters() const { return impl_->saver.counters(); }

Result<void> CheckpointManager::warm_up(const ItemsView& items) {
  return caught([&] { return impl_->warm_up(items); });
}

// --- Steps.

Result<std::vector<std::int64_t>> CheckpointManager::all_steps(bool read) {
  return caught([&] { return impl_->all_steps(read); });
}

Result<std::vector<std::int64_t>> CheckpointManager::Impl::all_steps(bool read) {
  if (read) MILEPOST_TRY(index.reload());
  for (;;) {
    const auto job = saver.job();
    std::vector<std::int64_t> steps = index.steps();
    if (saver.job() != job) continue;  // it ended meanwhile
    if (job && !std::binary_search(steps.begin(), steps.end(), job->step())) {
      steps.insert(std::lower_bound(steps.begin(), steps.end(), job->step()), job->step());
    }
    return steps;
  }
}

std::optional<std::int64_t> CheckpointManager::latest_step() const { return impl_->saver.latest_step(); }

Result<std::optional<std::int64_t>> CheckpointManager::best_step() {
  return caught([&]() -> Result<std::optional<std::int64_t>> {
    if (!impl_->options.best_fn) return impl_->index.latest();
    MILEPOST_ASSIGN(const auto infos, impl_->index.infos());
    return milepost::best_step(infos.steps, impl_->options.best_fn, impl_->options.best_mode);
  });
}

Result<void> CheckpointManager::reload() {
  return caught([&] { return impl_->index.reload(); });
}

bool CheckpointManager::should_save(std::int64_t step) {
  const auto decision = save_decision(step);
  return decision.has_error() || decision->save;
}

Result<SaveDecision> CheckpointManager::save_decision(std::int64_t step) {
  return of_step(step, [&] { return impl_->saver.save_decision(step); });
}

bool CheckpointManager::reached_preemption(std::int64_t step) {
  const auto reached = caught([&] { return Result<bool>(impl_->saver.reached_preemption(step)); });
  return reached.has_value() && *reached;
}

Result<std::vector<PreservationDecision>> CheckpointManager::preservation_plan() {
  return caught([&] { return impl_->saver.preservation_plan(); });
}

Result<void> CheckpointManager::delete_step(std::int64_t step) {
  return of_step(step, [&] { return impl_->saver.delete_step(step); });
}

// --- Reading.

Result<StepMetadata> CheckpointManager::metadata(std::int64_t step) {
  return of_step(step, [&] { return impl_->restorer.metadata(step); });
}

Result<RootMetadata> CheckpointManager::metadata() {
  return caught([&] { return impl_->restorer.root_metadata(); });
}

Result<std::map<std::string, ItemMetadata, std::less<>>> CheckpointManager::item_metadata(std::int64_t step) {
  auto found = metadata(step);
  if (found.has_error()) return found.error();
  return std::move(found->items);
}

Result<std::optional<Metrics>> CheckpointManager::metrics(std::int64_t step) {
  return of_step(step, [&]() -> Result<std::optional<Metrics>> {
    MILEPOST_ASSIGN(StepRecord record, impl_->restorer.record(step));
    if (record.metrics.empty()) return std::optional<Metrics>();
    return std::optional(std::move(record.metrics));
  });
}

Result<Restored> CheckpointManager::restore(std::optional<std::int64_t> step, RestoreOptions options) {
  return caught([&] { return impl_->restorer.restore(step, options); });
}

Result<std::optional<std::int64_t>> CheckpointManager::restore_latest(Tree& target, std::string_view item) {
  return caught([&] { return impl_->restorer.restore_latest(target, item); });
}

Result<StepReader> CheckpointManager::open_step(std::int64_t step) {
  return of_step(step, [&] { return impl_->restorer.open_step(step); });
}

Result<void> CheckpointManager::close() {
  return caught([&] { return impl_->saver.close(); });
}

}  // namespace milepost
