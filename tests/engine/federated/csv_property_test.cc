// Any sequence of releases, in any mode, with any reopening in between: the file is what a plain model says.
#include "tests/engine/federated/releases.h"

#include <rapidcheck.h>

#include <map>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

// A value, and what Python prints for it.
struct Sample {
  ProgramValue value;
  const char* text;
};

const std::vector<Sample>& samples() {
  static const std::vector<Sample> all = {
      {0.5, "0.5"},   {true, "True"},       {nullptr, ""}, {-3, "-3"},
      {"a,b", "a,b"}, {"x\r\ny", "x\r\ny"}, {"\"", "\""},  {"é", "é"},
  };
  return all;
}

const std::vector<std::string> columns = {"a", "b/c", "d,e", "f\"", "g\nh"};

struct Step {
  std::int64_t key = 0;
  std::map<std::string, int> cells;  // column to sample
  bool reopen = false;
  CsvSaveMode mode = CsvSaveMode::append;  // of what is opened
  bool strip_newline = false;              // by somebody else, before it is opened
};

rc::Gen<Step> step() {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::inRange<std::int64_t>(-3, 12),
                     rc::gen::container<std::vector<std::pair<std::string, int>>>(rc::gen::pair(
                         rc::gen::elementOf(columns), rc::gen::inRange(0, static_cast<int>(samples().size())))),
                     rc::gen::inRange(0, 4), rc::gen::arbitrary<bool>(), rc::gen::inRange(0, 4)),
      [](const auto& drawn) {
        const auto& [key, cells, reopen, write, strip] = drawn;
        return Step{key,
                    {cells.begin(), cells.end()},
                    reopen == 0,
                    write ? CsvSaveMode::write : CsvSaveMode::append,
                    strip == 0};
      });
}

class Model {
 public:
  void release(const Step& step) {
    std::vector<Row> left;
    for (const Row& row : rows_) {
      if (row.key < step.key) left.push_back(row);
    }
    if (left.size() < rows_.size() && left.empty()) header_.clear();
    for (const auto& [column, sample] : step.cells) {
      if (std::find(header_.begin(), header_.end(), column) == header_.end()) header_.push_back(column);
    }
    rows_ = std::move(left);
    rows_.push_back({step.key, step.cells});
  }

  std::string text() const {
    std::string text = "key";
    for (const std::string& column : header_) text += "," + quoted(column);
    text += "\r\n";
    for (const Row& row : rows_) {
      text += std::to_string(row.key);
      for (const std::string& column : header_) {
        const auto cell = row.cells.find(column);
        text += "," + (cell == row.cells.end() ? "" : quoted(samples()[static_cast<std::size_t>(cell->second)].text));
      }
      text += "\r\n";
    }
    return text;
  }

 private:
  struct Row {
    std::int64_t key;
    std::map<std::string, int> cells;
  };

  static std::string quoted(const std::string& cell) {
    if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
    std::string text = "\"";
    for (const char c : cell) text += c == '"' ? std::string("\"\"") : std::string(1, c);
    return text + "\"";
  }

  std::vector<std::string> header_;
  std::vector<Row> rows_;
};

ProgramValue value_of(const Step& step) {
  ProgramValue value = ProgramValue::map();
  for (const auto& [column, sample] : step.cells) {
    const ProgramValue& leaf = samples()[static_cast<std::size_t>(sample)].value;
    const std::size_t slash = column.find('/');
    if (slash == std::string::npos) {
      value[column] = leaf;
    } else {
      value[column.substr(0, slash)][column.substr(slash + 1)] = leaf;
    }
  }
  return value;
}

TEST(CsvProperty, TheFileIsWhatAPlainModelSays) {
  const bool held = rc::check([] {
    const auto steps = *rc::gen::container<std::vector<Step>>(step());
    const auto store = std::make_shared<SimulatedStore>();
    auto manager = std::make_unique<CsvFileReleaseManager>(open_csv(store));
    Model model;
    for (const Step& step : steps) {
      if (step.reopen) {
        manager.reset();
        const std::string text = text_of(*store);
        if (step.strip_newline) put_text(*store, text.substr(0, text.size() - 2));
        manager = std::make_unique<CsvFileReleaseManager>(open_csv(store, step.mode));
      }
      const auto released = manager->release(value_of(step), step.key);
      RC_ASSERT(error_of(released) == "");
      model.release(step);
      RC_ASSERT(text_of(*store) == model.text());
    }
  });
  EXPECT_TRUE(held);
}

}  // namespace
}  // namespace milepost::testing
