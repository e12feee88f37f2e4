// At which step a job that is told to stop stops. Pure: no I/O, no clock, no threads.
//
// Every rank of a job must save, and leave after, the same step S, although the notice reaches them at
// different times in the middle of different steps. So S is a step that no rank has been given an answer
// for: one more than the furthest of the steps that they are at. An answer once given for a step
// is never taken back, and whoever was told "not yet" when deciding whether to save step 7 is not
// told "stop" a moment later, having skipped the save.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>

namespace milepost {

// S, from the steps that the ranks (at least one) have last been given an answer for.
std::int64_t agree_on_last_step(std::span<const std::int64_t> current_steps);

// One rank's side of it, in a job of one rank.
class PreemptionAgreement {
 public:
  // Whether the job, which is at `step`, is to stop there. `told`: a notice has come by now; it is never taken
  // back. From S on it is true for every step. Before the first answer any step may be S.
  bool reached(std::int64_t step, bool told);
  // The same as a question only, about any step: the job need not be there, and S does not follow from it. But a
  // "no" is an answer: whoever heard it, and did not save that step, is not told to stop there.
  bool would_reach(std::int64_t step, bool told);

  // S, once it is known.
  std::optional<std::int64_t> last_step() const { return last_step_; }

 private:
  std::optional<std::int64_t> current_step_;  // at which the job was last
  std::set<std::int64_t> denied_;             // by answers to questions since then
  std::optional<std::int64_t> last_step_;
};

}  // namespace milepost
