#include "milepost/policy/program_state_retention.h"

#include <algorithm>
#include <string>

namespace milepost {

std::vector<PreservationDecision> ProgramStateRetention::operator()(std::span<const StepInfo> steps) const {
  const auto is_first = [&](std::size_t i) { return keep_first && i == 0; };
  const auto is_newest = [&](std::size_t i) { return i + 1 == steps.size(); };
  const auto is_multiple = [&](std::size_t i) { return keep_every_k < 1 || steps[i].step % keep_every_k == 0; };
  const std::string multiple = "a multiple of " + std::to_string(keep_every_k);
  const std::string latest = "the latest " + std::to_string(keep_total);

  std::vector<PreservationDecision> decisions;
  decisions.reserve(steps.size());
  std::uint64_t candidates = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const bool keep = is_first(i) || is_newest(i) || is_multiple(i);
    candidates += keep ? 1 : 0;
    std::string reason = is_first(i)      ? "the first"
                         : is_newest(i)   ? "the newest"
                         : is_multiple(i) ? multiple
                                          : "not " + multiple;
    decisions.push_back({steps[i].step, keep, std::move(reason)});
  }
  if (keep_every_k < 1 || keep_total <= 0 || candidates <= static_cast<std::uint64_t>(keep_total)) return decisions;

  const std::uint64_t others = static_cast<std::uint64_t>(keep_total) - (keep_first ? 1 : 0);
  std::uint64_t newer = 0;  // candidates
  for (std::size_t i = steps.size(); i-- > 0;) {
    PreservationDecision& decision = decisions[i];
    if (!decision.keep) continue;
    if (newer++ < std::max<std::uint64_t>(others, 1) || is_first(i)) continue;
    decision.keep = false;
    decision.reason = "older than " + latest + (keep_first ? ", the first among them" : "");
  }
  return decisions;
}

}  // namespace milepost
