// The saving half of a checkpoint manager: decides, runs one save after another in a thread of its own, removes
// what the preservation policy gives up, and keeps every error until it has been told.
#pragma once

#include "milepost/engine/checkpoint_manager_options.h"
#include "milepost/engine/items.h"
#include "milepost/engine/manager/retention.h"
#include "milepost/engine/manager/step_index.h"
#include "milepost/engine/save/save_job.h"
#include "milepost/policy/preemption_agreement.h"
#include "milepost/policy/save_pace.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace milepost {

// invalid_argument, naming item and leaf, unless a save can take these.
Result<void> check_items(const ItemsView& items);

// All methods may be called from several threads at once; CheckpointManager says what they do.
class Saver {
 public:
  using Clock = std::chrono::steady_clock;

  // All outlive the saver.
  Saver(const CheckpointManagerOptions& options, const SaveContext& context, StepIndex& index);
  ~Saver();  // ends the save in flight

  // `unnamed`: the only item has no name but default_item_name.
  Result<bool> save(std::int64_t step, const ItemsView& items, SaveOptions options, bool unnamed = false);
  Result<SaveDecision> save_decision(std::int64_t step);
  bool reached_preemption(std::int64_t step);

  Result<bool> wait_until(SaveEvent event, std::optional<std::chrono::nanoseconds> timeout);
  Result<void> wait_until_finished(std::optional<std::chrono::nanoseconds> timeout);
  Result<void> check_for_errors();
  Result<void> close();
  Result<void> sweep() { return retention_.sweep(); }
  Result<void> delete_step(std::int64_t step);
  Result<std::vector<PreservationDecision>> preservation_plan() { return retention_.plan(); }

  std::shared_ptr<SaveJob> job() const;  // in flight, or null
  // Until a save of that step, if one is in flight, has ended. deadline_exceeded.
  Result<void> wait_for(std::int64_t step);
  std::optional<std::int64_t> latest_step() const;  // the one in flight included
  std::optional<SaveReport> last_report() const;
  SaveCounters counters() const;

 private:
  // How the last save ended, or the one in flight will.
  struct Outcome {
    bool finished = false;
    bool committed = false;
    bool error_seen = false;
    std::optional<Error> error;
  };
  class LoopCall;

  Result<SaveDecision> decide(std::int64_t step, bool reached_preemption);
  bool would_reach_preemption(std::int64_t step);
  Result<void> check_style(bool unnamed);
  Result<double> wait_for_turn();  // seconds waited
  bool is_in_grace_period() const;
  std::optional<GraceDecision> decide_in_grace(std::int64_t step, const ItemsView& items, const Codec& codec);
  void tell_whether_unwatched(std::int64_t step);
  // already_exists if the step's name is taken on disk. Unless `look` is on, only steps that are known are looked
  // for: that costs as much as all else that a lazy save does in the call, and the commit replaces nothing anyway.
  Result<void> check_free(std::int64_t step, bool look);
  // unavailable while somebody has the step open: before all is written, and not only at the commit.
  Result<void> check_replaceable(std::int64_t step);
  // A save for the control thread.
  struct Run {
    std::shared_ptr<SaveJob> job;
    StepIndex::Room room;
    bool overwrite = false;
    bool announced = false;  // guarded by mutex_: it is the save in flight, and events may tell of it
  };
  void run(Run& run) noexcept;  // in the control thread
  void finish_committed(const Run& run, SaveReport& report);
  void finish_report(SaveReport& report);  // mutex_ is held
  void remove_old_steps(const Retention::Committed& committed) noexcept;
  // The save in flight, or null, and how it or the last one ends: of one moment.
  struct LastSave {
    std::shared_ptr<SaveJob> job;
    std::shared_ptr<Outcome> outcome;
  };
  LastSave last() const;
  bool wait_finished(const Outcome& outcome, Clock::time_point deadline);

  // With mutex_ held.
  static Result<void> tell(Outcome& outcome);
  Result<void> tell_last();             // and of what failed in the background
  Result<void> tell_what_nobody_saw();  // the same, once
  Result<void> check_gave_up() const;
  void keep(const Error& error) noexcept;  // told like one of the last save
  // What was put off for the sake of a grace period, and this.
  Retention::Committed with_what_was_put_off(Retention::Committed now) noexcept;

  Error too_late(const std::shared_ptr<SaveJob>& job, std::chrono::nanoseconds waited) const;
  void emit(const ManagerEvent& event) noexcept;
  // Keeps it first: who has heard of it may go on and ask.
  void keep_and_emit(const Error& error, ManagerEventKind kind, std::int64_t step) noexcept;

  double now_s() const { return std::chrono::duration<double>(Clock::now() - opened_).count(); }

  const CheckpointManagerOptions& options_;
  const SaveContext context_;
  StepIndex& index_;
  const SaveDecisionPolicy decision_;
  const Clock::time_point opened_ = Clock::now();

  std::mutex save_mutex_;   // one save() at a time; taken before mutex_
  std::mutex event_mutex_;  // one event at a time; never with mutex_

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<SaveJob> job_;
  std::shared_ptr<Outcome> outcome_ = std::make_shared<Outcome>(Outcome{true, true, false, {}});
  std::optional<Error> gave_up_;  // the failure after which no save is taken any more
  std::optional<bool> unnamed_;   // whether items come without names
  bool closed_ = false;
  PaceMeter pace_;
  SaveThroughputMeter throughput_;
  PreemptionAgreement preemption_;
  bool preemption_told_ = false;                         // to on_event
  std::string trouble_told_;                             // the same: of the watcher, empty: none
  std::optional<Retention::Committed> removal_put_off_;  // to the end of a grace period, or close()
  std::optional<double> last_save_s_;
  std::optional<std::int64_t> told_while_saving_;  // the step of the last save() that told of another's error
  std::optional<GraceDecision> grace_;             // of the save in flight
  bool compressed_ = false;
  double waited_s_ = 0;
  double stall_s_ = 0;
  std::optional<SaveReport> last_report_;
  SaveCounters counters_;

  Retention retention_;  // its threads tell of errors
  WorkerPool control_;   // destroyed first: its thread uses all the rest
};

}  // namespace milepost
