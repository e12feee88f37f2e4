// Checkpoints that nobody should write: each is refused with a clear error by restoring and by verifying, nothing
// outside of its directory is opened meanwhile, and no more memory is taken than a small step needs.
#include "tests/engine/hostile/hostile_step.h"
#include "tests/engine/hostile/traced_child.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr bool measures_memory = !under_sanitizer;  // most of it would be the sanitizer's

// Beyond the 43 KB that the step declares.
constexpr std::int64_t memory_max = std::int64_t{64} << 20;

// Three chunks: float planes, float planes, zstd.
Tree good_tree() {
  Tree tree;
  const auto wave = [](std::size_t i) { return std::sin(static_cast<float>(i)); };
  tree["h"] = Tensor::allocate(DType::bf16, {200}).value();
  for (std::size_t i = 0; i < 200; ++i) {
    const auto bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(wave(i)) >> 16);
    std::memcpy(tree["h"].get_if<Tensor>()->data() + 2 * i, &bits, 2);
  }
  tree["n"] = Tensor::allocate(DType::u8, {40'000}).value();
  std::memset(tree["n"].get_if<Tensor>()->data(), 5, 40'000);
  tree["small"] = Tree::list({Tree(std::int64_t{5}), Tree("x")});
  tree["w"] = Tensor::allocate(DType::f32, {300}).value();
  for (std::size_t i = 0; i < 300; ++i) {
    const float value = wave(i);
    std::memcpy(tree["w"].get_if<Tensor>()->data() + 4 * i, &value, 4);
  }
  return tree;
}

std::int64_t status_kb(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ':')) return std::stoll(line.substr(field.size() + 1));
  }
  return 0;
}

// What reading a directory of checkpoints comes to.
struct Outcome {
  std::string restored;     // the error; empty if there is none
  std::string verified;     // the same, or what is damaged
  std::int64_t memory = 0;  // bytes at the most, beyond those before
};

std::string verification(CheckpointManager& manager) {
  auto reader = manager.open_step(1);
  if (reader.has_error()) return reader.error().to_string();
  const auto damage = reader->verify();
  if (damage.has_error()) return damage.error().to_string();
  std::string text;
  for (const Damage& place : *damage) text += place.error.to_string() + "\n";
  return text;
}

Outcome read_all(const fs::path& root) {
  std::ofstream("/proc/self/clear_refs") << 5;  // the highest mark begins anew
  const std::int64_t before = status_kb("VmRSS");
  Outcome outcome;
  {
    CheckpointManagerOptions options = small_options();
    options.read_only = true;
    CheckpointManager manager = open_manager(options, root.string());
    outcome.verified = verification(manager);
    outcome.restored = error_of(manager.restore(1));
  }
  outcome.memory = (status_kb("VmHWM") - before) * 1024;
  return outcome;
}

class HostileCheckpoints : public ::testing::Test {
 protected:
  HostileCheckpoints() {
    {
      CheckpointManagerOptions options = small_options();
      options.worker_threads = 1;  // so that the chunks lie in their order
      CheckpointManager manager = open_manager(options, outside().string());
      EXPECT_TRUE(manager.save(1, {{"state", good_tree()}}).value());
      EXPECT_OK(manager.close());
    }
    for (const char* const file : {HostileStep::record, HostileStep::manifest, HostileStep::table, HostileStep::data}) {
      std::ostringstream text;
      text << std::ifstream(outside() / file, std::ios::binary).rdbuf();
      good_.emplace(file, bytes_of(text.str()));
    }
  }

  void SetUp() override {
    try {
      run_traced([](const auto&) {});
    } catch (const std::runtime_error& refused) {
      GTEST_SKIP() << "nothing can be told of what a process opens: " << refused.what();
    }
  }

  fs::path outside() const { return dir_.path() / "outside"; }
  fs::path root_of(std::size_t index) const { return dir_.path() / std::to_string(index); }

  void make(const HostileCase& hostile, const fs::path& root) {
    HostileStep step(good_);
    if (hostile.change) hostile.change(step);
    step.write(root);
    if (hostile.plant) hostile.plant(root, outside());
  }

