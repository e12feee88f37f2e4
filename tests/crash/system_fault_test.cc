// System calls on files fail beneath the library, at every index, once, for ever, or twice: the error is told or made
// no difference, nothing is lost, nothing torn is restored, and a process on a disk that is well again goes on. Calls
// that are interrupted or move only a part of their bytes make no difference at all.
#include "milepost/io/digest.h"
#include "tests/crash/life.h"
#include "tests/crash/supervised_process.h"
#include "tests/support/planted_bug.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trials.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

constexpr std::size_t fault_stride_in_short = under_sanitizer ? 151 : 37;

// Saves two steps, the second after a restart if the first has failed, and reads them.
const Life plan{.name = "Faults", .before = {1, 2, 3}, .saves = {4, 5}, .max_to_keep = 2};

// What the process tells: a step that is committed, the negated errno of an error that it was told, or:
constexpr std::int64_t restored_something_else = 1000;

// Where there is nothing yet.
constexpr const char* beside = "-beside";

using FaultyLiving = std::function<void(const std::string& directory, const ChildProcess::Tell&)>;

void live_through_errors(const std::string& directory, const ChildProcess::Tell& tell) {
  const auto succeeds = [&](const auto& result) {
    if (result.has_error()) tell(-std::max(1, result.error().system_errno()));
    return result.has_value();
  };
  std::optional<CheckpointManager> manager;
  for (const Content step : plan.saves) {
    if (!manager) {
      auto opened = CheckpointManager::open(directory, plan.options());
      if (!succeeds(opened)) continue;
      manager.emplace(std::move(*opened));
    }
    if (succeeds(manager->save(step, {{"state", tree_of(step)}},
                               {.codec = step % 2 == 0 ? Codec::none() : Codec::fast()})) &&
        succeeds(manager->wait_until_finished())) {
      tell(step);
      auto restored = manager->restore(step);
      if (succeeds(restored) && !difference(tree_of(step), restored->tree()).empty()) tell(restored_something_else);
    } else {
      manager.reset();
    }
  }
  if (manager) succeeds(manager->close());
  succeeds(CheckpointManager::open(directory + beside + "/made/by/it", plan.options()));
}

// Which calls fail.
struct Faults {
  std::vector<std::size_t> at = {};  // indices of calls that can fail like this
  bool forever = false;              // and all after them
  Verdict verdict = {};

  bool hit(std::size_t index) const {
    return forever ? index >= at.front() : std::find(at.begin(), at.end(), index) != at.end();
  }
  bool concern(const SystemCall& call) const {
    if (verdict.kind == Verdict::Kind::partly) return call.moves_bytes();
    return call.may_fail_with(verdict.system_errno);
  }
};

struct Outcome {
  std::size_t fired = 0;
  std::string calls;  // that failed
  std::vector<std::int64_t> told;

  bool error_told() const {
    return std::any_of(told.begin(), told.end(), [](std::int64_t number) { return number < 0; });
  }
};

class SystemFault : public ::testing::Test {
 protected:
  SystemFault() {
    std::filesystem::create_directory(initial_);
    prepare(plan, initial_);
  }

  // Lives in a fresh copy of the directory. What failed to be made durable is not made durable a second time.
  Outcome live_with(const Faults& faults, const FaultyLiving& lives = live_through_errors) {
    for (const std::string& old : {directory_, directory_ + beside}) std::filesystem::remove_all(old);
    std::filesystem::copy(initial_, directory_, std::filesystem::copy_options::recursive);
    SupervisedProcess process(SupervisedProcess::Calls::all, [&](const auto& tell) { lives(directory_, tell); });
    Outcome outcome;
    std::size_t next = 0;
    std::size_t failed_syncs = 0;
    std::set<std::pair<std::uint64_t, std::uint64_t>> poisoned;
    process.supervise([&](const SystemCall& call) {
      const bool hit = faults.concern(call) && faults.hit(next++);
      if (call.name() == "fsync") {
        const auto file = process.file_of(call);
        EXPECT_FALSE(file && poisoned.contains(*file)) << "a file whose fsync failed is synced again";
        const bool fails = hit && faults.verdict.system_errno != EINTR;
        if (fails) ++failed_syncs;
        if (fails && file) poisoned.insert(*file);
      }
      if (!hit) return Verdict{};
      ++outcome.fired;
      if (outcome.fired < 4) outcome.calls += call.name() + ' ';
      return faults.verdict;
    });
    EXPECT_TRUE(process.child().ended_well()) << "status " << process.child().wait();
    outcome.told = process.child().hear_all();
    EXPECT_THAT(outcome.told, ::testing::Not(::testing::Contains(restored_something_else)));
    EXPECT_TRUE(failed_syncs == 0 || outcome.error_told()) << "what is not durable was called committed";
    return outcome;
  }

