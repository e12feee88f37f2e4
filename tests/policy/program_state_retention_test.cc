// Which versions survive, beside a model that follows TensorFlow Federated's own steps, one by one.
#include "milepost/policy/program_state_retention.h"

#include "tests/policy/steps.h"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

namespace milepost {
namespace {

using Versions = std::vector<std::int64_t>;

Versions up_to(std::int64_t last) {
  Versions versions;
  for (std::int64_t version = 0; version <= last; ++version) versions.push_back(version);
  return versions;
}

TEST(ProgramStateRetention, KeepsTheFirstAndTheLatest) {
  EXPECT_EQ(kept(ProgramStateRetention{}, steps_of(up_to(9))), (Versions{0, 6, 7, 8, 9}));
  EXPECT_EQ(kept(ProgramStateRetention{3, false, 1}, steps_of(up_to(9))), (Versions{7, 8, 9}));
  EXPECT_EQ(kept(ProgramStateRetention{5, true, 1}, steps_of({7, 9})), (Versions{7, 9}));
  EXPECT_EQ(kept(ProgramStateRetention{}, {}), Versions{});
}

TEST(ProgramStateRetention, KeepsMultiplesAndTheNewest) {
  EXPECT_EQ(kept(ProgramStateRetention{0, false, 4}, steps_of(up_to(9))), (Versions{0, 4, 8, 9}));
  EXPECT_EQ(kept(ProgramStateRetention{0, true, 4}, steps_of({1, 2, 4, 5})), (Versions{1, 4, 5}));
  EXPECT_EQ(kept(ProgramStateRetention{2, false, 4}, steps_of(up_to(9))), (Versions{8, 9}));
  EXPECT_EQ(kept(ProgramStateRetention{2, true, 4}, steps_of(up_to(9))), (Versions{0, 9}));
}

TEST(ProgramStateRetention, KeepsAllWithoutABound) {
  EXPECT_EQ(kept(ProgramStateRetention{0, true, 1}, steps_of(up_to(9))), up_to(9));
  EXPECT_EQ(kept(ProgramStateRetention{-3, false, 1}, steps_of(up_to(9))), up_to(9));
}

// Where the original keeps the first alone and deletes what it has just saved.
TEST(ProgramStateRetention, NeverRemovesTheNewest) {
  EXPECT_EQ(kept(ProgramStateRetention{1, true, 1}, steps_of(up_to(3))), (Versions{0, 3}));
  EXPECT_EQ(kept(ProgramStateRetention{1, false, 1}, steps_of(up_to(3))), (Versions{3}));
  for (const ProgramStateRetention& policy : {ProgramStateRetention{1, true, 1}, ProgramStateRetention{1, false, 3}}) {
    EXPECT_TRUE(policy(steps_of(up_to(3))).back().keep) << "by its own rule, without help";
  }
}

TEST(ProgramStateRetention, RemovesNothingWhenToldNonsense) {
  EXPECT_EQ(kept(ProgramStateRetention{2, true, 0}, steps_of(up_to(9))), up_to(9));
  EXPECT_EQ(kept(ProgramStateRetention{2, true, -2}, steps_of(up_to(9))), up_to(9));
}

TEST(ProgramStateRetention, SaysWhy) {
  EXPECT_EQ(
      reasons(ProgramStateRetention{3, true, 2}, steps_of({1, 2, 3, 4, 6, 7})),
      (std::vector<std::string>{"the first", "older than the latest 3, the first among them", "not a multiple of 2",
                                "older than the latest 3, the first among them", "a multiple of 2", "the newest"}));
}

// What is on disk after the original's prune, and the newest version.
Versions model(const Versions& on_disk, std::int64_t keep_total, bool keep_first, std::int64_t keep_every_k) {
  if (on_disk.empty() || (keep_total <= 0 && keep_every_k == 1)) return on_disk;
  Versions candidates;
  for (std::size_t i = 0; i < on_disk.size(); ++i) {
    if (on_disk[i] % keep_every_k == 0 || i == on_disk.size() - 1 || (keep_first && i == 0)) {
      candidates.push_back(on_disk[i]);
    }
  }
  if (keep_total > 0 && static_cast<std::int64_t>(candidates.size()) > keep_total) {
    Versions chosen;
    if (keep_first) chosen.push_back(candidates.front());
    const auto newest = keep_total - static_cast<std::int64_t>(chosen.size());
    chosen.insert(chosen.end(), candidates.end() - newest, candidates.end());
    candidates = chosen;
  }
  if (candidates.back() != on_disk.back()) candidates.push_back(on_disk.back());
  return candidates;
}

struct Rule {
  ProgramStateRetention policy;

  static Rule any() {
    return {
        {*rc::gen::inRange<std::int64_t>(-1, 7), *rc::gen::arbitrary<bool>(), *rc::gen::inRange<std::int64_t>(1, 5)}};
  }
  Versions model_of(const Versions& on_disk) const {
    return model(on_disk, policy.keep_total, policy.keep_first, policy.keep_every_k);
  }
};

Versions any_versions() {
  const auto set = *rc::gen::container<std::set<std::int64_t>>(rc::gen::inRange<std::int64_t>(0, 40));
  return {set.begin(), set.end()};
}

RC_GTEST_PROP(ProgramStateRetentionProperty, KeepsWhatTheModelKeeps, ()) {
  const Rule rule = Rule::any();
  const Versions versions = any_versions();
  RC_ASSERT(kept(rule.policy, steps_of(versions)) == rule.model_of(versions));
}

// Version by version, in ascending order: a plan carried out after every save, or only at times, ends the same.
RC_GTEST_PROP(ProgramStateRetentionProperty, DoesNotDependOnWhenItIsCarriedOut, ()) {
  const Rule rule = Rule::any();
  const Versions versions = any_versions();
  Versions on_disk;
  for (const std::int64_t version : versions) {
    on_disk.push_back(version);
    if (*rc::gen::inRange(0, 3) > 0) on_disk = kept(rule.policy, steps_of(on_disk));
  }
  RC_ASSERT(kept(rule.policy, steps_of(on_disk)) == rule.model_of(versions));
}

RC_GTEST_PROP(ProgramStateRetentionProperty, KeepsNoMoreThanAskedFor, ()) {
  const Rule rule = Rule::any();
  const auto survivors = kept(rule.policy, steps_of(any_versions()));
  if (rule.policy.keep_total <= 0) return;
  // One more at most: the newest, where there is only room for the first.
  const auto bound = std::max<std::int64_t>(rule.policy.keep_total, rule.policy.keep_first ? 2 : 1);
  RC_ASSERT(static_cast<std::int64_t>(survivors.size()) <= bound);
}

}  // namespace
}  // namespace milepost
