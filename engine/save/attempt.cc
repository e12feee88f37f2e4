#include "milepost/engine/save/attempt.h"

#include "milepost/engine/format/names.h"
#include "milepost/io/try.h"

namespace milepost {

Result<Attempt> Attempt::begin(Store& store, std::int64_t step) {
  constexpr int tries_max = 8;
  for (int tries = 1;; ++tries) {
    std::string uuid = make_uuid();
    std::string directory = attempt_directory_name(step, uuid);
    MILEPOST_TRY(store.make_directory(directory));
    auto lock = store.lock_directory(directory, LockKind::exclusive);
    Attempt attempt(store, std::move(uuid), std::move(directory), lock.has_value() ? std::move(lock).value() : nullptr);
    // A file system without locks costs nothing here but the sweeping of dead attempts.
    if (lock.has_error() && lock.error().code() == ErrorCode::failed_precondition) return attempt;
    Result<void> locked;
    if (lock.has_error()) {
      locked = lock.error();
    } else if (auto info = store.stat(attempt.directory_); info.has_error()) {
      locked = info.error();
    }
    if (locked.has_value()) return attempt;
    const bool swept = locked.error().code() == ErrorCode::unavailable || locked.error().code() == ErrorCode::not_found;
    if (!swept || tries == tries_max) return attempt.abandon(locked.error());
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

Result<void> Attempt::publish(const std::string& final_name) {
  MILEPOST_TRY(store_->rename_no_replace(directory_, final_name));
  renamed_ = true;
  if (auto synced = store_->sync_directory(""); synced.has_error()) {
    return synced.error().within("the step was written whole, but whether it survives a power cut is unknown");
  }
  return {};
}

Result<void> Attempt::discard() { return remove_tree(*store_, directory_); }

Error Attempt::abandon(Error cause) {
  if (renamed_) return cause;
  if (auto removed = discard(); removed.has_error()) {
    return Error(
        cause.code(),
        cause.to_string() + " (and what was written could not be removed: " + removed.error().to_string() + ")",
        cause.system_errno());
  }
  return cause;
}

Result<void> sweep(Store& store) {
  MILEPOST_ASSIGN(const auto entries, store.list_directory(""));
  bool any = false;
  for (const DirectoryEntry& entry : entries) {
    if (entry.type != EntryType::directory) continue;
    const bool trash = is_trash_directory_name(entry.name);
    if (!trash && !is_attempt_directory_name(entry.name)) continue;
    // Free means dead: who writes or removes it holds the lock as long as he lives. Without locks nothing
    // is known of attempts.
    const auto lock = store.lock_directory(entry.name, LockKind::exclusive);
    if (lock.has_error() && !(trash && lock.error().code() == ErrorCode::failed_precondition)) continue;
    const auto removed = remove_tree(store, entry.name);
    // Its owner may have finished with it between the listing and the lock.
    if (removed.has_error() && removed.error().code() != ErrorCode::not_found) return removed.error();
    any = true;
  }
  return any ? store.sync_directory("") : Result<void>{};
}

Result<void> remove_step(Store& store, const std::string& directory, std::int64_t step) {
  // Held until it is gone: no sweeper removes it at the same time.
  const auto lock = store.lock_directory(directory, LockKind::exclusive);
  if (lock.has_error() && lock.error().code() != ErrorCode::failed_precondition) return lock.error();
  const std::string trash = trash_directory_name(step, make_uuid());
  MILEPOST_TRY(store.rename_no_replace(directory, trash));
  MILEPOST_TRY(store.sync_directory(""));
  return remove_tree(store, trash);
}

}  // namespace milepost
