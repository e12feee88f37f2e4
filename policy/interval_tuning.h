// Save decisions that choose their own interval from what saves were measured to cost.
//
// Both save the first step of all. Before they have measured what an idle step takes and what a save costs, they save
// once, let a few steps pass, and measure. They never save while a save is in flight, nor before an idle step has
// passed since: without idle steps nobody could tell what saving costs. Costs that change are followed, outliers hardly
// are.
#pragma once

#include "milepost/policy/save_decision.h"

#include <cstdint>
#include <optional>

namespace milepost {

// Keeps what checkpointing costs (stalls, and steps that take longer while a save is in flight) under a share of the
// time of idle steps: saves as often as that allows.
struct OverheadSharePolicy {
  double share = 0.01;  // of the time of the steps between two saves; what is not positive stands for 0.01

  SaveDecision operator()(const SaveDecisionContext& context) const;
  // The interval in steps, at least 1; none before it is measured.
  std::optional<std::int64_t> interval_steps(const SavePace& pace) const;
};

// Minimizes the expected time to the end of the run: what saving costs, against the work lost since the last save in a
// failure. The interval is J. T. Daly's ("A higher order estimate of the optimum checkpoint interval for restart
// dumps", Future Generation Computer Systems 22, 2006), which refines J. W. Young's square root ("A first order
// approximation to the optimum checkpoint interval", Communications of the ACM 17, 1974). The time until a save is
// committed is lost in every failure, whatever the interval, and so does not enter.
struct YoungDalyPolicy {
  double mean_time_between_failures_s = 86400;  // of the whole job; what is not positive stands for "at any moment"

  SaveDecision operator()(const SaveDecisionContext& context) const;
  std::optional<std::int64_t> interval_steps(const SavePace& pace) const;
};

// Seconds of work between two saves after Daly, for a save that costs `cost_s` seconds.
double daly_interval_s(double cost_s, double mean_time_between_failures_s);

}  // namespace milepost
