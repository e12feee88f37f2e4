#include "milepost/engine/federated/file_release_manager.h"

#include "milepost/engine/checkpoint_manager.h"
#include "milepost/io/try.h"

#include <chrono>
#include <mutex>
#include <utility>

namespace milepost {
namespace {

Result<void> check_key(std::int64_t key) {
  if (key >= 0) return {};
  return Error(ErrorCode::invalid_argument, "keys are 0 and above");
}

}  // namespace

class FileReleaseManager::Impl {
 public:
  explicit Impl(CheckpointManager manager) : manager_(std::move(manager)) {}

  Result<void> release(const ProgramValue& value, std::int64_t key) {
    MILEPOST_TRY(check_key(key));
    MILEPOST_ASSIGN(Tree tree, materialize(value));
    const std::lock_guard lock(mutex_);
    MILEPOST_TRY(manager_.save(key, std::move(tree), {.overwrite = true}));
    return {};
  }

  Result<Tree> get_value(std::int64_t key) {
    MILEPOST_TRY(check_key(key));
    const std::lock_guard lock(mutex_);
    MILEPOST_ASSIGN(Restored restored, manager_.restore(key));
    return std::move(restored.items.front().tree);
  }

 private:
  std::mutex mutex_;  // one at a time: each save gets its own error, and no reader is in its way
  CheckpointManager manager_;
};

FileReleaseManager::FileReleaseManager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileReleaseManager::FileReleaseManager(FileReleaseManager&&) noexcept = default;
FileReleaseManager& FileReleaseManager::operator=(FileReleaseManager&&) noexcept = default;
FileReleaseManager::~FileReleaseManager() = default;

Result<FileReleaseManager> FileReleaseManager::open(const std::string& root_dir, FileReleaseManagerOptions options) {
  CheckpointManagerOptions manager_options;
  manager_options.step_prefix = std::move(options.prefix);
  manager_options.codec = options.codec;
  manager_options.staging_bytes = staging_bytes_min;  // releases are small, as a rule; larger ones stream
  manager_options.lightweight_initialize = true;
  // A release is over when it returns, however long it takes; so nobody changes the value meanwhile.
  manager_options.enable_async_checkpointing = false;
  manager_options.timeout = std::chrono::nanoseconds::max();
  manager_options.mode = SnapshotMode::borrow;
  manager_options.store = std::move(options.store);
  MILEPOST_ASSIGN(CheckpointManager manager, CheckpointManager::open(root_dir, std::move(manager_options)));
  return FileReleaseManager(std::make_unique<Impl>(std::move(manager)));
}

Result<void> FileReleaseManager::release(const ProgramValue& value, const std::int64_t& key) {
  auto released = impl_->release(value, key);
  if (released.has_value()) return {};
  return released.error().within("release " + std::to_string(key));
}

Result<Tree> FileReleaseManager::get_value(std::int64_t key) {
  auto value = impl_->get_value(key);
  if (value.has_value()) return value;
  return value.error().within("release " + std::to_string(key));
}

}  // namespace milepost
