#include "milepost/policy/best_steps.h"

#include "tests/policy/not_finite.h"
#include "tests/policy/steps.h"

#include <gtest/gtest.h>

namespace milepost {
namespace {

std::vector<std::int64_t> ranking(const std::vector<StepInfo>& steps, BestMode mode) {
  std::vector<std::int64_t> result;
  for (const RankedStep& ranked : rank_steps(steps, by("loss"), mode)) {
    result.push_back(steps[ranked.index].step);
  }
  return result;
}

const std::vector<StepInfo> mixed = {
    {1, 0, {{"loss", 2.0}}}, {2, 0, {{"loss", nan}}},     {3, 0, {{"loss", 1.0}}},  {4, 0, {}},
    {5, 0, {{"loss", 2.0}}}, {6, 0, {{"accuracy", 9.0}}}, {7, 0, {{"loss", -0.0}}}, {8, 0, {{"loss", 0.0}}}};

TEST(BestSteps, TiesGoToTheLaterStepAndNanComesLast) {
  EXPECT_EQ(ranking(mixed, BestMode::max), (std::vector<std::int64_t>{5, 1, 3, 8, 7, 2}));
  EXPECT_EQ(ranking(mixed, BestMode::min), (std::vector<std::int64_t>{8, 7, 3, 5, 1, 2}));
}

TEST(BestSteps, InfinitiesAreNumbers) {
  const std::vector<StepInfo> steps = {
      {1, 0, {{"loss", infinity}}}, {2, 0, {{"loss", nan}}}, {3, 0, {{"loss", -infinity}}}};
  EXPECT_EQ(ranking(steps, BestMode::max), (std::vector<std::int64_t>{1, 3, 2}));
  EXPECT_EQ(ranking(steps, BestMode::min), (std::vector<std::int64_t>{3, 1, 2}));
}

TEST(BestSteps, TheBestIsTheFirst) {
  EXPECT_EQ(best_step(mixed, by("loss"), BestMode::min), 8);
  EXPECT_EQ(best_step(mixed, by("loss"), BestMode::max), 5);
  EXPECT_EQ(best_step(mixed, by("accuracy"), BestMode::min), 6);
}

TEST(BestSteps, WithoutMetricsThereIsNoBest) {
  EXPECT_EQ(best_step(mixed, by("absent"), BestMode::min), std::nullopt);
  EXPECT_EQ(best_step(std::vector<StepInfo>{}, by("loss"), BestMode::min), std::nullopt);
}

TEST(BestSteps, WithoutAFunctionTheLatestIsTheBest) {
  EXPECT_EQ(best_step(mixed, {}, BestMode::min), 8);
  EXPECT_EQ(best_step(std::vector<StepInfo>{}, {}, BestMode::min), std::nullopt);
}

TEST(BestSteps, WhateverTheFunctionThrowsMeansNoMetric) {
  const BestFn throws_a_number = [](const Metrics&) -> double { throw 7; };
  EXPECT_EQ(best_step(mixed, throws_a_number, BestMode::max), std::nullopt);
}

}  // namespace
}  // namespace milepost
