// A training loop with a checkpoint manager, on a simulated clock: a save stalls the loop, then slows its steps down
// until it is committed. Knows what checkpointing really costs, for tests to compare with what was measured.
#pragma once

#include "milepost/policy/save_decision.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace milepost {

class SimulatedLoop {
 public:
  struct Costs {
    double work_s = 0.4;    // of a step, while no save is in flight
    double stall_s = 0.01;  // of a save
    double flight_s = 0.3;  // from the end of the stall to the commit
    double slowdown = 0.2;  // a step takes 1.2 times as long while a save is in flight
  };

  Costs costs;
  std::function<double()> noise = [] { return 1.0; };  // what a step's work is multiplied with

  explicit SimulatedLoop(SaveDecisionPolicy policy, std::optional<std::int64_t> latest_step = std::nullopt)
      : policy_(std::move(policy)), step_(latest_step.value_or(-1)), latest_step_(latest_step) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) run_step();
  }

  // What the loop does beside steps, such as an evaluation.
  void pause(double seconds) { advance(seconds); }

  // Starts counting afresh.
  void reset() {
    work_s_ = overhead_s_ = 0;
    saved_.clear();
  }
  double overhead_share() const { return overhead_s_ / work_s_; }
  const std::vector<std::int64_t>& saved() const { return saved_; }
  std::int64_t step() const { return step_; }
  SavePace pace() const { return meter_.pace(); }
  const SaveDecision& last_decision() const { return decision_; }
  // Of every save since the first.
  const std::vector<std::string>& reasons() const { return reasons_; }
  bool saved_while_in_flight() const { return saved_while_in_flight_; }

 private:
  bool in_flight() const { return flight_ends_s_.has_value(); }

  void advance(double seconds) {
    now_s_ += seconds;
    if (in_flight() && *flight_ends_s_ <= now_s_) {
      meter_.finish_save(*flight_ends_s_, true);
      flight_ends_s_.reset();
    }
  }

  void run_step() {
    const double work_s = costs.work_s * noise();
    double time_s = work_s;
    if (in_flight()) {
      const double slow_s = std::min(*flight_ends_s_ - now_s_, work_s * (1 + costs.slowdown));
      time_s = slow_s + (work_s - slow_s / (1 + costs.slowdown));
    }
    advance(time_s);
    work_s_ += work_s;
    overhead_s_ += time_s - work_s;
    ++step_;

    meter_.enter(step_, now_s_);
    decision_ = decide_save(policy_, {.step = step_,
                                      .latest_step = latest_step_,
                                      .is_saving_in_progress = in_flight(),
                                      .now_s = now_s_,
                                      .last_save_s = last_save_s_,
                                      .pace = meter_.pace()});
    if (decision_.save) {
      saved_while_in_flight_ |= in_flight();
      latest_step_ = step_;
      last_save_s_ = now_s_;
      saved_.push_back(step_);
      reasons_.push_back(decision_.reason);
      meter_.begin_save(now_s_);
      now_s_ += costs.stall_s;
      overhead_s_ += costs.stall_s;
      flight_ends_s_ = now_s_ + costs.flight_s;
    }
    meter_.leave(now_s_);
  }

  SaveDecisionPolicy policy_;
  PaceMeter meter_;
  double now_s_ = 1000;
  std::int64_t step_;
  std::optional<std::int64_t> latest_step_;
  std::optional<double> last_save_s_;
  std::optional<double> flight_ends_s_;
  SaveDecision decision_;
  bool saved_while_in_flight_ = false;
  double work_s_ = 0;
  double overhead_s_ = 0;
  std::vector<std::int64_t> saved_;
  std::vector<std::string> reasons_;
};

}  // namespace milepost
