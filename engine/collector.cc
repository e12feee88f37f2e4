#include "milepost/engine/collector.h"

#include "milepost/engine/format/names.h"
#include "milepost/engine/within_step.h"
#include "milepost/io/caught.h"
#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace milepost {
namespace {

constexpr int background_nice = 19;

// Whatever somebody else has removed is as good as removed.
Result<void> unless_gone(Result<void> result) {
  return result.has_error() && result.error().code() == ErrorCode::not_found ? Result<void>() : result;
}

// All files below a directory; and the directories, itself included, each before what it holds.
struct Listing {
  std::vector<std::string> files;
  std::vector<std::string> directories;
};

Result<void> list_tree(Store& store, const std::string& directory, Listing& listing) {
  const auto entries = store.list_directory(directory);
  if (entries.has_error()) return unless_gone(entries.error());
  listing.directories.push_back(directory);
  for (const DirectoryEntry& entry : *entries) {
    const std::string path = directory + '/' + entry.name;
    if (entry.type == EntryType::directory) {
      MILEPOST_TRY(list_tree(store, path, listing));
    } else {
      listing.files.push_back(path);
    }
  }
  return {};
}

}  // namespace

Result<void> check_collector_options(const CollectorOptions& options, const StepNaming& naming) {
  const std::string& name = options.todelete_subdir;
  if (!name.empty()) {
    const std::string what = "todelete_subdir is \"" + name + "\": ";
    if (!is_file_name(name)) return invalid(what + "it must be a name of 1 to 255 bytes without '/' or a leading '.'");
    if (name == root_record_name || naming.parse(name)) {
      return invalid(what + "that is what something else is called");
    }
  }
  if (options.threads < 1) return invalid("there must be at least 1 deletion thread");
  return {};
}

Collector::Collector(Store& store, CollectorOptions options, std::function<void(const Error&)> on_background_error)
    : store_(store),
      options_(std::move(options)),
      on_background_error_(std::move(on_background_error)),
      workers_(options_.background    ? std::make_unique<WorkerPool>(options_.threads, background_nice)
               : options_.threads > 1 ? std::make_unique<WorkerPool>(options_.threads - 1, 0)  // and the caller's
                                      : nullptr) {}

Collector::~Collector() = default;

// --- Steps.

Collected Collector::collect(std::vector<Victim> victims) {
  const std::lock_guard one_at_a_time(collect_mutex_);
  return collect_and_remember(std::move(victims));
}

Collected Collector::retry() {
  const std::lock_guard one_at_a_time(collect_mutex_);
  std::vector<Victim> victims;
  {
    const std::lock_guard lock(mutex_);
    victims = put_off_;
  }
  return collect_and_remember(std::move(victims));
}

Collected Collector::collect_and_remember(std::vector<Victim> victims) {
  std::vector<Victim> put_off;
  Collected collected = collect_locked(std::move(victims), put_off);
  const std::lock_guard lock(mutex_);
  put_off_ = std::move(put_off);
  return collected;
}

void Collector::spare(std::int64_t step) {
  const std::lock_guard lock(mutex_);
  std::erase_if(put_off_, [&](const Victim& victim) { return victim.step == step; });
}

Result<void> Collector::remove(const Victim& victim, const std::function<void()>& gone) {
  const std::lock_guard one_at_a_time(collect_mutex_);
  if (const auto found = store_.stat(victim.directory + '/' + std::string(step_record_name)); found.has_error()) {
    if (gone && found.error().code() == ErrorCode::not_found) gone();
    return found.error();
  }
  std::vector<Victim> put_off;
  const Collected collected = collect_locked({victim}, put_off, gone);
  if (collected.error) return *collected.error;
  if (collected.in_use.empty()) return {};
  return Error(ErrorCode::unavailable, "step " + std::to_string(victim.step) + ": somebody has it open");
}

Collected Collector::collect_locked(std::vector<Victim> victims, std::vector<Victim>& put_off,
                                    const std::function<void()>& gone) {
  Collected collected;
  const auto note = [&](const Result<void>& result) {
    if (result.has_error() && !collected.error) collected.error = result.error();
  };
  // What is renamed must be remembered, whatever comes.
  collected.removed.reserve(victims.size());
  collected.in_use.reserve(victims.size());
  put_off.reserve(victims.size());
  Trash trash;
  {
    const std::lock_guard lock(mutex_);
    left_over_.reserve(left_over_.size() + victims.size());
    trash.swap(left_over_);
  }
  bool changed = !trash.empty();
  for (Victim& victim : victims) {
    const auto taken = caught([&] { return take_away(victim, trash); });
    if (taken.has_value() || taken.error().code() == ErrorCode::not_found) {
      collected.removed.push_back(victim.step);
      if (gone) gone();
      changed = changed || taken.has_value();
      continue;
    }
    if (taken.error().code() == ErrorCode::unavailable) {
      collected.in_use.push_back(victim.step);
    } else {
      note(within_step(taken.error(), victim.step));
    }
    put_off.push_back(std::move(victim));
  }
  if (!changed) return collected;
  // Were a file unlinked before, the power could fail and bring the step's name back without it.
  if (const auto synced = caught([&] { return sync_renames(); }); synced.has_error()) {
    note(synced);
    for (std::string& directory : trash) leave_over(std::move(directory));
  } else {
    note(unlink_all(std::move(trash)));
  }
  return collected;
}

