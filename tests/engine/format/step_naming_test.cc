#include "milepost/engine/format/step_naming.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <string>

namespace milepost {
namespace {

constexpr std::int64_t step_max = std::numeric_limits<std::int64_t>::max();

TEST(StepNaming, RoundTripsWithPrefixAndPadding) {
  for (const std::string prefix : {"", "step_", "ckpt-"}) {
    for (const int length : {0, 1, 8, 19}) {
      const StepNaming naming(prefix, length);
      ASSERT_TRUE(naming.check().has_value());
      for (const std::int64_t step : {std::int64_t{0}, std::int64_t{42}, std::int64_t{123456789}, step_max}) {
        EXPECT_EQ(naming.parse(naming.name(step)), step) << naming.name(step);
      }
    }
  }
  EXPECT_EQ(StepNaming("step_").name(42), "step_42");
  EXPECT_EQ(StepNaming("step_", 8).name(42), "step_00000042");
  EXPECT_EQ(StepNaming("step_", 8).name(123456789), "step_123456789");
}

TEST(StepNaming, OtherSpellingsAreSomebodyElses) {
  for (const char* name : {"", "step_", "step_042", "step_-1", "step_+1", "step_4x", "step_ 4",
                           "step_9223372036854775808", "step_99999999999999999999", "Step_4", "step4", "4"}) {
    EXPECT_FALSE(StepNaming("step_").parse(name)) << name;
  }
  EXPECT_FALSE(StepNaming().parse("00"));
  for (const char* name : {"step_42", "step_042", "step_0000042x", "step_000000042"}) {
    EXPECT_FALSE(StepNaming("step_", 8).parse(name)) << name;
  }
}

TEST(StepNaming, BadOnesAreRefused) {
  for (const std::string& prefix : {std::string("v2"), std::string(".x"), std::string("a/"), std::string(237, 'x')}) {
    EXPECT_EQ(StepNaming(prefix).check().error().code(), ErrorCode::invalid_argument) << prefix;
  }
  EXPECT_TRUE(StepNaming("", -1).check().has_error());
  EXPECT_TRUE(StepNaming("", 20).check().has_error());
}

StepNameFormat epochs() {
  return {
      .name = [](std::int64_t step) { return "epoch-" + std::to_string(step) + "-of-many"; },
      .parse =
          [](std::string_view name) { return std::optional<std::int64_t>(std::stoll(std::string(name.substr(6)))); }};
}

TEST(StepNaming, OfTheUsersOwnMaking) {
  const StepNaming naming(epochs());
  ASSERT_TRUE(naming.check().has_value());
  EXPECT_EQ(naming.name(7), "epoch-7-of-many");
  EXPECT_EQ(naming.parse("epoch-7-of-many"), 7);
  // What it parses but would not write, and what it throws at, are not its steps.
  for (const char* name : {"epoch-7", "epoch-07-of-many", "epoch-x-of-many", "abc", "epoch--7-of-many"}) {
    EXPECT_FALSE(naming.parse(name)) << name;
  }
}

TEST(StepNaming, OfTheUsersOwnMakingIsCheckedByUse) {
  auto one_name = epochs();
  one_name.name = [](std::int64_t) { return std::string("epoch-1"); };
  EXPECT_TRUE(StepNaming(one_name).check().has_error());
  auto slash = epochs();
  slash.name = [](std::int64_t step) { return "epoch/" + std::to_string(step); };
  EXPECT_TRUE(StepNaming(slash).check().has_error());
  auto thrower = epochs();
  thrower.name = [](std::int64_t) -> std::string { throw std::runtime_error("no"); };
  EXPECT_TRUE(StepNaming(thrower).check().has_error());
  EXPECT_TRUE(StepNaming(StepNameFormat{}).check().has_error());
}

}  // namespace
}  // namespace milepost
