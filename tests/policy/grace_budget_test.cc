#include "milepost/policy/grace_budget.h"

#include "tests/policy/not_finite.h"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

namespace milepost {
namespace {

constexpr std::uint64_t gb = 1'000'000'000;

// A disk that writes 2 GB/s, and a codec that codes half as much.
SaveThroughput coding_is_slow() { return {1e9, 2e9, 2.2e9, 0.5}; }
// A disk that writes 0.5 GB/s, of which a codec makes 0.75.
SaveThroughput disk_is_slow() { return {0.75e9, 0.5e9, 0.5e9, 0.5}; }

TEST(GraceBudget, OneSaveThatFits) {
  const auto decision = decide_grace({.left_s = 28, .next_bytes = 10 * gb, .measured = coding_is_slow()});
  EXPECT_TRUE(decision.start);
  EXPECT_FALSE(decision.drop_compression);
  EXPECT_TRUE(decision.fits);
  EXPECT_DOUBLE_EQ(decision.predicted_s, 10.5);
  EXPECT_EQ(decision.reason, "a save of 10.0 GB (10 s) fits into the 28 s left");
}

TEST(GraceBudget, FinishesTheSaveInFlightAndStartsOneMore) {
  const auto decision = decide_grace({.left_s = 17,
                                      .in_flight = {{.bytes_done = 5 * gb, .bytes_total = 10 * gb}},
                                      .next_bytes = 10 * gb,
                                      .measured = coding_is_slow()});
  EXPECT_TRUE(decision.start);
  EXPECT_FALSE(decision.drop_compression);
  EXPECT_TRUE(decision.fits);
  EXPECT_DOUBLE_EQ(decision.predicted_s, 16);
  EXPECT_EQ(decision.reason, "the save in flight (5.50 s) and one more of 10.0 GB (10 s) fit into the 17 s left");
}

TEST(GraceBudget, DropsCompressionWhereThatMakesItFit) {
  const auto decision = decide_grace({.left_s = 12,
                                      .in_flight = {{.bytes_done = 5 * gb, .bytes_total = 10 * gb}},
                                      .next_bytes = 10 * gb,
                                      .measured = coding_is_slow()});
  EXPECT_TRUE(decision.start);
  EXPECT_TRUE(decision.drop_compression);
  EXPECT_TRUE(decision.fits);
  EXPECT_DOUBLE_EQ(decision.predicted_s, 11);
  EXPECT_EQ(decision.reason,
            "the save in flight (5.50 s) and one more of 10.0 GB (10 s; without compression 5.50 s) fit into the 12 s "
            "left without compression");
}

TEST(GraceBudget, TheSaveInFlightIsTheLast) {
  const auto decision = decide_grace({.left_s = 8,
                                      .in_flight = {{.bytes_done = 5 * gb, .bytes_total = 10 * gb}},
                                      .next_bytes = 10 * gb,
                                      .measured = coding_is_slow()});
  EXPECT_FALSE(decision.start);
  EXPECT_FALSE(decision.drop_compression);
  EXPECT_TRUE(decision.fits) << "the one in flight";
  EXPECT_DOUBLE_EQ(decision.predicted_s, 5.5);
  EXPECT_EQ(decision.reason,
            "the save in flight (5.50 s) and one more of 10.0 GB (10 s; without compression 5.50 s) do not fit into "
            "the 8.00 s left: the save in flight is the last");
}

TEST(GraceBudget, NotEvenTheSaveInFlightFits) {
  const auto decision = decide_grace({.left_s = 2,
                                      .in_flight = {{.bytes_done = 5 * gb, .bytes_total = 10 * gb}},
                                      .next_bytes = 10 * gb,
                                      .measured = coding_is_slow()});
  EXPECT_FALSE(decision.start);
  EXPECT_FALSE(decision.fits);
  EXPECT_EQ(decision.reason,
            "the save in flight (5.50 s) and one more of 10.0 GB (10 s; without compression 5.50 s) do not fit into "
            "the 2.00 s left, nor does the first alone: the save in flight is the last");
}

TEST(GraceBudget, TriesTheFasterWayWhenNothingFits) {
  const auto slow_codec = decide_grace({.left_s = 3, .next_bytes = 10 * gb, .measured = coding_is_slow()});
  EXPECT_TRUE(slow_codec.start);
  EXPECT_TRUE(slow_codec.drop_compression);
  EXPECT_FALSE(slow_codec.fits);
  EXPECT_EQ(slow_codec.reason,
            "a save of 10.0 GB (10 s; without compression 5.50 s) does not fit into the 3.00 s left: tried without "
            "compression all the same");

  const auto slow_disk = decide_grace({.left_s = 3, .next_bytes = 10 * gb, .measured = disk_is_slow()});
  EXPECT_TRUE(slow_disk.start);
  EXPECT_FALSE(slow_disk.drop_compression);
  EXPECT_FALSE(slow_disk.fits);
  EXPECT_EQ(slow_disk.reason,
            "a save of 10.0 GB (14 s; without compression 20 s) does not fit into the 3.00 s left: tried all the same");
}

TEST(GraceBudget, KeepsCompressionWhereTheDiskIsTheSlowPart) {
  const auto decision = decide_grace({.left_s = 15, .next_bytes = 10 * gb, .measured = disk_is_slow()});
  EXPECT_TRUE(decision.start);
  EXPECT_FALSE(decision.drop_compression);
  EXPECT_TRUE(decision.fits);
}

TEST(GraceBudget, TakesTheDiskForSavesWithoutCompression) {
  const SaveThroughput measured{.compressed_bytes_per_s = 1e9, .disk_bytes_per_s = 2e9, .commit_s = 0};
  const auto decision = decide_grace({.left_s = 6, .next_bytes = 10 * gb, .measured = measured});
  EXPECT_TRUE(decision.drop_compression);
  EXPECT_TRUE(decision.fits);
  EXPECT_DOUBLE_EQ(decision.predicted_s, 5);
}

TEST(GraceBudget, AssumesLittleOfWhatWasNeverMeasuredAndTries) {
  const auto decision = decide_grace({.left_s = 28, .next_bytes = 10 * gb});
  EXPECT_TRUE(decision.start);
  EXPECT_FALSE(decision.drop_compression) << "nothing says that it would be faster";
  EXPECT_FALSE(decision.fits);
  EXPECT_DOUBLE_EQ(decision.predicted_s, 201);
  EXPECT_EQ(decision.reason,
            "a save of 10.0 GB (201 s, assumed; without compression 201 s, assumed) does not fit into the 28 s left: "
            "tried all the same");

  const auto after_another =
      decide_grace({.left_s = 28, .in_flight = {{.bytes_done = 0, .bytes_total = 10 * gb}}, .next_bytes = 10 * gb});
  EXPECT_TRUE(after_another.start);
  EXPECT_FALSE(after_another.fits);
}

TEST(GraceBudget, ASenselessMeasurementIsNone) {
  for (const double rate : {0.0, -1.0, infinity, nan}) {
    const auto decision = decide_grace(
        {.left_s = 28, .next_bytes = 10 * gb, .measured = {.compressed_bytes_per_s = rate, .commit_s = rate}});
    EXPECT_TRUE(decision.start);
    EXPECT_NE(decision.reason.find("assumed"), std::string::npos);
    EXPECT_GE(decision.predicted_s, 200);
  }
}

TEST(GraceBudget, NothingMoreIsWanted) {
  EXPECT_EQ(decide_grace({.left_s = 28}).reason, "there is nothing to save");
  const auto decision = decide_grace(
      {.left_s = 28, .in_flight = {{.bytes_done = 5 * gb, .bytes_total = 10 * gb}}, .measured = coding_is_slow()});
  EXPECT_FALSE(decision.start);
  EXPECT_TRUE(decision.fits);
  EXPECT_EQ(decision.reason, "the save in flight (5.50 s) fits into the 28 s left; no other is wanted");
}

TEST(GraceBudget, NothingIsDroppedWhereNothingIsCompressed) {
  const auto decision =
      decide_grace({.left_s = 1, .next_bytes = 10 * gb, .next_compressed = false, .measured = coding_is_slow()});
  EXPECT_TRUE(decision.start);
  EXPECT_FALSE(decision.drop_compression);
  EXPECT_EQ(decision.reason, "a save of 10.0 GB (5.50 s) does not fit into the 1.00 s left: tried all the same");
}

// --- For all budgets.

rc::Gen<std::optional<double>> any_rate() {
  return rc::gen::map(rc::gen::inRange(0, 5000),
                      [](int mb) { return mb == 0 ? std::nullopt : std::optional(mb * 1e6); });
}

GraceBudget any_budget() {
  GraceBudget budget;
  budget.left_s = *rc::gen::inRange(-5, 120);
  if (*rc::gen::arbitrary<bool>()) {
    budget.in_flight = GraceBudget::InFlight{*rc::gen::inRange<std::uint64_t>(0, 50 * gb),
                                             *rc::gen::inRange<std::uint64_t>(0, 50 * gb), *rc::gen::arbitrary<bool>()};
  }
  if (*rc::gen::arbitrary<bool>()) budget.next_bytes = *rc::gen::inRange<std::uint64_t>(0, 50 * gb);
  budget.next_compressed = *rc::gen::arbitrary<bool>();
  budget.measured = {*any_rate(), *any_rate(), *any_rate(), *rc::gen::inRange(0, 3)};
  return budget;
}

RC_GTEST_PROP(GraceBudget, SaysWhatItPredicts, ()) {
  const GraceBudget budget = any_budget();
  const GraceDecision decision = decide_grace(budget);
  RC_ASSERT(!decision.reason.empty());
  RC_ASSERT(decision.fits == (decision.predicted_s <= std::max(0.0, budget.left_s)));
  if (!budget.next_bytes) RC_ASSERT(!decision.start);
  if (decision.drop_compression) RC_ASSERT(decision.start && budget.next_compressed);
  if (decision.start) RC_ASSERT(decision.predicted_s >= *budget.measured.commit_s * (budget.in_flight ? 2 : 1));
}

// With no save in flight the only chance is always taken.
RC_GTEST_PROP(GraceBudget, NeverGivesUpWithoutASaveInFlight, ()) {
  GraceBudget budget = any_budget();
  budget.in_flight.reset();
  RC_ASSERT(decide_grace(budget).start == budget.next_bytes.has_value());
}

RC_GTEST_PROP(GraceBudget, MoreTimeNeverMakesItWorse, ()) {
  GraceBudget budget = any_budget();
  const GraceDecision before = decide_grace(budget);
  budget.left_s = std::max(0.0, budget.left_s) + *rc::gen::inRange(0, 60);
  const GraceDecision after = decide_grace(budget);
  if (before.fits && before.start) RC_ASSERT(after.fits && after.start);
}

// Where neither is predicted to fit, or only one, the choice is the faster one.
RC_GTEST_PROP(GraceBudget, CompressionIsDroppedOnlyToBeFaster, ()) {
  GraceBudget budget = any_budget();
  const GraceDecision decision = decide_grace(budget);
  budget.next_compressed = !budget.next_compressed;
  budget.left_s = 1e9;  // anything fits: what is predicted for the other way
  if (decision.drop_compression) RC_ASSERT(decide_grace(budget).predicted_s <= decision.predicted_s);
}

// --- Measuring.

TEST(SaveThroughputMeter, ForgetsAndTellsKindsApart) {
  SaveThroughputMeter meter;
  EXPECT_FALSE(meter.throughput().compressed_bytes_per_s);
  EXPECT_FALSE(meter.throughput().commit_s);
  meter.add({true, gb, 100, 103});
  meter.add({false, gb, 0.5, 0.75});
  EXPECT_DOUBLE_EQ(*meter.throughput().compressed_bytes_per_s, 1e7);
  EXPECT_DOUBLE_EQ(*meter.throughput().uncompressed_bytes_per_s, 2e9);
  EXPECT_DOUBLE_EQ(*meter.throughput().commit_s, 3);
  for (int i = 0; i < 8; ++i) meter.add({true, gb, 1, 1.5});
  EXPECT_DOUBLE_EQ(*meter.throughput().compressed_bytes_per_s, 1e9);
  EXPECT_DOUBLE_EQ(*meter.throughput().commit_s, 0.5);
}

// A slow codec kept the disk waiting: what it took to freeze the state and to write says how fast it is without.
TEST(SaveThroughputMeter, ForeseesSavesWithoutCompression) {
  SaveThroughputMeter meter;
  meter.add({.bytes = gb, .durable_s = 100, .committed_s = 100});
  EXPECT_FALSE(meter.throughput().disk_bytes_per_s);
  meter.add(
      {.bytes = gb, .durable_s = 100, .committed_s = 100, .captured_s = 0.25, .stored_bytes = gb / 2, .disk_s = 0.375});
  EXPECT_DOUBLE_EQ(*meter.throughput().disk_bytes_per_s, 1e9);
  GraceBudget budget;
  budget.left_s = 10;
  budget.next_bytes = gb;
  budget.measured = meter.throughput();
  const GraceDecision decision = decide_grace(budget);
  EXPECT_TRUE(decision.start && decision.drop_compression && decision.fits) << decision.reason;
  EXPECT_DOUBLE_EQ(decision.predicted_s, 1);
}

TEST(SaveThroughputMeter, ASmallSaveSaysLittleAboutLargeOnes) {
  SaveThroughputMeter meter;
  meter.add({true, 10 * gb, 10, 10});
  meter.add({true, 1000, 0.01, 0.01});
  EXPECT_GT(*meter.throughput().compressed_bytes_per_s, 0.99e9);
}

TEST(SaveThroughputMeter, NoTimeAtAllIsNoMeasurement) {
  SaveThroughputMeter meter;
  meter.add({true, gb, 0, 0});
  EXPECT_FALSE(meter.throughput().compressed_bytes_per_s);
}

}  // namespace
}  // namespace milepost