Result<void> Collector::take_away(const Victim& victim, Trash& trash) {
  const auto lock = store_.lock_directory(victim.directory, LockKind::exclusive);
  if (lock.has_error() && lock.error().code() != ErrorCode::failed_precondition) return lock.error();
  if (!options_.todelete_subdir.empty()) return move_to_stay(victim);
  std::string name = trash_directory_name(victim.step, make_uuid());
  MILEPOST_TRY(store_.rename_no_replace(victim.directory, name));
  trash.push_back(std::move(name));
  return {};
}

Result<void> Collector::move_to_stay(const Victim& victim) {
  const auto made = store_.make_directory(options_.todelete_subdir);
  if (made.has_error() && made.error().code() != ErrorCode::already_exists) return made.error();
  const std::string name = options_.todelete_subdir + '/' + victim.directory;
  auto moved = store_.rename_no_replace(victim.directory, name);
  if (moved.has_value() || moved.error().code() != ErrorCode::already_exists) return moved;
  return store_.rename_no_replace(victim.directory, name + '-' + make_uuid());
}

Result<void> Collector::sync_renames() {
  if (!options_.todelete_subdir.empty()) {
    MILEPOST_TRY(unless_gone(store_.sync_directory(options_.todelete_subdir)));
  }
  return store_.sync_directory("");
}

// --- Trash.

Result<void> Collector::sweep(bool attempts) {
  const std::lock_guard one_at_a_time(collect_mutex_);
  MILEPOST_ASSIGN(const auto entries, store_.list_directory(""));
  Trash trash;
  for (const DirectoryEntry& entry : entries) {
    if (entry.type != EntryType::directory) continue;
    if (is_trash_directory_name(entry.name)) {
      trash.push_back(entry.name);
    } else if (attempts && is_attempt_directory_name(entry.name)) {
      // Free means dead: who writes it holds a lock as long as he lives.
      const auto lock = store_.lock_directory(entry.name, LockKind::exclusive);
      if (lock.has_error()) continue;
      std::string name = trash_name_of_attempt(entry.name);
      if (auto renamed = store_.rename_no_replace(entry.name, name); renamed.has_error()) {
        // Another user's, where only owners may rename.
        if (renamed.error().system_errno() == EPERM || renamed.error().system_errno() == EACCES) continue;
        return renamed;
      }
      trash.push_back(std::move(name));
    }
  }
  if (trash.empty()) return {};
  // Also for those who died before they could make a rename of theirs durable.
  MILEPOST_TRY(store_.sync_directory(""));
  return unlink_all(std::move(trash));
}

bool Collector::has_put_off() const {
  const std::lock_guard lock(mutex_);
  return !put_off_.empty() || !left_over_.empty();
}

bool Collector::wait_idle(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return idle_.wait_until(lock, deadline, [&] { return unlinking_ == 0; });
}

Result<void> Collector::wait() {
  {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [&] { return unlinking_ == 0; });
  }
  return check();
}

Result<void> Collector::check() {
  const std::lock_guard lock(mutex_);
  const std::optional<Error> error = std::exchange(error_, std::nullopt);
  return error ? *error : Result<void>();
}

Result<void> Collector::unlink_all(Trash trash) {
  std::optional<Error> error;
  for (std::string& directory : trash) {
    if (!options_.background) {
      const auto unlinked = unlink_or_keep(std::move(directory));
      if (unlinked.has_error() && !error) error = unlinked.error();
      continue;
    }
    {
      const std::lock_guard lock(mutex_);
      ++unlinking_;
    }
    const auto posted =
        caught([&] { workers_->post([this, directory]() mutable { unlink_in_background(std::move(directory)); }); });
    if (posted.has_error()) unlink_in_background(std::move(directory));  // here, for want of memory
  }
  return error ? *error : Result<void>();
}

void Collector::unlink_in_background(std::string directory) noexcept {
  const auto unlinked = unlink_or_keep(std::move(directory));
  if (unlinked.has_error()) {
    {
      const std::lock_guard lock(mutex_);
      error_ = error_ ? error_->and_then(unlinked.error()) : unlinked.error();
    }
    if (on_background_error_) on_background_error_(unlinked.error());
  }
  const std::lock_guard lock(mutex_);
  --unlinking_;
  idle_.notify_all();
}

Result<void> Collector::unlink_or_keep(std::string directory) noexcept {
  auto unlinked = caught([&] { return unlink(directory); });
  if (unlinked.has_error()) leave_over(std::move(directory));
  return unlinked;
}

// What there is no memory to remember is swept by the next manager.
void Collector::leave_over(std::string directory) noexcept {
  const std::lock_guard lock(mutex_);
  static_cast<void>(caught([&] { left_over_.push_back(std::move(directory)); }));
}

Result<void> Collector::unlink(const std::string& directory) {
  Listing listing;
  MILEPOST_TRY(list_tree(store_, directory, listing));
  std::mutex mutex;
  std::optional<Error> error;  // the first; guarded by mutex
  const std::function<void(std::size_t)> remove_file = [&](std::size_t i) {
    const auto removed = caught([&] { return unless_gone(store_.remove_file(listing.files[i])); });
    const std::lock_guard lock(mutex);
    if (removed.has_error() && !error) error = removed.error();
  };
  if (workers_ && options_.threads > 1) {
    workers_->parallel_for(listing.files.size(), remove_file);
  } else {
    for (std::size_t i = 0; i < listing.files.size(); ++i) remove_file(i);
  }
  if (error) return *error;
  for (std::size_t i = listing.directories.size(); i-- > 0;) {
    MILEPOST_TRY(unless_gone(store_.remove_directory(listing.directories[i])));
  }
  return {};
}

}  // namespace milepost
