#include "milepost/engine/save/attempt.h"

#include "milepost/engine/format/names.h"
#include "milepost/io/caught.h"
#include "milepost/io/try.h"

#include <new>

namespace milepost {

Result<std::unique_ptr<DirectoryLock>> lock_for_overwrite(Store& store, const std::string& name) {
  auto lock = store.lock_directory(name, LockKind::exclusive);
  if (lock.has_error()) {
    if (lock.error().code() == ErrorCode::unavailable) {
      return Error(ErrorCode::unavailable, "the step cannot be overwritten while somebody has it open: " + name,
                   lock.error().system_errno());
    }
    if (lock.error().code() != ErrorCode::failed_precondition) return lock;
    lock = nullptr;
  }
  if (const auto record = store.stat(name + '/' + std::string(step_record_name)); record.has_error()) {
    if (record.error().code() != ErrorCode::not_found) return record.error();
    return Error(ErrorCode::already_exists, name + " is not a step: it was not touched");
  }
  return lock;
}

Result<Attempt> Attempt::begin(Store& store, std::optional<std::int64_t> step) {
  constexpr int tries_max = 8;
  for (int tries = 1;; ++tries) {
    std::string uuid = make_uuid();
    std::string directory = attempt_directory_name(step, uuid);
    MILEPOST_TRY(store.make_directory(directory));
    auto lock = caught([&] { return store.lock_directory(directory, LockKind::shared); });
    Attempt attempt(store, std::move(uuid), std::move(directory), lock.has_value() ? std::move(lock).value() : nullptr);
    // A file system without locks costs nothing here but the sweeping of dead attempts.
    if (lock.has_value() || lock.error().code() == ErrorCode::failed_precondition) return attempt;
    const bool swept = lock.error().code() == ErrorCode::unavailable || lock.error().code() == ErrorCode::not_found;
    if (!swept || tries == tries_max) return attempt.abandon(lock.error());
  }
}

std::string Attempt::path(std::string_view item, std::string_view file) const {
  std::string path = directory_;
  path += '/';
  path += item;
  if (!file.empty()) {
    path += '/';
    path += file;
  }
  return path;
}

Result<void> Attempt::make_item(const std::string& item) { return store_->make_directory(path(item, "")); }

Result<void> Attempt::sync_item(const std::string& item) { return store_->sync_directory(path(item, "")); }

Result<void> Attempt::write_record(const StepRecord& record) {
  const std::string text = encode_step_record(record);
  MILEPOST_TRY(write_file(*store_, path(step_record_name, ""), std::as_bytes(std::span(text))));
  return store_->sync_directory(directory_);
}

Result<void> Attempt::publish(const std::string& final_name, bool overwrite) {
  for (;;) {
    const auto renamed = store_->rename_no_replace(directory_, final_name);
    if (renamed.has_value()) break;
    if (!overwrite || renamed.error().code() != ErrorCode::already_exists) return renamed.error();
    MILEPOST_ASSIGN(const bool exchanged, exchange(final_name));
    if (exchanged) return {};
  }
  outcome_unknown_ = true;
  return sync_root();
}

// False: the step that was there has been removed meanwhile.
Result<bool> Attempt::exchange(const std::string& final_name) {
  auto lock = lock_for_overwrite(*store_, final_name);
  if (lock.has_error()) {
    if (lock.error().code() == ErrorCode::not_found) return false;
    return lock.error();
  }
  outcome_unknown_ = true;  // also should the call throw
  if (const auto exchanged = store_->exchange(directory_, final_name); exchanged.has_error()) {
    outcome_unknown_ = exchanged.error().code() != ErrorCode::failed_precondition;
    // Removed by somebody who heeds no locks.
    if (exchanged.error().code() == ErrorCode::not_found && store_->stat(directory_).has_value()) {
      outcome_unknown_ = false;
      return false;
    }
    return exchanged.error();
  }
  // Held until nothing is left of the old step but trash: no sweeper takes it for a dead attempt before.
  replaced_ = std::move(lock).value();
  exchanged_ = true;
  MILEPOST_TRY(sync_root());
  return true;
}

Result<void> Attempt::trash_replaced() {
  if (!exchanged_) return {};
  const auto moved = store_->rename_no_replace(directory_, trash_name_of_attempt(directory_));
  replaced_.reset();
  if (moved.has_error()) return Error(moved.error()).within("what it replaced could not be put in the trash");
  return {};
}

Result<void> Attempt::sync_root() {
  if (auto synced = store_->sync_directory(""); synced.has_error()) {
    return synced.error().within("the step was written whole, but whether it survives a power cut is unknown");
  }
  return {};
}

Result<void> Attempt::discard() { return remove_tree(*store_, directory_); }

Error Attempt::abandon(Error cause) noexcept {
  if (outcome_unknown_) return cause;
  const auto removed = caught([&] { return discard(); });
  if (removed.has_value()) return cause;
  left_ = true;
  try {
    return Error(
        cause.code(),
        cause.to_string() + " (and what was written could not be removed: " + removed.error().to_string() + ")",
        cause.system_errno());
  } catch (const std::bad_alloc&) {
    return cause;
  }
}

}  // namespace milepost