  // What is there is whole: the steps that were told, and of the others the newest.
  void check(const Outcome& outcome) const {
    std::set<std::int64_t> expected(plan.before.begin(), plan.before.end());
    std::copy_if(outcome.told.begin(), outcome.told.end(), std::inserter(expected, expected.end()),
                 [](std::int64_t number) { return number > 0; });
    auto options = plan.options();
    options.read_only = true;
    auto manager = open_manager(options, directory_);
    const auto listed = manager.all_steps().value();
    for (const std::int64_t step : listed) {
      EXPECT_HOLDS(manager, step, tree_of(step));
      EXPECT_TRUE(manager.open_step(step)->verify().value().empty());
    }
    expected.insert(listed.begin(), listed.end());  // also what was published, but not known to be durable
    while (expected.size() > 2) expected.erase(expected.begin());
    EXPECT_THAT(listed, IsSupersetOf(expected));
    if (!outcome.error_told()) {
      EXPECT_THAT(listed, ElementsAre(4, 5)) << "nobody was told";
    }
    expect_next_goes_on(plan, directory_);
  }

  // Digests of what is the same each time: the order of compressed chunks depends on which is coded first.
  std::vector<std::string> data() const {
    std::vector<std::string> digests;
    for (const char* const name : {"4/state/data-0.safetensors", "4/state/chunks-0.bin"}) {
      std::ifstream file(directory_ + '/' + name, std::ios::binary);
      const std::string bytes(std::istreambuf_iterator<char>(file), {});
      digests.push_back(std::to_string(bytes.size()) + ' ' + Digest::of(bytes).hex());
    }
    return digests;
  }

 private:
  const TempDir there_{parent_in_memory()};
  const std::string initial_ = there_.string() + "/initial";
  const std::string directory_ = there_.string() + "/trial";
};

TEST_F(SystemFault, OfEveryCallIsToldOrMakesNoDifference) {
  std::minstd_rand random(static_cast<std::uint32_t>(seed()));
  std::size_t count = 0;
  for (const int system_errno : {EIO, ENOSPC, EDQUOT, EACCES}) {
    enum { once, forever, twice, forms };
    for (int form = once; form < forms; ++form) {
      bool fired = true;
      const auto stride = trials<std::size_t>(fault_stride_in_short, 1);
      for (std::size_t n = random() % stride; fired; n += stride, ++count) {
        Faults faults{{n}, form == forever, {Verdict::Kind::fail, system_errno}};
        if (form == twice) faults.at.push_back(n + 1 + random() % 60);
        SCOPED_TRACE(std::string(strerrorname_np(system_errno)) + " of call " + std::to_string(n) +
                     (form == once      ? ""
                      : form == forever ? " and ever after"
                                        : " and another"));
        const Outcome outcome = live_with(faults);
        SCOPED_TRACE(outcome.calls);
        check(outcome);
        fired = outcome.fired > 0;
        if (HasFailure()) return;
      }
    }
  }
  report_trials("processes with system calls failing", count);
}

TEST_F(SystemFault, AnInterruptedOrPartialCallMakesNoDifference) {
  live_with({.at = {1'000'000}});
  const std::vector<std::string> undisturbed = data();
  std::size_t count = 0;
  for (const Verdict verdict : {Verdict{Verdict::Kind::fail, EINTR}, Verdict{Verdict::Kind::partly}}) {
    for (const std::size_t times : {1, 3}) {
      bool fired = true;
      const auto stride = trials<std::size_t>(
          verdict.kind == Verdict::Kind::partly ? fault_stride_in_short / 9 : fault_stride_in_short, 1);
      for (std::size_t n = count % stride; fired; n += stride, ++count) {
        Faults faults{.verdict = verdict};
        for (std::size_t i = 0; i < times; ++i) faults.at.push_back(n + i);  // the call is repeated at once
        SCOPED_TRACE("call " + std::to_string(n) + ", " + std::to_string(times) + " times");
        const Outcome outcome = live_with(faults);
        SCOPED_TRACE(outcome.calls);
        EXPECT_THAT(outcome.told, ElementsAre(4, 5));
        EXPECT_EQ(data(), undisturbed);
        check(outcome);
        fired = outcome.fired > 0;
        if (HasFailure()) return;
      }
    }
  }
  report_trials("processes with system calls interrupted or partial", count);
}

// The harness notices errors that nobody is told of, and files that are synced until it seems to work.
TEST_F(SystemFault, WhatIsWrongIsNoticed) {
  const FaultyLiving silent = [](const std::string& directory, const ChildProcess::Tell& tell) {
    live_through_errors(directory, [&](std::int64_t number) {
      if (number > 0) tell(number);
    });
  };
  EXPECT_TRUE(fails([&] { check(live_with({{40}, true, {Verdict::Kind::fail, ENOSPC}}, silent)); }));
  const FaultyLiving stubborn = [](const std::string& directory, const ChildProcess::Tell&) {
    const UniqueFd file(::open((directory + "/file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    while (::fsync(file.get()) != 0) {
    }
  };
  EXPECT_TRUE(fails([&] { live_with({{1}, false, {Verdict::Kind::fail, EIO}}, stubborn); }));
}

}  // namespace
}  // namespace milepost::testing
