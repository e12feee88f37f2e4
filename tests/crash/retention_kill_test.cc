// Retention by random policies, killed before each of its renames and unlinks: the newest step and all that the policy
// keeps survive the death and a power cut, and nothing that is half removed is listed. A policy without sense removes
// nothing.
#include "milepost/engine/catalog.h"
#include "milepost/engine/manager/retention.h"
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/small_steps.h"
#include "tests/support/planted_bug.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::ElementsAreArray;
using ::testing::IsSupersetOf;

using Random = std::mt19937_64;

struct Chosen {
  PreservationPolicy policy;
  bool sense = true;  // otherwise it removes nothing
};

Chosen random_policy(Random& random) {
  const auto up_to = [&](std::int64_t most) { return static_cast<std::int64_t>(random() % (most + 1)); };
  switch (random() % 9) {
    case 0: return {LatestN{up_to(4)}};
    case 1: return {EveryNSteps{1 + up_to(4), random() % 2 == 0}};
    case 2: return {CustomSteps{{up_to(9), up_to(9), up_to(9)}}};
    case 3: return {LatestDuration{static_cast<double>(up_to(5))}};
    case 4: return {EveryNSeconds{static_cast<double>(1 + up_to(5))}};
    case 5: return {AnyPreservationPolicy{{random_policy(random).policy, random_policy(random).policy}}};
    case 6: {  // a user's
      const std::uint64_t kept = random();
      return {[=](std::span<const StepInfo> steps) {
        std::vector<PreservationDecision> plan;
        for (const StepInfo& info : steps) plan.push_back({info.step, (kept >> info.step & 1) != 0, "so"});
        return plan;
      }};
    }
    case 7: {
      const PreservationPolicy senseless[] = {
          {},
          AnyPreservationPolicy{},
          LatestN{-1},
          EveryNSteps{0, true},
          EveryNSteps{-3, false},
          EveryNSeconds{std::nan("")},
          LatestDuration{-1},
          LatestDuration{std::nan("")},
          [](auto) -> std::vector<PreservationDecision> { throw std::runtime_error("no"); },
          [](auto) { return std::vector<PreservationDecision>(); },
          [](auto) {
            return std::vector<PreservationDecision>{{1, false, ""}, {1, false, ""}};
          },
          [](auto) {
            return std::vector<PreservationDecision>{{1, false, ""}, {1000, false, ""}};
          }};
      return {senseless[random() % std::size(senseless)], false};
    }
    default: return {PreserveAll{}, false};
  }
}

std::vector<std::int64_t> listed(Store& store) { return list_steps(store, "").value(); }

// A disk on which fsync of a directory does nothing.
class ForgetfulStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<void> sync_directory(const std::string&) override { return {}; }
};

class RetentionKill : public ::testing::Test {
 protected:
  // A disk with some steps, and a policy; then the process dies before every rename and unlink of retention, in turn.
  // Returns how often.
  template <class Between = ForwardingStore> std::size_t kill_everywhere(Random& random) {
    const auto first = std::make_shared<SimulatedStore>();
    std::set<std::int64_t> steps;
    while (steps.size() < 2 + random() % 5) steps.insert(static_cast<std::int64_t>(random() % 10));
    for (const std::int64_t step : steps) {
      commit_step(*first, step, false, (1000 + step + static_cast<std::int64_t>(random() % 3)) * 1'000'000'000).value();
    }
    const Chosen chosen = random_policy(random);
    auto options = small_options();
    options.preservation_policy = chosen.policy;
    if (random() % 4 == 0) options.todelete_subdir = "old";
    std::vector<std::int64_t> kept(steps.begin(), steps.end());
    {
      StepIndex index(first, {});
      EXPECT_OK(index.reload());
      Retention retention(options, *first, index, [](const ManagerEvent&) {});
      std::erase_if(kept, [decisions = retention.plan().value()](std::int64_t step) {
        return std::any_of(decisions.begin(), decisions.end(),
                           [&](const auto& d) { return d.step == step && !d.keep; });
      });
    }
    EXPECT_EQ(kept.empty() ? -1 : kept.back(), *steps.rbegin());
    if (!chosen.sense) {
      EXPECT_EQ(kept.size(), steps.size());
    }

    bool died = true;
    std::size_t deaths = 0;
    for (std::size_t n = 0; died; ++n) {
      SCOPED_TRACE("before removal " + std::to_string(n));
      const std::shared_ptr<SimulatedStore> disk = first->after_process_death();
      const auto store = std::make_shared<HookStore>(std::make_shared<Between>(disk));
      std::size_t next = 0;
      died = false;
      store->before([&](Operation operation, const std::string&) {
        if (operation != Operation::rename && operation != Operation::remove_file &&
            operation != Operation::remove_directory) {
          return;
        }
        if (next++ != n) return;
        disk->crash_after(0);
        died = true;
      });
      {
        StepIndex index(store, {});
        EXPECT_OK(index.reload());
        Retention retention(options, *store, index, [](const ManagerEvent&) {});
        const auto removed = retention.remove_old_steps({.newest = *steps.rbegin()});
        EXPECT_EQ(removed.has_error(), died);
      }
      deaths += died ? 1 : 0;
      expect_survivors(*disk->after_process_death(), kept);
      for (std::uint64_t seed = 0; seed < 2; ++seed) expect_survivors(*disk->crash(random()), kept);
      if (!died) {
        EXPECT_THAT(listed(*disk), ElementsAreArray(kept));
      }
    }
    return deaths;
  }

 private:
  static void expect_survivors(Store& disk, const std::vector<std::int64_t>& kept) {
    EXPECT_THAT(listed(disk), IsSupersetOf(kept));
    for (const std::int64_t step : listed(disk)) EXPECT_OK(attempt_of(disk, std::to_string(step)));
    EXPECT_OK(Collector(disk).sweep());
    EXPECT_THAT(listed(disk), IsSupersetOf(kept));
  }
};

TEST_F(RetentionKill, TheNewestAndWhatIsKeptSurvive) {
  Random random(seed());
  std::size_t deaths = 0;
  const auto policies = trials<std::size_t>(60, 1000);
  for (std::size_t i = 0; i < policies && !HasFailure(); ++i) {
    SCOPED_TRACE("policy " + std::to_string(i));
    deaths += kill_everywhere(random);
  }
  EXPECT_GT(deaths, policies);
  report_trials("random policies of retention", policies);
  report_trials("deaths before a rename or unlink of retention", deaths);
}

TEST_F(RetentionKill, WhatIsWrongIsNoticed) {
  EXPECT_TRUE(fails([&] {
    Random random(seed());
    for (int i = 0; i < 20; ++i) kill_everywhere<ForgetfulStore>(random);
  })) << "renames that are not made durable before files are unlinked";
}

}  // namespace
}  // namespace milepost::testing