  // Reads them in one child, in whose log the files of each are by their names.
  std::vector<Outcome> read_in_child(const std::vector<fs::path>& roots, std::vector<std::string>& opened) {
    const TracedChild child = run_traced([&](const auto& tell) {
      for (const fs::path& root : roots) {
        const Outcome outcome = read_all(root);
        tell(outcome.restored + '\0' + outcome.verified + '\0' + std::to_string(outcome.memory) + '\0');
      }
    });
    EXPECT_TRUE(child.ended_well);
    opened = child.opened;
    std::vector<Outcome> outcomes;
    std::istringstream told(child.told);
    for (Outcome outcome; std::getline(told, outcome.restored, '\0') && std::getline(told, outcome.verified, '\0');) {
      std::string memory;
      std::getline(told, memory, '\0');
      outcome.memory = std::stoll(memory);
      outcomes.push_back(outcome);
    }
    return outcomes;
  }

  // What of that lies neither in the directory of a case nor in /proc/self and /sys, which every process reads.
  std::vector<std::string> outside_of(const std::vector<fs::path>& roots, std::vector<std::string> opened) {
    std::erase_if(opened, [&](const std::string& path) {
      if (path.starts_with("/proc/") || path.starts_with("/sys/")) return true;
      return std::any_of(roots.begin(), roots.end(), [&](const fs::path& root) {
        return path == root.string() || path.starts_with(root.string() + '/');
      });
    });
    return opened;
  }

  const TempDir dir_{parent_in_memory()};
  FileMap good_;
};

TEST_F(HostileCheckpoints, AreRefusedWithoutALookOutside) {
  const std::vector<HostileCase> all = hostile_cases();
  ASSERT_GE(all.size(), 200u);
  // Sanitizers make each take long: there some of every part of the table.
  std::vector<HostileCase> cases;
  for (std::size_t i = 0; i < all.size(); i += stride_under_sanitizer(7)) cases.push_back(all[i]);
  std::set<std::string> names;
  std::vector<fs::path> roots;
  for (const HostileCase& hostile : cases) {
    SCOPED_TRACE(hostile.name);
    EXPECT_TRUE(names.insert(hostile.name).second);
    roots.push_back(root_of(roots.size()));
    ASSERT_NO_THROW(make(hostile, roots.back()));
  }
  std::vector<std::string> opened;
  const auto outcomes = read_in_child(roots, opened);
  ASSERT_EQ(outcomes.size(), cases.size()) << "the child died of " << cases.at(outcomes.size()).name;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(cases[i].name);
    EXPECT_THAT(outcomes[i].restored, HasSubstr(cases[i].refusal));
    EXPECT_THAT(outcomes[i].verified, HasSubstr(cases[i].refusal));
    if (measures_memory) {
      EXPECT_LE(outcomes[i].memory, memory_max);
    }
  }
  EXPECT_THAT(outside_of(roots, opened), IsEmpty());
  report_trials("hostile checkpoints", cases.size());
}

// What the harness says of a good step, and of a reader who is led outside or takes more than he should.
TEST_F(HostileCheckpoints, WhatIsNotRefusedIsSeen) {
  const fs::path good = root_of(0);
  make({}, good);
  std::vector<std::string> opened;
  const auto outcomes = read_in_child({good, outside()}, opened);
  ASSERT_THAT(outcomes, SizeIs(2));
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.restored, "");
    EXPECT_EQ(outcome.verified, "");
  }
  EXPECT_THAT(outside_of({good, outside()}, opened), IsEmpty());
  const auto elsewhere = outside_of({good}, opened);
  for (const char* const file : {"", "/1", "/1/step.json", "/1/state/manifest.json", "/1/state/data-0.bin"}) {
    EXPECT_THAT(elsewhere, Contains(outside().string() + file));
  }
  if (!measures_memory) return;
  const TracedChild greedy = run_traced([&](const auto& tell) {
    std::ofstream("/proc/self/clear_refs") << 5;
    const std::int64_t before = status_kb("VmRSS");
    // The kernel counts pages on each CPU by itself, and a few are not in the sum yet.
    std::vector<std::byte>(static_cast<std::size_t>(memory_max) + (1 << 20), std::byte{1}).clear();
    tell((status_kb("VmHWM") - before) * 1024 > memory_max ? "seen" : "missed");
  });
  EXPECT_EQ(greedy.told, "seen");
}

}  // namespace
}  // namespace milepost::testing
