// Rows as Python's csv module reads and writes them.
#include "milepost/engine/federated/csv_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using Rows = std::vector<std::vector<std::string>>;

// Text that comes in pieces of a size.
class TextSource final : public ByteSource {
 public:
  TextSource(std::string text, std::size_t piece) : text_(std::move(text)), piece_(piece) {}
  Result<std::size_t> read(std::span<std::byte> into) override {
    const std::size_t bytes = std::min({piece_, into.size(), text_.size() - at_});
    std::memcpy(into.data(), text_.data() + at_, bytes);
    at_ += bytes;
    return bytes;
  }

 private:
  const std::string text_;
  const std::size_t piece_;
  std::size_t at_ = 0;
};

struct Found {
  Rows rows;
  std::vector<std::uint64_t> lines;
  std::string error;
  bool ends_with_newline = false;
};

Found read(const std::string& text, std::size_t piece = 1 << 20) {
  TextSource source(text, piece);
  CsvReader reader(source);
  Found found;
  std::vector<std::string> cells;
  for (;;) {
    const auto more = reader.next(cells);
    if (more.has_error()) found.error = more.error().to_string();
    if (more.has_error() || !*more) break;
    found.rows.push_back(cells);
    found.lines.push_back(reader.line());
  }
  found.ends_with_newline = reader.ends_with_newline();
  return found;
}

std::string row_of(const std::vector<std::string>& cells) {
  std::string text;
  append_csv_row(text, cells);
  return text;
}

TEST(CsvFormat, QuotesWhatNeedsIt) {
  EXPECT_EQ(row_of({"a", "b c", "1.5"}), "a,b c,1.5\r\n");
  EXPECT_EQ(row_of({"a,b", "say \"hi\"", "x\ny", "x\ry", "'"}), "\"a,b\",\"say \"\"hi\"\"\",\"x\ny\",\"x\ry\",'\r\n");
  EXPECT_EQ(row_of({"", ""}), ",\r\n");
  EXPECT_EQ(row_of({"[1, 2]"}), "\"[1, 2]\"\r\n");
  EXPECT_EQ(row_of({"Zürich, 東京"}), "\"Zürich, 東京\"\r\n");
}

TEST(CsvFormat, ASingleEmptyCellStaysReadable) {
  EXPECT_EQ(row_of({""}), "\"\"\r\n");
  EXPECT_EQ(read(row_of({""})).rows, (Rows{{""}}));
}

TEST(CsvFormat, ReadsAsPythonDoes) {
  const std::vector<std::pair<std::string, Rows>> cases = {
      {"", {}},
      {"a,b\r\n1,2\r\n", {{"a", "b"}, {"1", "2"}}},
      {"a,b\n1,2\n", {{"a", "b"}, {"1", "2"}}},
      {"a,b\r1,2\r", {{"a", "b"}, {"1", "2"}}},
      {"a\n\n\r\n\rb", {{"a"}, {"b"}}},
      {",\r\n", {{"", ""}}},
      {"a,", {{"a", ""}}},
      {"\"\"", {{""}}},
      {"\"\",x", {{"", "x"}}},
      {"\"a\"\"b\"", {{"a\"b"}}},
      {"\"a,b\r\nc\"\r\nd", {{"a,b\r\nc"}, {"d"}}},
      {"a\"b", {{"a\"b"}}},
      {"\"ab\"cd,e", {{"abcd", "e"}}},
      {"\"a\"b\"c\"", {{"ab\"c\""}}},
      {" \"a\"", {{" \"a\""}}},
  };
  for (const auto& [text, rows] : cases) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{1000}}) {
      const Found found = read(text, piece);
      EXPECT_EQ(found.error, "") << text;
      EXPECT_EQ(found.rows, rows) << text << " by " << piece;
    }
  }
}

TEST(CsvFormat, KnowsLinesAndTheLastOnesEnd) {
  EXPECT_EQ(read("a\r\n\r\n\"b\r\nc\"\r\nd\n").lines, (std::vector<std::uint64_t>{1, 3, 5}));
  for (const char* const text : {"", "a\n", "a\r\n", "a\r", "\n"}) EXPECT_TRUE(read(text).ends_with_newline) << text;
  for (const char* const text : {"a", "a\nb", "a\n,", "\"a\n\"", "\"a\""}) {
    EXPECT_FALSE(read(text).ends_with_newline) << text;
  }
}

TEST(CsvFormat, RefusesDamage) {
  EXPECT_EQ(read("a\n1,\"b\nc").error, "line 2: a quoted cell does not end");
  EXPECT_EQ(read(std::string("a\nb\0", 4)).error, "line 2: a zero byte");
  EXPECT_EQ(read(std::string("a\n\"b\0\"\n", 7)).error, "line 2: a zero byte");
  EXPECT_EQ(read(std::string("a\n\0", 3)).error, "line 2: a zero byte");
}

TEST(CsvFormat, AnyRowsComeBack) {
  std::mt19937 random(5);
  constexpr std::string_view alphabet = ",\"\r\nab '\xC3\xA9";
  for (int turn = 0; turn < 300; ++turn) {
    Rows rows(random() % 5);
    std::string text;
    for (auto& cells : rows) {
      cells.resize(1 + random() % 4);
      for (std::string& cell : cells) {
        for (std::size_t length = random() % 6; length > 0; --length) cell += alphabet[random() % alphabet.size()];
      }
      append_csv_row(text, cells);
    }
    const Found found = read(text, 1 + random() % 7);
    ASSERT_EQ(found.error, "") << text;
    ASSERT_EQ(found.rows, rows) << text;
  }
}

}  // namespace
}  // namespace milepost::testing
