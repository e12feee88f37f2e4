#include "milepost/policy/save_pace.h"

#include <algorithm>

namespace milepost {

double save_cost_s(const SavePace& pace) {
  if (pace.saving_steps == 0) return pace.stall_s;
  return pace.stall_s + std::max(0.0, pace.saving_step_s - pace.idle_step_s) * pace.steps_per_save;
}

void RecentValues::add(double value) {
  values_[next_] = value;
  next_ = (next_ + 1) % capacity_;
  size_ = std::min(size_ + 1, capacity_);
}

double RecentValues::typical() const {
  if (size_ == 0) return 0;
  std::array<double, capacity_max> sorted = values_;
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(size_);
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((size_ - 1) / 2);
  std::nth_element(sorted.begin(), middle, end);
  const double most = 3 * *middle;
  double sum = 0;
  for (auto value = sorted.begin(); value != end; ++value) sum += std::min(*value, most);
  return sum / static_cast<double>(size_);
}

void PaceMeter::enter(std::int64_t step, double now_s) {
  entered_s_ = now_s;
  if (step_ == step) return;
  const std::int64_t steps = step_ && *step_ < step ? step - *step_ : 0;
  step_ = step;
  // A clock that runs backwards measures nothing.
  if (steps > 0 && left_s_ && *left_s_ <= now_s) {
    const double step_s = (now_s - *left_s_) / static_cast<double>(steps);
    if (step_is_touched_) {
      saving_step_s_.add(step_s);
      saving_steps_ += steps;
      touched_steps_ += static_cast<double>(steps);
    } else {
      idle_step_s_.add(step_s);
      idle_steps_ += steps;
      idle_steps_since_save_ += steps;
    }
  }
  left_s_.reset();
  if (!in_flight_) close_save();
}

void PaceMeter::begin_save(double now_s) {
  close_save();
  save_began_s_ = now_s;
  began_in_call_ = in_flight_ = save_is_open_ = true;
  idle_steps_since_save_ = 0;
}

void PaceMeter::leave(double now_s) {
  if (began_in_call_) stall_s_.add(std::max(0.0, now_s - entered_s_));
  began_in_call_ = false;
  step_is_touched_ = in_flight_;
  left_s_ = now_s;
}

void PaceMeter::finish_save(double now_s, bool committed) {
  in_flight_ = false;
  if (committed) commit_s_.add(std::max(0.0, now_s - save_began_s_));
}

void PaceMeter::close_save() {
  if (!save_is_open_) return;
  save_is_open_ = false;
  steps_per_save_.add(touched_steps_);
  touched_steps_ = 0;
  ++saves_;
}

SavePace PaceMeter::pace() const {
  return {.idle_step_s = idle_step_s_.typical(),
          .saving_step_s = saving_step_s_.typical(),
          .steps_per_save = steps_per_save_.typical(),
          .stall_s = stall_s_.typical(),
          .commit_s = commit_s_.typical(),
          .idle_steps = idle_steps_,
          .saving_steps = saving_steps_,
          .saves = saves_,
          .idle_steps_since_save = idle_steps_since_save_};
}

}  // namespace milepost
