#include "milepost/engine/state/tree.h"

#include <gtest/gtest.h>

#include <string>

namespace milepost {
namespace {

TEST(Utf8, AcceptsTheBoundariesOfEachLength) {
  for (const std::string text :
       {"", "a", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
        "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "plain text of many bytes \xC3\xA9"}) {
    EXPECT_TRUE(is_valid_utf8(text)) << text;
  }
}

TEST(Utf8, RefusesOverlongSurrogatesAndTornCharacters) {
  for (const std::string text : {"\x80",
                                 "\xBF",
                                 "\xC0\x80",
                                 "\xC1\xBF",
                                 "\xC2",
                                 "\xC2\x41",
                                 "\xE0\x9F\xBF",
                                 "\xED\xA0\x80",
                                 "\xED\xBF\xBF",
                                 "\xE1\x80",
                                 "\xE1\x80\x41",
                                 "\xF0\x8F\xBF\xBF",
                                 "\xF4\x90\x80\x80",
                                 "\xF5\x80\x80\x80",
                                 "\xF1\x80\x80",
                                 "\xFE",
                                 "\xFF",
                                 "seven b\x80",
                                 "eight by\x80",
                                 "eight bytes and \xC3"}) {
    EXPECT_FALSE(is_valid_utf8(text)) << text;
  }
}

}  // namespace
}  // namespace milepost
