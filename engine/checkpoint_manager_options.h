// What a checkpoint manager can be told.
#pragma once

#include "milepost/engine/collector.h"
#include "milepost/engine/format/step_naming.h"
#include "milepost/engine/manager_event.h"
#include "milepost/engine/preemption.h"
#include "milepost/engine/progress.h"
#include "milepost/engine/save/save_options.h"
#include "milepost/io/codec/codec.h"
#include "milepost/io/posix_store.h"
#include "milepost/policy/preservation.h"
#include "milepost/policy/save_decision.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace milepost {

inline constexpr std::uint64_t staging_bytes_min = std::uint64_t{64} << 20;

// What follows when a save in the background has failed. Either way the error is returned by everything that
// waits, by check_for_errors() and by the next save().
enum class OnSaveError : std::uint8_t {
  report_and_go_on,  // once it has been returned, saving goes on
  refuse_to_save,    // every later save() returns it: for loops that must not train on without checkpoints
};

// The functions and policies given here are called from whatever thread, several at once, and must not call the
// manager.
struct CheckpointManagerOptions {
  // --- When to save: the step's multiple, or one of these steps, or preemption, or the first of all; or what
  // should_save_fn says, or preemption; or what the policy alone says, or preemption. Never a step that is not later
  // than the latest.
  std::int64_t save_interval_steps = 1;  // at least 1
  std::set<std::int64_t> save_on_steps = {};
  ShouldSaveFn should_save_fn = {};
  SaveDecisionPolicy save_decision_policy = {};

  // --- What to keep. The newest step is always kept. A policy excludes the simple options. Without max_to_keep, and
  // without a policy, all steps are.
  std::optional<int> max_to_keep = std::nullopt;  // the latest, or with best_fn the best; none: all
  std::optional<std::chrono::nanoseconds> keep_time_interval = std::nullopt;  // and steps at least so far apart
  std::optional<std::int64_t> keep_period = std::nullopt;                     // and the multiples of this
  BestFn best_fn = {};  // from a step's metrics to what it is worth
  BestMode best_mode = BestMode::max;
  bool keep_checkpoints_without_metrics = true;
  std::optional<int> keep_latest = std::nullopt;  // and the latest, beside the best
  PreservationPolicy preservation_policy = {};

  // --- Names of the steps' directories: <step_prefix><step>, padded with zeros to so many digits; or of your own
  // making.
  std::string step_prefix = "";
  int step_format_fixed_length = 0;
  std::optional<StepNameFormat> step_name_format = std::nullopt;

  // --- How to save.
  SnapshotMode mode = SnapshotMode::copy;
  Codec codec = Codec::fast();
  bool enable_async_checkpointing = true;  // false: save() returns when the step is committed
  // How long save(), wait_until_finished() and close() wait at most for a save in flight: deadline_exceeded then.
  std::chrono::nanoseconds timeout = std::chrono::seconds(1200);
  OnSaveError on_save_error = OnSaveError::report_and_go_on;
  // How many failed writes of data a save repeats, at once, before it fails: for network file systems and disks that
  // fail now and then. Errors of fsync, and full disks, are never tried again.
  int write_retries = 0;
  // Tells when the job is to be stopped; may be shared by several managers.
  std::shared_ptr<PreemptionWatcher> preemption = nullptr;

  // Bound of the buffers that saves and restores use beside the caller's memory, in bytes; at least 64
  // MiB. With room for the whole state (and 64 MiB) a save stalls for one copy; with less, it streams.
  // Taken from the system as needed, and kept, until the index of a restore needs the room. The index of a
  // step (paths, shapes, manifest) takes up to 0.6 KB a leaf on top, for which 16 MiB are left. 0: a quarter
  // of the machine's memory.
  std::uint64_t staging_bytes = 0;
  int worker_threads = 0;  // 0: as many as the machine has
  int worker_nice = 10;    // how far the threads of saves and restores stand back behind the training loop's, 0 to 19

  // --- The directory.
  bool create = true;  // create it, and its missing parents
  bool read_only = false;
  bool cleanup_tmp_directories = true;  // remove attempts whose process is dead
  // Reads no step's record before it is needed: opens faster where there are thousands.
  bool lightweight_initialize = false;
  std::string root_custom_metadata_json = "null";  // any JSON text; written with the directory, and never again
  std::optional<unsigned> path_permission_mode = std::nullopt;  // of what is created, such as 0750; none: umask
  IoBackend io_backend = IoBackend::automatic;
  std::shared_ptr<Store> store = nullptr;  // instead of the file system at the path given to open()

  // --- Removing steps.
  // Moved there, under the root, in place of being deleted; what an overwrite replaces is deleted all the same.
  std::string todelete_subdir = "";
  bool enable_background_delete = false;  // in threads of its own; wait_until_finished() waits for it all the same
  int deletion_threads = 1;

  // --- Being told.
  ProgressFn on_save_progress = {};
  ManagerEventFn on_event = {};
};

// invalid_argument if the codec's level is out of range.
Result<void> check_codec(const Codec& codec);
// invalid_argument, naming the option.
Result<void> check_options(const CheckpointManagerOptions& options);
StepNaming naming_of(const CheckpointManagerOptions& options);
SaveDecisionPolicy decision_policy_of(const CheckpointManagerOptions& options);
PreservationPolicy preservation_policy_of(const CheckpointManagerOptions& options);  // empty: all are kept
CollectorOptions collector_options_of(const CheckpointManagerOptions& options);

}  // namespace milepost
