#include "tools/milepost/text.h"

#include "tools/milepost/terminal.h"

#include <gtest/gtest.h>

namespace milepost::tool {
namespace {

TEST(Text, SizesHaveThreeDigitsAndTheRightUnit) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.00 KiB");
  EXPECT_EQ(human_bytes(std::uint64_t{10} << 20), "10.0 MiB");
  EXPECT_EQ(human_bytes((std::uint64_t{1} << 20) - 1), "1.00 MiB");
  EXPECT_EQ(human_bytes(1000 * 1024), "0.98 MiB");
  EXPECT_EQ(human_bytes(std::uint64_t{123} << 30), "123 GiB");
  EXPECT_EQ(human_bytes(~std::uint64_t{0}), "16.0 EiB");
}

TEST(Text, Durations) {
  EXPECT_EQ(human_seconds(0.0123), "12 ms");
  EXPECT_EQ(human_seconds(0.9999), "1.00 s");
  EXPECT_EQ(human_seconds(42), "42.0 s");
  EXPECT_EQ(human_seconds(600), "10.0 min");
  EXPECT_EQ(human_age(30), "30 s");
  EXPECT_EQ(human_age(7200), "2 h");
  EXPECT_EQ(human_age(86400 * 3), "3 days");
  EXPECT_EQ(human_age(-5), "now");
}

TEST(Text, DurationsAreRead) {
  EXPECT_EQ(parse_duration("90"), 90);
  EXPECT_EQ(parse_duration("90s"), 90);
  EXPECT_EQ(parse_duration("30m"), 1800);
  EXPECT_EQ(parse_duration("1h30m"), 5400);
  EXPECT_EQ(parse_duration("0.5d"), 43200);
  EXPECT_EQ(parse_duration("2w"), 14 * 86400);
  for (const char* wrong : {"", "h", "1x", "-1h", "1h-30m", "nan", "inf", "1 h", "1e3s", "1.2.3", "1hh", "1h30"}) {
    EXPECT_EQ(parse_duration(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(parse_duration(std::string(308, '9') + "w"), std::nullopt);
}

TEST(Text, Times) {
  EXPECT_EQ(utc_time(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(utc_time(1'700'000'000'000'000'001), "2023-11-14T22:13:20.000000001Z");
}

TEST(Text, RatiosOfNothingAreNone) {
  EXPECT_EQ(human_ratio(123, 100), "1.23x");
  EXPECT_EQ(human_ratio(1, 0), "-");
  EXPECT_EQ(human_ratio(0, 1), "-");
  EXPECT_EQ(human_ratio(1000, 1), "1000x");
}

TEST(Text, NothingSteersTheTerminal) {
  EXPECT_EQ(printable("plain ä 日本"), "plain ä 日本");
  EXPECT_EQ(printable("a\x1b[31mred\r\n\t\x7f"), "a\\x1b[31mred\\x0d\\n\\t\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\u009b31m");  // the one-character form of ESC [
}

TEST(Text, QuotesCutBetweenCharacters) {
  EXPECT_EQ(quoted("short", 10), "\"short\"");
  EXPECT_EQ(quoted("äöüß", 2), "\"äö…\"");
  EXPECT_EQ(quoted("", 2), "\"\"");
  EXPECT_EQ(display_width("äöü…"), 4U);
}

TEST(Table, WrapsItsLastColumnAtSpaces) {
  Table table({{"STEP", Table::Align::right}, {"REASON"}});
  table.add({{"1"}, {"older than the latest 2; beyond the best 1"}});
  table.add({{"20"}, {"ää" + std::string(30, 'x')}});
  EXPECT_EQ(table.to_string(0),
            "STEP  REASON\n"
            "   1  older than the latest 2; beyond the best 1\n"
            "  20  ääxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n");
  EXPECT_EQ(table.to_string(26),
            "STEP  REASON\n"
            "   1  older than the\n"
            "      latest 2; beyond the\n"
            "      best 1\n"
            "  20  ääxxxxxxxxxxxxxxxxxx\n"
            "      xxxxxxxxxxxx\n");
}

TEST(Table, PutsItsLastColumnBelowWhereThereIsNoRoomBeside) {
  Table table({{"STEP", Table::Align::right}, {"REASON"}});
  table.add({{"1"}, {"older than the latest 2"}});
  table.add({{"20"}});
  EXPECT_EQ(table.to_string(20),
            "STEP\n"
            "  REASON\n"
            "   1\n"
            "  older than the\n"
            "  latest 2\n"
            "  20\n");
}

}  // namespace
}  // namespace milepost::tool
