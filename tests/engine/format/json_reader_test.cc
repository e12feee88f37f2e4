#include "milepost/engine/format/json_reader.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace milepost {
namespace {

std::string compact(std::string_view text) {
  const auto document = JsonDocument::parse(text);
  if (document.has_error()) return document.error().to_string();
  std::string out;
  document->root().append_to(out);
  return out;
}

TEST(JsonReader, KeepsValuesOrderAndTheTextOfReals) {
  EXPECT_EQ(compact(" { \"b\" : [ 1 , -2, 1.50 , 1E+2 , true,false, null ] , \"a\" : { } , \"c\":[] } "),
            R"({"b":[1,-2,1.50,1E+2,true,false,null],"a":{},"c":[]})");
  EXPECT_EQ(compact(R"("\u00e9\n\u0000\ud83d\ude00\/")"), "\"\xC3\xA9\\n\\u0000\xF0\x9F\x98\x80/\"");
  EXPECT_EQ(compact("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(compact("18446744073709551616"), "18446744073709551616");
  EXPECT_EQ(compact("-9223372036854775808"), "-9223372036854775808");
}

TEST(JsonReader, RefusesKeysThatComeTwiceInAnyOrder) {
  EXPECT_EQ(compact(R"({"a":1,"a":2})"), "duplicate key \"a\"");
  EXPECT_EQ(compact(R"({"b":{"x":[1,2]},"a":[[{}]],"b":3})"), "duplicate key \"b\"");
  EXPECT_EQ(compact(R"([{"c":1,"a":{"z":1,"y":2},"b":3,"c":0}])"), "duplicate key \"c\"");
  EXPECT_EQ(compact(R"({"":1,"":2})"), "duplicate key \"\"");
  EXPECT_EQ(compact(R"({"c":{"a":1},"b":{"a":1},"a":{"c":1}})"), R"({"c":{"a":1},"b":{"a":1},"a":{"c":1}})");
}

TEST(JsonReader, ManyUnorderedKeysTakeNoQuadraticTime) {
  std::string text = "{";
  for (int i = 200'000; i > 0; --i) text += "\"" + std::to_string(i) + "\":0,";
  text += "\"x\":0}";
  EXPECT_EQ(compact(text), text);
}

TEST(JsonReader, NestingStopsAtTheLimit) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_EQ(compact(nested(json_depth_max)), nested(json_depth_max));
  EXPECT_EQ(compact(nested(json_depth_max + 1)), "JSON nested more than 40 deep");
}

TEST(JsonReader, IntegersAreThoseThatFit) {
  const auto document = JsonDocument::parse(
      "[9223372036854775807,9223372036854775808,18446744073709551615,-9223372036854775808,-1,1.0,1e3,"
      "18446744073709551616,-9223372036854775809,true,\"1\"]");
  ASSERT_TRUE(document.has_value());
  std::vector<std::optional<std::uint64_t>> u64;
  std::vector<std::optional<std::int64_t>> i64;
  for (const JsonValue value : document->root().children()) {
    u64.push_back(value.as_u64());
    i64.push_back(value.as_i64());
  }
  constexpr auto i64_max = std::numeric_limits<std::int64_t>::max();
  const std::vector<std::optional<std::uint64_t>> expected_u64{std::uint64_t{i64_max},
                                                               std::uint64_t{i64_max} + 1,
                                                               std::numeric_limits<std::uint64_t>::max(),
                                                               {},
                                                               {},
                                                               {},
                                                               {},
                                                               {},
                                                               {},
                                                               {},
                                                               {}};
  const std::vector<std::optional<std::int64_t>> expected_i64{
      i64_max, {}, {}, std::numeric_limits<std::int64_t>::min(), -1, {}, {}, {}, {}, {}, {}};
  EXPECT_EQ(u64, expected_u64);
  EXPECT_EQ(i64, expected_i64);
}

TEST(JsonReader, MessagesQuoteNoMoreThanALine) {
  const auto document = JsonDocument::parse("{\"a\":\"" + std::string(100'000, 'x') + "\"}");
  ASSERT_TRUE(document.has_value());
  auto fields = JsonFields::of(document->root(), "here");
  ASSERT_TRUE(fields.has_value());
  const auto number = fields->u64("a", 9);
  ASSERT_TRUE(number.has_error());
  EXPECT_EQ(number.error().to_string(),
            "here: a: expected an integer from 0 to 9, found \"" + std::string(40, 'x') + "...\"");
}

}  // namespace
}  // namespace milepost
