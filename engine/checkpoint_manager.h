// CheckpointManager: saves steps of a training run asynchronously, keeps those worth keeping, and
// brings any of them back.
//
//   auto manager = milepost::CheckpointManager::open("/ckpts", {.max_to_keep = 3}).value();
//   manager.save(step, {{"state", state}}).value();   // returns when the state is frozen
//   ...
//   manager.wait_until_finished().value();
//
// Three events of a save can be waited for, and are never mixed up:
//   captured    the caller may change its buffers
//   durable     every byte is on stable storage
//   committed   readers see the step, and old steps have been removed (in a grace period, and where removal is a matter
//               of the background, they go later)
#pragma once

#include "milepost/engine/checkpoint_manager_options.h"
#include "milepost/engine/items.h"
#include "milepost/engine/metadata.h"
#include "milepost/engine/progress.h"
#include "milepost/engine/restore/restore.h"
#include "milepost/engine/save/save_options.h"

#include <chrono>
#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace milepost {

// All methods may be called from several threads at once. A handle: movable, not copyable. Nothing is thrown, not even
// std::bad_alloc: a call that lacks memory returns no_space with ENOMEM, and so does a save that lacks it in the
// background; what was there stays, and the next call may have it again. What a call is given (trees, options, paths)
// is made and copied by the caller, before.
class CheckpointManager {
 public:
  // invalid_argument names the option. not_found (no directory, and create is off), io,
  // failed_precondition (something else's directory: a milepost.json of a newer version), unavailable (a network file
  // system shows only steps that are gone: try again).
  static Result<CheckpointManager> open(const std::string& directory, CheckpointManagerOptions options = {});
  CheckpointManager(CheckpointManager&&) noexcept;
  CheckpointManager& operator=(CheckpointManager&&) noexcept;
  // As close(), but nobody hears of an error: close() first.
  ~CheckpointManager();

  // Freezes the items and schedules their save; true: scheduled; false: should_save(step) is false, or, after a
  // preemption notice, no more than the save in flight fits into the grace period (on_event says so).
  // Waits for the save in flight first. If nobody has seen its error yet, or another one of the background, it is
  // returned, and says that this step, which is frozen by then, is being saved all the same: no error costs another
  // step. Calling again for that step is true. invalid_argument names the item and leaf; already_exists, which in modes
  // lazy and borrow is the save's error, not the call's, if somebody else made the step since it was last listed.
  // deadline_exceeded, if the save before takes longer than the options' timeout, or freezing this one does because
  // the state does not fit into staging_bytes and the disk does not go on.
  // Of a tree that is saved everything but the memory of tensors is copied, which must live until the save is captured.
  // The items of a step whose turn it is not are not looked at.
  // After a preemption notice the save is made to fit into the grace period: see SaveReport::grace.
  Result<bool> save(std::int64_t step, const ItemsView& items, SaveOptions options = {});
  // The same for a single item without a name, which is called default_item_name. One manager takes either items with
  // names or one without: invalid_argument.
  template <std::same_as<Tree> Item>  // nothing in braces: that means items
  Result<bool> save(std::int64_t step, const Item& item, SaveOptions options = {}) {
    return save_unnamed(step, item, std::move(options));
  }

  // Returns when no part of the state is needed any more by the save in flight, and helps to get
  // there. Legal in every mode, at any time; instant when there is nothing to wait for.
  void fence();
  // The same for the memory [data, data + bytes).
  void fence(const void* data, std::size_t bytes);

  // Waits for an event of the save in flight; true: it happened (or nothing is in flight); false:
  // not within the timeout. The save's error, if it failed.
  Result<bool> wait_until(SaveEvent event, std::optional<std::chrono::nanoseconds> timeout = std::nullopt);
  // Until the save in flight is committed and old steps are gone. Every waiter gets its error. deadline_exceeded, with
  // how far it has come: not within the timeout; none: the options' timeout. The save goes on.
  Result<void> wait_until_finished(std::optional<std::chrono::nanoseconds> timeout = std::nullopt);
  // The error of the last save, or of anything else in the background, without waiting.
  Result<void> check_for_errors();
  bool is_saving_in_progress() const;
  Progress save_progress() const;
  // Of the last save that finished; none before, and where there is no memory for the reason in it.
  std::optional<SaveReport> last_save() const;

  SaveCounters counters() const;

  // Maps and touches the staging memory that saving these trees takes and makes the store ready, so that the first save
  // stalls no longer than later ones.
  Result<void> warm_up(const ItemsView& items);

  // Ascending; includes the step in flight. `read` lists the directory again.
  Result<std::vector<std::int64_t>> all_steps(bool read = false);
  // None if there is none.
  std::optional<std::int64_t> latest_step() const;
  // By best_fn and best_mode, of the committed steps; ties go to the later one, NaN ranks last. None if no step has
  // metrics. Without best_fn the latest.
  Result<std::optional<std::int64_t>> best_step();
  // Lists the directory again, which another process may have changed.
  Result<void> reload();

  // Whether save(step) would save it; to be asked for the step at hand. If a function or policy of the options throws:
  // true, and save() tells. A question about a step to come does not make the job stop anywhere else; but after a "no"
  // the job is not told to stop at that step.
  bool should_save(std::int64_t step);
  // The same with the reason; of the tuning policies, with the interval that they chose.
  Result<SaveDecision> save_decision(std::int64_t step);
  // Whether the job, which is at this step, is to stop here: from the first step on that this or save() was called for
  // after the notice came.
  // False without options.preemption, and where there is no memory to tell: then the next call tells.
  bool reached_preemption(std::int64_t step);

  // What would be kept and removed now, and why, for each committed step, ascending.
  Result<std::vector<PreservationDecision>> preservation_plan();
  // Waits for a save of that step in flight. not_found; unavailable while somebody has it open.
  Result<void> delete_step(std::int64_t step);

  // Without reading tensor data. not_found, corruption.
  Result<StepMetadata> metadata(std::int64_t step);
  Result<RootMetadata> metadata();
  Result<std::map<std::string, ItemMetadata, std::less<>>> item_metadata(std::int64_t step);
  // None if it was saved without.
  Result<std::optional<Metrics>> metrics(std::int64_t step);

  // None: the latest step. not_found, naming step or item; corruption, naming file, offset and leaf.
  // Waits for a save of that step in flight.
  Result<Restored> restore(std::optional<std::int64_t> step = std::nullopt, RestoreOptions options = {});
  // In place, from the only item of the latest step, or the named one; the step it was, none if there is no step.
  Result<std::optional<std::int64_t>> restore_latest(Tree& target, std::string_view item = {});
  // For reading parts: manifests, single leaves, verification.
  Result<StepReader> open_step(std::int64_t step);

  // Waits for the save in flight and for removals, and returns their errors; saving is over then, reading goes on.
  Result<void> close();

 private:
  class Impl;
  explicit CheckpointManager(std::unique_ptr<Impl> impl);
  Result<bool> save_unnamed(std::int64_t step, const Tree& item, SaveOptions options);
  std::unique_ptr<Impl> impl_;
};

}  // namespace milepost
