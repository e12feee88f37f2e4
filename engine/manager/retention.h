// The removing half of saving: which steps stay, and the removal of the others.
#pragma once

#include "milepost/engine/checkpoint_manager_options.h"
#include "milepost/engine/collector.h"
#include "milepost/engine/manager/step_index.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace milepost {

// All methods may be called from several threads at once.
class Retention {
 public:
  // Hears of every step that is removed, and of failures that no caller gets (removal_failed); on any thread, without
  // a lock held.
  using Tell = std::function<void(const ManagerEvent&)>;

  // All outlive it.
  Retention(const CheckpointManagerOptions& options, Store& store, StepIndex& index, Tell tell);

  // What the policy says of the committed steps, ascending. A step whose record cannot be read is kept.
  Result<std::vector<PreservationDecision>> plan();

  // Now that `newest` is committed: removes what the policy gives up, and what an overwrite replaced. The first error.
  struct Committed {
    std::int64_t newest = 0;
    bool overwrote = false;
    Result<void> replaced = {};  // of an error what it replaced is not in the trash, but has a dead attempt's name
  };
  Result<void> remove_old_steps(const Committed& committed);
  // Tries again what was put off, for when there will be no next commit.
  Result<void> retry();
  // `step` is to stay, whatever was put off: it is being saved anew.
  void spare(std::int64_t step) { collector_.spare(step); }
  // The user's wish. not_found; unavailable while somebody has it open. As soon as readers do not see it the index does
  // not either, whatever goes wrong then; a step of that number may be saved meanwhile.
  Result<void> remove(std::int64_t step);
  // What a failed save wrote is still there: removed after the next commit, or by retry().
  void sweep_next_time() { attempt_is_left_ = true; }
  // What dead processes have left.
  Result<void> sweep() { return collector_.sweep(); }

  // Of the background: see Collector.
  bool wait_idle(std::chrono::steady_clock::time_point deadline) { return collector_.wait_idle(deadline); }
  Result<void> check() { return collector_.check(); }

  std::uint64_t removed_count() const { return removed_count_; }

 private:
  Result<void> remove_given_up(std::int64_t newest);
  Result<void> remove_replaced(bool overwrote);
  Result<void> retry_put_off();
  void note_removed(const std::vector<std::int64_t>& steps, const std::vector<PreservationDecision>& plan);
  void tell_removed(std::int64_t step, std::string reason);

  Store& store_;
  StepIndex& index_;
  const PreservationPolicy policy_;  // none: all are kept
  const Tell tell_;
  const bool sweeps_;  // attempts of the dead
  std::atomic<std::uint64_t> removed_count_{0};
  std::atomic<bool> attempt_is_left_{false};  // of a failure, or what an overwrite replaced, out of the trash
  Collector collector_;                       // the first to go: its threads use the rest
};

}  // namespace milepost
