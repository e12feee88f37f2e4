#include "milepost/engine/federated/file_program_state_manager.h"

#include "milepost/engine/catalog.h"
#include "milepost/engine/checkpoint_manager.h"
#include "milepost/engine/federated/async_calls.h"
#include "milepost/engine/restore/fallback.h"
#include "milepost/io/refusal.h"
#include "milepost/io/try.h"
#include "milepost/policy/program_state_retention.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace milepost {
namespace {

constexpr const char* item_name = "state";

Result<void> check_options(const std::string& root_dir, const FileProgramStateManagerOptions& options) {
  if (root_dir.empty() && !options.store) return invalid("root_dir is empty");
  if (options.keep_every_k < 1) {
    return invalid("keep_every_k is " + std::to_string(options.keep_every_k) + ": it must be at least 1");
  }
  auto named = StepNaming(options.prefix).check();
  if (named.has_error()) return named.error().within("prefix \"" + options.prefix + "\"");
  return {};
}

bool removes_old(const FileProgramStateManagerOptions& options) {
  return options.keep_total > 0 || options.keep_every_k > 1;
}

// Saves are synchronous, so nobody changes the state meanwhile, and nothing has to be copied ahead.
CheckpointManagerOptions manager_options(const FileProgramStateManagerOptions& options, std::shared_ptr<Store> store) {
  CheckpointManagerOptions manager;
  manager.step_prefix = options.prefix;
  if (removes_old(options)) {
    manager.preservation_policy = ProgramStateRetention{options.keep_total, options.keep_first, options.keep_every_k};
  }
  manager.lightweight_initialize = true;
  manager.mode = SnapshotMode::borrow;
  manager.enable_async_checkpointing = false;
  manager.timeout = std::chrono::nanoseconds::max();
  manager.codec = options.codec;
  manager.staging_bytes = options.staging_bytes;
  manager.worker_threads = options.worker_threads;
  manager.read_only = options.read_only;
  manager.on_event = options.on_event;
  manager.store = std::move(store);
  return manager;
}

}  // namespace

class FileProgramStateManager::Impl {
 public:
  Impl(std::shared_ptr<Store> store, const FileProgramStateManagerOptions& options, CheckpointManager manager)
      : store_(std::move(store)),
        naming_(options.prefix),
        removes_old_(removes_old(options)),
        manager_(std::move(manager)) {}

  Result<std::optional<std::vector<std::int64_t>>> get_versions();
  Result<ProgramValue> load(std::int64_t version, const ProgramValue& structure, const LoadOptions& options);
  Result<LatestProgramState> load_latest(const ProgramValue& structure, const LoadLatestOptions& options);
  Result<void> save(const ProgramValue& program_state, std::int64_t version);
  Result<void> remove_all();

  template <class T> std::future<Result<T>> start(std::function<Result<T>()> call) {
    return calls_.start<T>(std::move(call));
  }

 private:
  Result<Tree> read(std::int64_t version, const ProgramValue& structure, StructureMatch match);
  // Fails only for the program's own reasons: the leaves are what was saved.
  static Result<ProgramValue> assemble(std::int64_t version, Tree leaves, const ProgramValue& structure);
  // None: a version that had been listed was removed before it could be read.
  Result<std::optional<LatestProgramState>> load_newest_of(const std::vector<std::int64_t>& versions,
                                                           const ProgramValue& structure,
                                                           const LoadLatestOptions& options);

  // So that old versions are removed that somebody else saved, in this process or another, or that this manager saved
  // and could not see any more when its disk had failed.
  Result<void> see_what_others_did();

  const std::shared_ptr<Store> store_;
  const StepNaming naming_;
  const bool removes_old_;
  CheckpointManager manager_;
  AsyncCalls calls_;  // the first to go: they use the rest
};

