#include "milepost/engine/federated/file_checkpoint_manager.h"

#include "milepost/io/try.h"

#include <mutex>
#include <utility>

namespace milepost {

class FileCheckpointManager::Impl {
 public:
  Impl(std::string root_dir, FileCheckpointManagerOptions options)
      : root_dir_(std::move(root_dir)), options_(std::move(options)) {}

  Result<void> check_options() const {
    if (options_.step >= 1) return {};
    return Error(ErrorCode::invalid_argument, "step is " + std::to_string(options_.step) + ": it must be at least 1");
  }

  bool passes_over(std::int64_t round) const { return round >= 0 && round % options_.step != 0; }

  // Null: the directory is not there.
  Result<FileProgramStateManager*> for_loading() {
    MILEPOST_TRY(check_options());
    const std::lock_guard lock(mutex_);
    if (writer_) return &*writer_;
    if (!reader_) {
      auto opened = open(true);
      if (opened.has_error() && opened.error().code() == ErrorCode::not_found) return nullptr;
      if (opened.has_error()) return opened.error();
      reader_.emplace(std::move(opened).value());
    }
    return &*reader_;
  }

  Result<FileProgramStateManager*> for_saving() {
    MILEPOST_TRY(check_options());
    const std::lock_guard lock(mutex_);
    if (!writer_) {
      MILEPOST_ASSIGN(auto opened, open(false));
      writer_.emplace(std::move(opened));
    }
    return &*writer_;
  }

 private:
  Result<FileProgramStateManager> open(bool read_only) const {
    return FileProgramStateManager::open(root_dir_, {.prefix = options_.prefix,
                                                     .keep_total = options_.keep_total,
                                                     .keep_first = options_.keep_first,
                                                     .codec = options_.codec,
                                                     .staging_bytes = options_.staging_bytes,
                                                     .worker_threads = options_.worker_threads,
                                                     .read_only = read_only,
                                                     .store = options_.store});
  }

  const std::string root_dir_;
  const FileCheckpointManagerOptions options_;

  std::mutex mutex_;
  // Guarded by mutex_, and never replaced: other calls may be using them.
  std::optional<FileProgramStateManager> reader_;
  std::optional<FileProgramStateManager> writer_;
};

FileCheckpointManager::FileCheckpointManager(std::string root_dir, FileCheckpointManagerOptions options)
    : impl_(std::make_unique<Impl>(std::move(root_dir), std::move(options))) {}
FileCheckpointManager::FileCheckpointManager(FileCheckpointManager&&) noexcept = default;
FileCheckpointManager& FileCheckpointManager::operator=(FileCheckpointManager&&) noexcept = default;
FileCheckpointManager::~FileCheckpointManager() = default;

Result<ProgramValue> FileCheckpointManager::load_checkpoint(const ProgramValue& structure, std::int64_t round,
                                                            const LoadOptions& options) {
  MILEPOST_ASSIGN(FileProgramStateManager* const manager, impl_->for_loading());
  if (manager) return manager->load(round, structure, options);
  return Error(ErrorCode::not_found, "step " + std::to_string(round) + ": the directory is not there");
}

Result<std::optional<SimulationCheckpoint>> FileCheckpointManager::load_latest_checkpoint(const ProgramValue& structure,
                                                                                          const LoadOptions& options) {
  MILEPOST_ASSIGN(FileProgramStateManager* const manager, impl_->for_loading());
  if (!manager) return std::optional<SimulationCheckpoint>();
  MILEPOST_ASSIGN(LatestProgramState latest, manager->load_latest(structure, {.match = options.match}));
  if (!latest.state) return std::optional<SimulationCheckpoint>();
  return std::optional(SimulationCheckpoint{*std::move(latest.state), latest.version});
}

Result<SimulationCheckpoint> FileCheckpointManager::load_latest_checkpoint_or_default(const ProgramValue& default_state,
                                                                                      const LoadOptions& options) {
  MILEPOST_ASSIGN(auto latest, load_latest_checkpoint(default_state, options));
  if (latest) return *std::move(latest);
  const auto saved = save_checkpoint(default_state, 0);
  if (saved.has_value()) return SimulationCheckpoint{default_state, 0};
  if (saved.error().code() == ErrorCode::already_exists) {
    // Somebody else was faster, and it is his that counts.
    MILEPOST_ASSIGN(latest, load_latest_checkpoint(default_state, options));
    if (latest) return *std::move(latest);
  }
  return saved.error();
}

Result<bool> FileCheckpointManager::save_checkpoint(const ProgramValue& state, std::int64_t round) {
  MILEPOST_TRY(impl_->check_options());
  if (impl_->passes_over(round)) return false;
  MILEPOST_ASSIGN(FileProgramStateManager* const manager, impl_->for_saving());
  MILEPOST_TRY(manager->save(state, round));
  return true;
}

}  // namespace milepost
