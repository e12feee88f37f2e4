// What checkpointing costs a training loop, measured: the loop's steps with and without a save in flight, and how long
// saves hold it up. Pure: the caller brings the clock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace milepost {

// Seconds of a typical step or save: means over the recent past, in which no outlier counts for more than three
// medians. Zero where nothing was measured yet.
struct SavePace {
  double idle_step_s = 0;     // of a step while no save is in flight
  double saving_step_s = 0;   // of a step during any part of which one is
  double steps_per_save = 0;  // that a save touches
  double stall_s = 0;         // for which a save holds the loop up; waiting for the save before is part of it
  double commit_s = 0;        // from the call of a save until its step is committed

  // Counted, not averaged.
  std::int64_t idle_steps = 0;
  std::int64_t saving_steps = 0;
  std::int64_t saves = 0;  // that ended, with all the steps they touched
  std::int64_t idle_steps_since_save = 0;

  bool operator==(const SavePace&) const = default;
};

// What a save costs the loop, in seconds: the stall, and what the steps beside it take longer than idle ones.
double save_cost_s(const SavePace& pace);

// The last few values of a measurement. Not thread-safe.
class RecentValues {
 public:
  static constexpr std::size_t capacity_max = 128;
  // Remembers `capacity` values, from 1 to capacity_max.
  explicit RecentValues(std::size_t capacity) : capacity_(capacity) {}
  void add(double value);
  // The mean of the values, each taken for at most three medians; 0 if there are none.
  double typical() const;

 private:
  std::size_t capacity_;
  std::array<double, capacity_max> values_{};
  std::size_t size_ = 0;
  std::size_t next_ = 0;
};

// Gathers the pace from what happens, in the order in which it happens. A step is what the loop does between a leave()
// and the next enter(); a loop that calls only every tenth time counts ten steps. Needs bounded memory. Not
// thread-safe.
class PaceMeter {
 public:
  // The loop calls, at the end of `step`: to save it, or to ask whether it is to be saved (both count as one). A step
  // that is not later than the one before, as after a restore, starts the measurement afresh.
  void enter(std::int64_t step, double now_s);
  // Within that call a save begins; the one before has ended.
  void begin_save(double now_s);
  // That call returns to the loop.
  void leave(double now_s);
  // The save in flight ends: at any time after its beginning, the leave() of its own call included.
  void finish_save(double now_s, bool committed);

  SavePace pace() const;

 private:
  void close_save();

  std::optional<std::int64_t> step_;  // that ended last
  double entered_s_ = 0;
  std::optional<double> left_s_;  // when the step under way began; none: not known
  double save_began_s_ = 0;
  bool began_in_call_ = false;
  bool in_flight_ = false;
  bool step_is_touched_ = false;  // the one under way, by a save
  bool save_is_open_ = false;     // the steps that it touches are being counted
  double touched_steps_ = 0;

  // Many steps, for what a save slows them down by is a small difference; few saves, for they are far apart, and what
  // they cost may change.
  RecentValues idle_step_s_{128};
  RecentValues saving_step_s_{32};
  RecentValues steps_per_save_{16};
  RecentValues stall_s_{16};
  RecentValues commit_s_{16};
  std::int64_t idle_steps_ = 0;
  std::int64_t saving_steps_ = 0;
  std::int64_t saves_ = 0;
  std::int64_t idle_steps_since_save_ = 0;
};

}  // namespace milepost