Result<std::optional<std::vector<std::int64_t>>> FileProgramStateManager::Impl::get_versions() {
  MILEPOST_ASSIGN(auto versions, list_steps(*store_, naming_));
  return versions.empty() ? std::nullopt : std::optional(std::move(versions));
}

Result<ProgramValue> FileProgramStateManager::Impl::load(std::int64_t version, const ProgramValue& structure,
                                                         const LoadOptions& options) {
  MILEPOST_ASSIGN(Tree leaves, read(version, structure, options.match));
  return assemble(version, std::move(leaves), structure);
}

Result<Tree> FileProgramStateManager::Impl::read(std::int64_t version, const ProgramValue& structure,
                                                 StructureMatch match) {
  MILEPOST_ASSIGN(StepReader reader, manager_.open_step(version));
  return read_leaves(reader, item_name, structure, match);
}

Result<ProgramValue> FileProgramStateManager::Impl::assemble(std::int64_t version, Tree leaves,
                                                             const ProgramValue& structure) {
  auto value = milepost::assemble(std::move(leaves), structure);
  if (value.has_error()) return value.error().within("step " + std::to_string(version));
  return value;
}

Result<std::optional<LatestProgramState>> FileProgramStateManager::Impl::load_newest_of(
    const std::vector<std::int64_t>& versions, const ProgramValue& structure, const LoadLatestOptions& options) {
  LatestProgramState latest;
  for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
    auto leaves = read(*version, structure, options.match);
    if (leaves.has_value()) {
      MILEPOST_ASSIGN(latest.state, assemble(*version, std::move(leaves).value(), structure));
      latest.version = *version;
      return std::optional(std::move(latest));
    }
    if (leaves.error().code() == ErrorCode::not_found) {
      MILEPOST_ASSIGN(const auto left, list_steps(*store_, naming_));
      if (!std::binary_search(left.begin(), left.end(), *version)) return std::optional<LatestProgramState>();
    }
    if (!options.fallback || !may_fall_back(leaves.error())) return leaves.error();
    latest.skipped.push_back({*version, leaves.error()});
  }
  if (latest.skipped.empty()) return std::optional(std::move(latest));
  std::vector<Error> reasons;
  for (SkippedVersion& skipped : latest.skipped) reasons.push_back(std::move(skipped.reason));
  return nothing_to_fall_back_to("version", reasons);
}

Result<LatestProgramState> FileProgramStateManager::Impl::load_latest(const ProgramValue& structure,
                                                                      const LoadLatestOptions& options) {
  for (;;) {
    MILEPOST_ASSIGN(const auto versions, list_steps(*store_, naming_));
    MILEPOST_ASSIGN(auto latest, load_newest_of(versions, structure, options));
    if (latest) return *std::move(latest);
  }
}

Result<void> FileProgramStateManager::Impl::save(const ProgramValue& program_state, std::int64_t version) {
  const auto explain = [&](Error error) { return std::move(error).within("step " + std::to_string(version)); };
  if (version < 0) return explain(invalid("a version must not be negative"));
  // What is there already is not worth waiting for references.
  const auto there = store_->stat(naming_.name(version));
  if (there.has_value()) {
    return explain(Error(ErrorCode::already_exists,
                         store_->description() + "/" + naming_.name(version) + " is there, and was not touched"));
  }
  if (there.error().code() != ErrorCode::not_found) return explain(there.error());
  auto tree = materialize(program_state);
  if (tree.has_error()) return explain(tree.error());
  if (auto updated = see_what_others_did(); updated.has_error()) return explain(updated.error());
  MILEPOST_TRY(manager_.save(version, {{item_name, std::move(tree).value()}}, {.force = true}));
  return {};
}

Result<void> FileProgramStateManager::Impl::see_what_others_did() {
  if (!removes_old_) return {};
  MILEPOST_ASSIGN(const auto there, list_steps(*store_, naming_));
  MILEPOST_ASSIGN(const auto known, manager_.all_steps());
  return there == known ? Result<void>{} : manager_.reload();
}

