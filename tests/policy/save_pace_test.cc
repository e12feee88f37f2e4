#include "milepost/policy/save_pace.h"

#include "tests/policy/simulated_loop.h"

#include <gtest/gtest.h>

namespace milepost {
namespace {

TEST(RecentValues, OutliersCountForThreeMedians) {
  RecentValues values(128);
  EXPECT_EQ(values.typical(), 0);
  values.add(2);
  EXPECT_EQ(values.typical(), 2);
  for (int i = 0; i < 9; ++i) values.add(1);
  EXPECT_DOUBLE_EQ(values.typical(), 1.1);
  for (int i = 0; i < 10; ++i) values.add(i == 0 ? 1000 : 1);
  EXPECT_DOUBLE_EQ(values.typical(), (18 + 2 + 3) / 20.0);
}

TEST(RecentValues, OldOnesAreForgotten) {
  RecentValues values(32);
  for (int i = 0; i < 100'000; ++i) values.add(5);
  for (int i = 0; i < 32; ++i) values.add(7);
  EXPECT_DOUBLE_EQ(values.typical(), 7);
}

TEST(PaceMeter, TellsIdleStepsFromThoseBesideASave) {
  PaceMeter meter;
  meter.enter(0, 10);
  meter.begin_save(10.5);  // half a second of waiting for the one before
  meter.leave(11);
  meter.enter(1, 13);  // two seconds, in flight
  meter.leave(13);
  meter.finish_save(14, true);
  meter.enter(2, 16);  // three seconds, a part of them in flight
  meter.leave(16);
  meter.enter(3, 17);
  meter.leave(17);
  const SavePace expected = {.idle_step_s = 1,
                             .saving_step_s = 2.5,
                             .steps_per_save = 2,
                             .stall_s = 1,
                             .commit_s = 3.5,
                             .idle_steps = 1,
                             .saving_steps = 2,
                             .saves = 1,
                             .idle_steps_since_save = 1};
  EXPECT_EQ(meter.pace(), expected);
  EXPECT_DOUBLE_EQ(save_cost_s(meter.pace()), 1 + 2 * 1.5);
}

TEST(PaceMeter, ASaveMayEndBeforeItsCallReturns) {
  PaceMeter meter;
  meter.enter(0, 0);
  meter.begin_save(0);
  meter.finish_save(3, true);
  meter.leave(4);
  meter.enter(1, 5);
  meter.leave(5);
  EXPECT_EQ(meter.pace().saves, 1);
  EXPECT_EQ(meter.pace().steps_per_save, 0);
  EXPECT_EQ(meter.pace().idle_steps, 1);
  EXPECT_DOUBLE_EQ(save_cost_s(meter.pace()), 4);
}

TEST(PaceMeter, AskingFirstAndSavingThenIsOneCall) {
  PaceMeter meter;
  double now_s = 0;
  for (int step = 0; step < 10; ++step) {
    meter.enter(step, now_s);
    meter.leave(now_s);
    meter.enter(step, now_s);
    meter.leave(now_s);
    now_s += 2;
  }
  EXPECT_EQ(meter.pace().idle_steps, 9);
  EXPECT_DOUBLE_EQ(meter.pace().idle_step_s, 2);
}

TEST(PaceMeter, CountsTheStepsBetweenTwoCalls) {
  PaceMeter meter;
  meter.enter(0, 0);
  meter.leave(0);
  meter.enter(10, 5);
  meter.leave(5);
  EXPECT_EQ(meter.pace().idle_steps, 10);
  EXPECT_DOUBLE_EQ(meter.pace().idle_step_s, 0.5);
}

TEST(PaceMeter, AStepBackAndAClockSetBackMeasureNothing) {
  PaceMeter meter;
  meter.enter(10, 100);
  meter.leave(100);
  meter.enter(3, 200);  // restored
  meter.leave(200);
  meter.enter(4, 150);
  meter.leave(150);
  EXPECT_EQ(meter.pace(), SavePace{});
  meter.enter(5, 151);
  EXPECT_DOUBLE_EQ(meter.pace().idle_step_s, 1);
}

TEST(PaceMeter, AFailedSaveCostsToo) {
  PaceMeter meter;
  meter.enter(0, 0);
  meter.begin_save(0);
  meter.leave(1);
  meter.finish_save(2, false);
  meter.enter(1, 3);
  EXPECT_EQ(meter.pace().saves, 1);
  EXPECT_EQ(meter.pace().commit_s, 0);
  EXPECT_DOUBLE_EQ(meter.pace().stall_s, 1);
}

TEST(PaceMeter, AgreesWithWhatSavesReallyCost) {
  SimulatedLoop loop(FixedIntervalPolicy{10});
  for (const double flight_s : {0.1, 0.4, 1.0, 2.3}) {
    loop.costs = {.work_s = 0.4, .stall_s = 0.02, .flight_s = flight_s, .slowdown = 0.5};
    loop.run(2000);
    loop.reset();
    loop.run(1000);
    const double truth_s = loop.overhead_share() * 0.4 * 10;
    EXPECT_NEAR(save_cost_s(loop.pace()), truth_s, 0.01 * truth_s) << flight_s;
  }
}

}  // namespace
}  // namespace milepost
