// Telling from a record, and from what is in a file, what became of an append.
#include "milepost/engine/federated/append_intent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace milepost {
namespace {

const AppendIntent intent{.size = 1234, .context = Digest::of(std::string_view("before")), .appended = "7,0.5\r\n"};

TEST(AppendIntent, ComesBack) {
  const auto back = decode_append_intent(encode_append_intent(intent));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->size, intent.size);
  EXPECT_EQ(back->context, intent.context);
  EXPECT_EQ(back->appended, intent.appended);
}

TEST(AppendIntent, WhatIsBehindMeansNothing) {
  auto record = encode_append_intent(intent);
  record.resize(record.size() + 100, std::byte{7});
  EXPECT_EQ(decode_append_intent(record)->appended, intent.appended);
}

TEST(AppendIntent, VoidTornOrCutRecordsAreNone) {
  const auto record = encode_append_intent(intent);
  EXPECT_FALSE(decode_append_intent({}));
  auto voided = record;
  std::copy(void_append_intent.begin(), void_append_intent.end(), voided.begin());
  EXPECT_FALSE(decode_append_intent(voided));
  for (std::size_t i = 0; i < record.size(); ++i) {
    auto damaged = record;
    damaged[i] ^= std::byte{1};
    EXPECT_FALSE(decode_append_intent(damaged)) << i;
    EXPECT_FALSE(decode_append_intent(std::span(record).first(i))) << i;
  }
}

TEST(AppendIntent, OutcomeByWhatIsThere) {
  const auto outcome = [](std::string_view found) { return append_outcome(intent, found); };
  EXPECT_EQ(outcome("7,0.5\r\n"), AppendOutcome::whole);
  for (const std::string& torn : {std::string("7"), std::string("7,0.5\r"), std::string("7,0.5\0\0", 7),
                                  std::string("\0\0\0\0\0\0\0", 7), std::string("\0,0", 3)}) {
    EXPECT_EQ(outcome(torn), AppendOutcome::torn) << torn;
  }
  for (const char* const foreign : {"", "8", "7,0.6\r\n", "7,0.5\r\n8", "7,0.5\n"}) {
    EXPECT_EQ(outcome(foreign), AppendOutcome::foreign) << foreign;
  }
}

}  // namespace
}  // namespace milepost