Result<void> FileProgramStateManager::Impl::remove_all() {
  MILEPOST_ASSIGN(const auto versions, list_steps(*store_, naming_));
  MILEPOST_TRY(manager_.reload());  // after the listing: it knows no less
  std::optional<Error> first;
  for (const std::int64_t version : versions) {
    const auto removed = manager_.delete_step(version);
    // Somebody else was faster.
    if (removed.has_value() || removed.error().code() == ErrorCode::not_found) continue;
    if (!first) first = removed.error();
  }
  if (first) return *first;
  return {};
}

// --- The handle.

Result<FileProgramStateManager> FileProgramStateManager::open(const std::string& root_dir,
                                                              FileProgramStateManagerOptions options) {
  const auto explain = [&](Error error) { return std::move(error).within("open " + root_dir); };
  if (auto valid = check_options(root_dir, options); valid.has_error()) return explain(valid.error());
  std::shared_ptr<Store> store = options.store;
  if (!store) {
    auto opened = PosixStore::open(root_dir, {.create = !options.read_only, .read_only = options.read_only});
    if (opened.has_error()) return explain(opened.error());
    store = std::move(opened).value();
  }
  MILEPOST_ASSIGN(CheckpointManager manager, CheckpointManager::open(root_dir, manager_options(options, store)));
  return FileProgramStateManager(std::make_unique<Impl>(std::move(store), options, std::move(manager)));
}

FileProgramStateManager::FileProgramStateManager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileProgramStateManager::FileProgramStateManager(FileProgramStateManager&&) noexcept = default;
FileProgramStateManager& FileProgramStateManager::operator=(FileProgramStateManager&&) noexcept = default;
FileProgramStateManager::~FileProgramStateManager() = default;

Result<std::optional<std::vector<std::int64_t>>> FileProgramStateManager::get_versions() const {
  return impl_->get_versions();
}

Result<ProgramValue> FileProgramStateManager::load(std::int64_t version, const ProgramValue& structure,
                                                   const LoadOptions& options) const {
  return impl_->load(version, structure, options);
}

Result<LatestProgramState> FileProgramStateManager::load_latest(const ProgramValue& structure,
                                                                const LoadLatestOptions& options) const {
  return impl_->load_latest(structure, options);
}

Result<void> FileProgramStateManager::save(const ProgramValue& program_state, std::int64_t version) {
  return impl_->save(program_state, version);
}

Result<void> FileProgramStateManager::remove_all() { return impl_->remove_all(); }

// Of the Impl, which stays where it is when the handle is moved.

std::future<Result<std::optional<std::vector<std::int64_t>>>> FileProgramStateManager::get_versions_async() const {
  return impl_->start<std::optional<std::vector<std::int64_t>>>([impl = impl_.get()] { return impl->get_versions(); });
}

std::future<Result<ProgramValue>> FileProgramStateManager::load_async(std::int64_t version, ProgramValue structure,
                                                                      LoadOptions options) const {
  return impl_->start<ProgramValue>([impl = impl_.get(), version, structure = std::move(structure), options] {
    return impl->load(version, structure, options);
  });
}

std::future<Result<LatestProgramState>> FileProgramStateManager::load_latest_async(ProgramValue structure,
                                                                                   LoadLatestOptions options) const {
  return impl_->start<LatestProgramState>([impl = impl_.get(), structure = std::move(structure), options] {
    return impl->load_latest(structure, options);
  });
}

std::future<Result<void>> FileProgramStateManager::save_async(ProgramValue program_state, std::int64_t version) {
  return impl_->start<void>(
      [impl = impl_.get(), state = std::move(program_state), version] { return impl->save(state, version); });
}

std::future<Result<void>> FileProgramStateManager::remove_all_async() {
  return impl_->start<void>([impl = impl_.get()] { return impl->remove_all(); });
}

}  // namespace milepost
