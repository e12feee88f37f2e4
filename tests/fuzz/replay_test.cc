// Every target is given its corpus, and what chance makes of that: so that no target rots between the runs of a fuzzer.
#include "tests/fuzz/target.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace milepost::fuzz {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> corpus_of(const std::string& target) {
  std::vector<std::string> inputs;
  for (const auto& entry : fs::directory_iterator(fs::path(MILEPOST_FUZZ_CORPUS) / target)) {
    std::ifstream file(entry.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

// What a target says of an input; empty if nothing.
std::string complaint(Run run, const std::string& input) {
  try {
    run(std::as_bytes(std::span(input)));
    return "";
  } catch (const std::exception& thrown) {
    return thrown.what();
  }
}

// Changes an input in one to four places: bits, bytes, what is doubled, cut out, or taken from another input.
class Mutator {
 public:
  Mutator(const std::vector<std::string>& inputs, std::uint64_t seed) : inputs_(inputs), random_(seed) {}

  std::string operator()() {
    std::string input = any();
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) change(input);
    return input;
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }
  const std::string& any() { return inputs_[below(inputs_.size())]; }

  void change(std::string& input) {
    const std::size_t at = below(input.size() + 1);
    const std::size_t bytes = std::min(1 + below(16), input.size() - at);
    switch (below(6)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ 1 << below(8));
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(random_());
        break;
      case 2: input.erase(at, bytes); break;
      case 3: input.insert(at, input.substr(at, bytes)); break;
      case 4: {
        const std::string& other = any();
        input.replace(at, bytes, other.substr(below(other.size() + 1), bytes));
        break;
      }
      case 5: input.resize(at); break;
    }
  }

  const std::vector<std::string>& inputs_;
  std::mt19937_64 random_;
};

TEST(FuzzTargets, TakeTheirCorpusAndWhatIsNearIt) {
  std::size_t count = 0;
  for (const auto& [name, run] : targets()) {
    const auto inputs = corpus_of(name);
    ASSERT_FALSE(inputs.empty()) << name;
    for (const std::string& input : inputs) ASSERT_EQ(complaint(run, input), "") << name;
    Mutator mutated(inputs, testing::seed());
    for (std::size_t i = testing::trials<std::size_t>(200, 100'000); i > 0; --i, ++count) {
      const std::string input = mutated();
      ASSERT_EQ(complaint(run, input), "") << name << ": " << ::testing::PrintToString(input);
    }
  }
  testing::report_trials("mutated inputs of parsers", count);
}

// The search finds an expectation that one input in some hundred breaks.
TEST(FuzzTargets, AHoleIsFound) {
  const fuzz::Run planted = [](std::span<const std::byte> input) {
    const std::string_view text = as_text(input);
    expect(text.empty() || text.size() > 4 || text.front() == 'n', "a hole");
  };
  const auto inputs = corpus_of("codec_string");
  Mutator mutated(inputs, testing::seed());
  std::size_t found = 0;
  for (int i = 0; i < 1000; ++i) found += complaint(planted, mutated()) == "a hole";
  EXPECT_GT(found, 0u);
}

TEST(FuzzTargets, EachCorpusHasATarget) {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(MILEPOST_FUZZ_CORPUS)) {
    EXPECT_TRUE(targets().contains(entry.path().filename())) << entry.path();
    ++count;
  }
  EXPECT_EQ(count, targets().size());
}

}  // namespace
}  // namespace milepost::fuzz
