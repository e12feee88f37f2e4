#include "milepost/policy/interval_tuning.h"

#include "tests/policy/not_finite.h"
#include "tests/policy/simulated_loop.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace milepost {
namespace {

SavePace pace_of(double idle_step_s, double cost_s) {
  return {.idle_step_s = idle_step_s, .stall_s = cost_s, .idle_steps = 9, .saves = 1, .idle_steps_since_save = 1};
}

std::function<double()> noise_of(double deviation) {
  return [random = std::mt19937(7), spread = std::normal_distribution<double>(0, deviation)]() mutable {
    return std::exp(spread(random));
  };
}

// --- A share of the time.

TEST(OverheadShare, ChoosesTheSmallestIntervalThatSatisfiesIt) {
  for (const double cost_s : {0.0, 0.001, 0.1, 0.5, 7.0}) {
    for (const double share : {0.001, 0.01, 0.3, 5.0}) {
      const auto interval = OverheadSharePolicy{share}.interval_steps(pace_of(0.4, cost_s));
      ASSERT_TRUE(interval);
      EXPECT_LE(cost_s / (static_cast<double>(*interval) * 0.4), share * (1 + 1e-9));
      const bool is_smallest = *interval == 1 || cost_s / (static_cast<double>(*interval - 1) * 0.4) > share;
      EXPECT_TRUE(is_smallest) << cost_s << " " << share;
    }
  }
}

TEST(OverheadShare, WhatMakesNoSenseStandsForOnePercent) {
  EXPECT_EQ(OverheadSharePolicy{0}.interval_steps(pace_of(1, 1)), 100);
  EXPECT_EQ(OverheadSharePolicy{-1}.interval_steps(pace_of(1, 1)), 100);
  EXPECT_EQ(OverheadSharePolicy{nan}.interval_steps(pace_of(1, 1)), 100);
  EXPECT_EQ(OverheadSharePolicy{}.interval_steps(pace_of(1, 1)), 100);
}

TEST(OverheadShare, SavesOnceAndMeasuresFirst) {
  SimulatedLoop loop(OverheadSharePolicy{});
  loop.run(4);
  EXPECT_EQ(loop.saved(), std::vector<std::int64_t>{0});
  EXPECT_EQ(loop.reasons().front(), "step 0 is the first");
  EXPECT_EQ(loop.last_decision().reason, "idle steps are being measured");
}

TEST(OverheadShare, SavesOnceSoonAfterARestart) {
  SimulatedLoop loop(OverheadSharePolicy{}, 1000);
  loop.run(12);
  ASSERT_EQ(loop.saved().size(), 1U);
  EXPECT_LE(loop.saved().front(), 1006);
  EXPECT_EQ(loop.reasons().front(), "a save is made to measure what it costs");
}

TEST(OverheadShare, SaysWhatItChose) {
  SimulatedLoop loop(OverheadSharePolicy{0.01});
  loop.costs = {.work_s = 0.4, .stall_s = 0.04, .flight_s = 0, .slowdown = 0};
  loop.run(100);
  EXPECT_EQ(loop.reasons().back(),
            "10 steps after the latest; every 10 steps keeps the overhead at 1 % of at most 1 %: "
            "a save costs 40 ms, a step takes 400 ms");
}

struct Case {
  const char* name;
  SimulatedLoop::Costs costs;
  double share;
  double noise;
};
std::ostream& operator<<(std::ostream& stream, const Case& value) { return stream << value.name; }

class Shares : public ::testing::TestWithParam<Case> {};

TEST_P(Shares, StaysUnderTheShareAndUsesIt) {
  const Case& given = GetParam();
  SimulatedLoop loop(OverheadSharePolicy{given.share});
  loop.costs = given.costs;
  if (given.noise > 0) loop.noise = noise_of(given.noise);
  loop.run(5000);
  loop.reset();
  loop.run(20'000);
  EXPECT_LE(loop.overhead_share(), given.share * 1.05);
  EXPECT_GE(loop.overhead_share(), given.share * 0.7) << "it could save more often";
  EXPECT_FALSE(loop.saved_while_in_flight());
}

INSTANTIATE_TEST_SUITE_P(OverheadShare, Shares,
                         ::testing::Values(Case{"ShortStall", {0.4, 0.01, 0.3, 0.2}, 0.01, 0},
                                           Case{"LongFlight", {0.4, 0.01, 5, 0.3}, 0.01, 0},
                                           Case{"OnlyAStall", {0.4, 0.5, 0, 0}, 0.01, 0},
                                           Case{"QuickSteps", {0.002, 0.01, 0.5, 0.1}, 0.02, 0},
                                           Case{"LargeShare", {1, 1, 2, 1}, 0.25, 0},
                                           Case{"Noise", {0.4, 0.1, 0.8, 0.3}, 0.01, 0.03},
                                           Case{"MuchNoise", {0.4, 0.2, 1.2, 0.6}, 0.01, 0.1}),
                         ::testing::PrintToStringParamName());

TEST(OverheadShare, FollowsCostsThatChange) {
  SimulatedLoop loop(OverheadSharePolicy{0.01});
  const std::vector<SimulatedLoop::Costs> phases = {
      {0.4, 0.01, 0.3, 0.2}, {0.4, 0.2, 1, 0.5}, {0.1, 0.2, 1, 0.5}, {2.0, 0.05, 3, 0.1}, {0.4, 0.01, 0.3, 0.2}};
  for (const SimulatedLoop::Costs& costs : phases) {
    loop.costs = costs;
    loop.run(10'000);  // until no old measurement is left
    loop.reset();
    loop.run(10'000);
    EXPECT_LE(loop.overhead_share(), 0.0105) << costs.work_s << " " << costs.stall_s;
    EXPECT_GE(loop.overhead_share(), 0.008) << costs.work_s << " " << costs.stall_s;
  }
}

TEST(OverheadShare, PausesOfTheLoopHardlyMatter) {
  SimulatedLoop loop(OverheadSharePolicy{0.01});
  loop.costs = {.work_s = 0.4, .stall_s = 0.05, .flight_s = 0.7, .slowdown = 0.2};
  loop.run(5000);
  loop.reset();
  for (int i = 0; i < 50; ++i) {
    loop.run(397);
    loop.pause(60);  // an evaluation
  }
  EXPECT_LE(loop.overhead_share(), 0.0105);
  EXPECT_GE(loop.overhead_share(), 0.006);
}

TEST(OverheadShare, OneVerySlowSaveIsForgiven) {
  SimulatedLoop loop(OverheadSharePolicy{0.01});
  loop.run(5000);
  const auto before = loop.saved().size();
  loop.costs.stall_s = 100;
  while (loop.saved().size() == before) loop.run(1);
  loop.costs.stall_s = 0.01;
  loop.run(1);
  loop.reset();
  loop.run(10'000);
  EXPECT_GE(loop.overhead_share(), 0.008);
}

TEST(OverheadShare, StepsThatAreNeverIdleAreGivenOne) {
  // Slow saves that cost nothing: as often as it can, never two at a time, an idle step between.
  SimulatedLoop loop(OverheadSharePolicy{0.01});
  loop.costs = {.work_s = 0.4, .stall_s = 0, .flight_s = 1.0, .slowdown = 0};
  loop.run(1000);
  EXPECT_FALSE(loop.saved_while_in_flight());
  EXPECT_GE(loop.saved().size(), 245U);
  EXPECT_LE(loop.saved().size(), 251U);
}

TEST(OverheadShare, NeverSavesWhileASaveIsInFlight) {
  SaveDecisionContext context = {
      .step = 1000, .latest_step = 0, .is_saving_in_progress = true, .pace = pace_of(1, 0.1)};
  EXPECT_FALSE(OverheadSharePolicy{}(context).save);
  EXPECT_EQ(OverheadSharePolicy{}(context).reason, "a save is in flight");
  EXPECT_FALSE(YoungDalyPolicy{}(context).save);
  context.is_saving_in_progress = false;
  EXPECT_TRUE(OverheadSharePolicy{}(context).save);
}

// --- Young and Daly.

// Daly's model: the expected time of a run that needs `work_s` seconds, in segments of `interval_s`, each followed by a
// save that costs `cost_s`; failures are a Poisson process. (Restarting takes as long for any interval.)
double expected_time_s(double interval_s, double cost_s, double mean_s, double work_s) {
  return mean_s * std::expm1((interval_s + cost_s) / mean_s) * work_s / interval_s;
}

TEST(Daly, MinimizesTheExpectedTime) {
  for (const double cost_s : {0.01, 0.3, 5.0, 60.0}) {
    for (const double mean_s : {300.0, 3600.0, 86'400.0}) {
      if (cost_s > mean_s / 4) continue;
      double best_s = infinity;
      for (double interval_s = cost_s / 100; interval_s < 5 * mean_s; interval_s *= 1.01) {
        best_s = std::min(best_s, expected_time_s(interval_s, cost_s, mean_s, 1e6));
      }
      const double chosen_s = daly_interval_s(cost_s, mean_s);
      EXPECT_LE(expected_time_s(chosen_s, cost_s, mean_s, 1e6), best_s * 1.0005) << cost_s << " " << mean_s;
      EXPECT_NEAR(chosen_s, std::sqrt(2 * cost_s * mean_s), cost_s) << "Young's, to the first order";
    }
  }
}

TEST(Daly, AtTheEdges) {
  EXPECT_EQ(daly_interval_s(200, 100), 100);
  EXPECT_EQ(daly_interval_s(500, 100), 100);
  EXPECT_EQ(daly_interval_s(0, 100), 0);
  EXPECT_EQ(daly_interval_s(1, 0), 0);
  EXPECT_EQ(daly_interval_s(1, nan), 0);
  EXPECT_EQ(daly_interval_s(1, infinity), infinity);
  EXPECT_NEAR(daly_interval_s(199.999, 100), 100, 12) << "the series ends near where the constant begins";
}

TEST(YoungDaly, ChoosesWholeSteps) {
  // sqrt(2 * 0.5 * 3600) = 60 s, and less than a second of corrections.
  EXPECT_EQ(YoungDalyPolicy{3600}.interval_steps(pace_of(0.4, 0.5)), 149);
  EXPECT_EQ(YoungDalyPolicy{0}.interval_steps(pace_of(0.4, 0.5)), 1);
  EXPECT_EQ(YoungDalyPolicy{nan}.interval_steps(pace_of(0.4, 0.5)), 1);
  EXPECT_GT(YoungDalyPolicy{infinity}.interval_steps(pace_of(0.4, 0.5)), std::int64_t{1} << 60);
  EXPECT_EQ(YoungDalyPolicy{3600}.interval_steps({}), std::nullopt);
}

TEST(YoungDaly, FollowsTheMeasuredCost) {
  SimulatedLoop loop(YoungDalyPolicy{600});
  for (const double stall_s : {0.01, 0.3, 0.02}) {
    loop.costs = {.work_s = 0.4, .stall_s = stall_s, .flight_s = 1, .slowdown = 0.25};
    loop.run(5000);
    loop.reset();
    loop.run(20'000);
    const double cost_s = stall_s + 0.2;  // a second in flight at 1 / 1.25 of the speed
    const double expected = 20'000 / (daly_interval_s(cost_s, 600) / 0.4);
    EXPECT_NEAR(static_cast<double>(loop.saved().size()), expected, 0.03 * expected) << stall_s;
  }
  EXPECT_NE(loop.reasons().back().find("steps suit a failure every 600 s: a save costs"), std::string::npos)
      << loop.reasons().back();
}

TEST(YoungDaly, SavesOnceAndMeasuresFirst) {
  SimulatedLoop loop(YoungDalyPolicy{3600}, 50);
  loop.run(20);
  EXPECT_EQ(loop.saved().size(), 1U);
}

}  // namespace
}  // namespace milepost
