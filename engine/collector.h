// Removes steps, and what dead processes left behind: all removal is here.
//
// A step goes in three strides: it is renamed out of the way, while its directory is locked exclusively, so
// that nobody reads it; the root is fsynced; only then are its files unlinked. So no crash leaves half a
// step under a name that readers trust, and what it leaves of the rest is swept at the next open. Several
// processes may unlink the same trash: each passes over what another was faster with.
//
// A step that somebody has open, in this process or another, is put off. The lock of a reader that dies
// goes with it. On a file system without locks steps are removed under their readers.
#pragma once

#include "milepost/engine/format/step_naming.h"
#include "milepost/io/store.h"
#include "milepost/io/worker_pool.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace milepost {

struct CollectorOptions {
  // Steps are not deleted but moved to this directory under the root, which is made when it is first
  // needed: under the name that they had, with a dash and a uuid behind it if that is taken. Empty: deleted.
  std::string todelete_subdir = {};
  bool background = false;  // unlink on threads of the collector's own, at low priority, and not in the caller's
  int threads = 1;          // that unlink files at the same time, at least 1
};

// invalid_argument, naming the option. The subdirectory's name must be like an item's, and not what a
// step or the root record could be called.
Result<void> check_collector_options(const CollectorOptions& options, const StepNaming& naming);

// A step to be removed.
struct Victim {
  std::int64_t step = 0;
  std::string directory;  // relative to the root
};

// What became of the victims.
struct Collected {
  std::vector<std::int64_t> removed;  // readers see them no more; also those that somebody else had removed
  std::vector<std::int64_t> in_use;   // somebody has them open: untouched
  std::optional<Error> error;         // the first that went wrong; it did not stop the others
};

// All methods may be called from several threads at once. Uses the store until it is destroyed.
class Collector {
 public:
  // The options have been checked. `on_background_error` is told of each failure of the background, on its threads,
  // when check() knows of it and before wait_idle() returns; it throws nothing.
  explicit Collector(Store& store, CollectorOptions options = {},
                     std::function<void(const Error&)> on_background_error = {});
  ~Collector();  // waits; nobody hears of errors: wait() before

  // Removes steps: readers see them no more when it returns; in the background only the unlinking is done.
  // What is in use or failed is remembered for retry(), in place of what was before. What could not be
  // unlinked by earlier calls is tried again.
  Collected collect(std::vector<Victim> victims);
  // Tries again what the last call put off, for when there will be no next one.
  Collected retry();
  // The step has been saved anew: it is not to be tried again.
  void spare(std::int64_t step);
  // Removes one step. unavailable while somebody has it open, and then it is not remembered; not_found if
  // there is no such step. Calls `gone` as soon as there is none of that name any more, before anything is unlinked.
  Result<void> remove(const Victim& victim, const std::function<void()>& gone = {});

  // Unlinks what the deaths of processes, and overwrites, left in the trash.
  Result<void> empty_trash() { return sweep(false); }
  // That, and the attempts of dead processes. Anything in use, or of another name, is left alone. On a file
  // system without locks nothing is known of attempts: they stay.
  Result<void> sweep() { return sweep(true); }

  // Whether there is anything for retry(): put off, or not yet unlinked.
  bool has_put_off() const;
  // Until nothing is being unlinked; false: not by the deadline.
  bool wait_idle(std::chrono::steady_clock::time_point deadline);
  // Returns when nothing is being unlinked.
  Result<void> wait();
  // Both return the errors of the background that nobody has been told of yet, which are told by that.
  Result<void> check();

 private:
  using Trash = std::vector<std::string>;  // directories of which no reader knows any more

  Collected collect_and_remember(std::vector<Victim> victims);
  Collected collect_locked(std::vector<Victim> victims, std::vector<Victim>& put_off,
                           const std::function<void()>& gone = {});
  Result<void> take_away(const Victim& victim, Trash& trash);
  Result<void> move_to_stay(const Victim& victim);
  Result<void> sync_renames();
  Result<void> sweep(bool attempts);

  Result<void> unlink_all(Trash trash);
  void unlink_in_background(std::string directory) noexcept;
  Result<void> unlink_or_keep(std::string directory) noexcept;
  void leave_over(std::string directory) noexcept;
  Result<void> unlink(const std::string& directory);

  Store& store_;
  const CollectorOptions options_;
  const std::function<void(const Error&)> on_background_error_;

  std::mutex collect_mutex_;  // one call at a time renames; taken before mutex_

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::vector<Victim> put_off_;
  Trash left_over_;  // could not be unlinked
  std::size_t unlinking_ = 0;
  std::optional<Error> error_;  // of the background

  const std::unique_ptr<WorkerPool> workers_;  // null: not needed. The first to go: its threads use the rest
};

}  // namespace milepost
