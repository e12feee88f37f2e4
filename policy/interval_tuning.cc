#include "milepost/policy/interval_tuning.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

namespace milepost {
namespace {

constexpr std::int64_t idle_steps_min = 3;

bool is_measured(const SavePace& pace) {
  return pace.saves > 0 && pace.idle_steps >= idle_steps_min && pace.idle_step_s > 0;
}

std::int64_t whole_steps(double steps) {
  constexpr auto most = std::int64_t{1} << 62;
  if (!(steps < static_cast<double>(most))) return most;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(steps));
}

std::string human_seconds(double seconds) {
  char text[40];
  if (seconds < 1) {
    std::snprintf(text, sizeof text, "%.3g ms", seconds * 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.4g s", seconds);
  }
  return text;
}

std::string percent(double share) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3g %%", share * 100);
  return text;
}

std::string chosen(std::int64_t interval, const SavePace& pace, const std::string& why) {
  return "every " + std::to_string(interval) + " steps " + why + ": a save costs " + human_seconds(save_cost_s(pace)) +
         ", a step takes " + human_seconds(pace.idle_step_s);
}

// `interval` and `choice`, what it is for, are of a pace that is measured.
SaveDecision decide(const SaveDecisionContext& context, std::optional<std::int64_t> interval,
                    const std::string& choice) {
  const SavePace& pace = context.pace;
  if (context.is_saving_in_progress) return {false, "a save is in flight"};
  if (!context.latest_step) return {true, "step " + std::to_string(context.step) + " is the first"};
  if (pace.idle_steps < idle_steps_min || pace.idle_steps_since_save < 1) {
    return {false, "idle steps are being measured"};
  }
  if (pace.saves == 0) return {true, "a save is made to measure what it costs"};
  if (!interval) return {false, "steps take no time that could be measured"};
  // Unsigned: a step may be as far from the latest as numbers go.
  const auto passed = static_cast<std::uint64_t>(context.step) - static_cast<std::uint64_t>(*context.latest_step);
  return {passed >= static_cast<std::uint64_t>(*interval),
          std::to_string(passed) + " steps after the latest; " + choice};
}

}  // namespace

std::optional<std::int64_t> OverheadSharePolicy::interval_steps(const SavePace& pace) const {
  if (!is_measured(pace)) return std::nullopt;
  const double allowed = share > 0 ? share : OverheadSharePolicy{}.share;
  return whole_steps(std::ceil(save_cost_s(pace) / (allowed * pace.idle_step_s)));
}

SaveDecision OverheadSharePolicy::operator()(const SaveDecisionContext& context) const {
  const SavePace& pace = context.pace;
  const auto interval = interval_steps(pace);
  std::string choice;
  if (interval) {
    const double measured = save_cost_s(pace) / (static_cast<double>(*interval) * pace.idle_step_s);
    choice = chosen(*interval, pace,
                    "keeps the overhead at " + percent(measured) + " of at most " +
                        percent(share > 0 ? share : OverheadSharePolicy{}.share));
  }
  return decide(context, interval, choice);
}

double daly_interval_s(double cost_s, double mean_time_between_failures_s) {
  const double mean = mean_time_between_failures_s;
  if (!(mean > 0) || !(cost_s > 0)) return 0;
  if (cost_s >= 2 * mean) return mean;
  if (std::isinf(mean)) return mean;
  const double ratio = cost_s / (2 * mean);
  return std::sqrt(2 * cost_s * mean) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - cost_s;
}

std::optional<std::int64_t> YoungDalyPolicy::interval_steps(const SavePace& pace) const {
  if (!is_measured(pace)) return std::nullopt;
  return whole_steps(std::round(daly_interval_s(save_cost_s(pace), mean_time_between_failures_s) / pace.idle_step_s));
}

SaveDecision YoungDalyPolicy::operator()(const SaveDecisionContext& context) const {
  const auto interval = interval_steps(context.pace);
  std::string choice;
  if (interval) {
    choice = chosen(*interval, context.pace, "suit a failure every " + human_seconds(mean_time_between_failures_s));
  }
  return decide(context, interval, choice);
}

}  // namespace milepost
