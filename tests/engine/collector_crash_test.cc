// The power fails, the process dies, or an operation does, at every point of a deletion, of an overwrite and
// of a sweep: what is listed is whole, what was to stay is there, and the next process cleans up.
#include "milepost/engine/catalog.h"
#include "milepost/engine/collector.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/small_steps.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

std::vector<std::int64_t> listed(Store& store) { return list_steps(store, "").value(); }

void expect_listed_are_whole(Store& store) {
  for (const std::int64_t step : listed(store)) EXPECT_OK(attempt_of(store, std::to_string(step)));
}

void expect_swept(Store& store) {
  EXPECT_OK(Collector(store).sweep());
  for (const std::string& name : names_in(store)) EXPECT_FALSE(name.starts_with('.')) << name;
}

// What the next process may find, and the attempt of step 2 that there was.
using Check = std::function<void(Store&, const std::string& old)>;

// Runs `live` on a disk with steps 1, 2 and 3 until it dies at the Nth operation, and checks; then lets the
// next process die at every point of its sweep, too.
void crash_everywhere(const std::function<void(Store&)>& live, const Check& check_with_old) {
  std::string old;
  const auto check = [&](Store& disk) { check_with_old(disk, old); };
  const auto check_all = [&](const SimulatedStore& store, std::uint64_t salt) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      const auto disk = store.crash(salt * 16 + seed);
      check(*disk);
      expect_swept(*disk);
      check(*disk);
    }
  };
  bool died = true;
  for (std::uint64_t n = 0; died; ++n) {
    SCOPED_TRACE("after " + std::to_string(n) + " operations");
    SimulatedStore store;
    for (const std::int64_t step : {1, 2, 3}) ASSERT_TRUE(commit_step(store, step).has_value());
    old = attempt_of(store, "2").value();
    const std::uint64_t before = store.operations();
    store.crash_after(n);
    live(store);
    died = store.operations() - before > n;
    check_all(store, n);
    bool sweeper_died = true;
    for (std::uint64_t m = 0; sweeper_died; ++m) {
      SCOPED_TRACE("then after " + std::to_string(m) + " of the sweep");
      const auto next = store.after_process_death();
      next->crash_after(m);
      (void)Collector(*next).sweep().has_value();
      sweeper_died = next->operations() > m;
      check_all(*next, n * 64 + m);
      check(*next->after_process_death());
    }
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(CollectorCrash, OfADeletion) {
  std::set<std::size_t> seen;
  crash_everywhere(
      [](Store& store) {
        (void)Collector(store).collect({{1, "1"}, {2, "2"}});
      },
      [&](Store& disk, const std::string&) {
        expect_listed_are_whole(disk);
        EXPECT_THAT(listed(disk), Contains(3));
        seen.insert(listed(disk).size());
      });
  EXPECT_EQ(seen, (std::set<std::size_t>{1, 2, 3}));
}

TEST(CollectorCrash, OfAMoveToWhereStepsStay) {
  std::set<std::size_t> seen;
  crash_everywhere(
      [](Store& store) {
        (void)Collector(store, {.todelete_subdir = "old"}).collect({{1, "1"}, {2, "2"}});
      },
      [&](Store& disk, const std::string&) {
        expect_listed_are_whole(disk);
        std::set<std::string> all;
        for (const std::int64_t step : listed(disk)) all.insert(std::to_string(step));
        seen.insert(all.size());
        if (disk.stat("old").has_value()) {
          for (const std::string& name : names_in(disk, "old")) {
            EXPECT_OK(attempt_of(disk, "old/" + name));
            EXPECT_TRUE(all.insert(name).second) << name << " is there twice";
          }
        }
        EXPECT_EQ(all, (std::set<std::string>{"1", "2", "3"}));
      });
  EXPECT_EQ(seen, (std::set<std::size_t>{1, 2, 3}));
}

TEST(CollectorCrash, OfAnOverwrite) {
  std::set<std::string> seen;
  bool acknowledged = false;
  crash_everywhere(
      [&](Store& store) {
        acknowledged = commit_step(store, 2, true).has_value();
        (void)Collector(store).empty_trash().has_value();
      },
      [&](Store& disk, const std::string& old) {
        EXPECT_EQ(listed(disk), (std::vector<std::int64_t>{1, 2, 3}));
        expect_listed_are_whole(disk);
        const auto attempt = attempt_of(disk, "2");
        const bool is_old = attempt.has_value() && *attempt == old;
        EXPECT_FALSE(is_old && acknowledged);
        seen.insert(is_old ? "old" : "new");
      });
  EXPECT_EQ(seen, (std::set<std::string>{"new", "old"}));
}

struct CollectorVariant {
  bool forever;
  bool takes_effect;
};

class CollectorFault : public ::testing::TestWithParam<CollectorVariant> {
 protected:
  // Runs `live` with the Nth operation failing, for every N; it returns the error it was told. Steps that
  // must be there whatever happens are there, whole, also if the power fails just then.
  void fail_everywhere(const std::function<std::optional<Error>(Store&)>& live,
                       const std::vector<std::int64_t>& staying, const std::function<void(Store&)>& check) {
    bool fired = true;
    for (std::uint64_t n = 0; fired; ++n) {
      SCOPED_TRACE("operation " + std::to_string(n));
      const auto disk = std::make_shared<SimulatedStore>();
      FaultStore store(disk);
      for (const std::int64_t step : {1, 2, 3}) ASSERT_TRUE(commit_step(store, step).has_value());
      store.inject({.after = n, .forever = GetParam().forever, .takes_effect = GetParam().takes_effect});
      const auto error = live(store);
      fired = store.faults_fired() > 0;
      store.heal();
      if (fired) {
        SCOPED_TRACE(error ? error->to_string() : "nobody was told");
        ASSERT_TRUE(error);
        EXPECT_EQ(error->system_errno(), EIO);
      } else {
        ASSERT_FALSE(error) << error->to_string();
      }
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const auto cut = disk->crash(n * 4 + seed);
        expect_listed_are_whole(*cut);
        EXPECT_THAT(listed(*cut), IsSupersetOf(staying));
      }
      check(store);
      expect_swept(store);
      expect_listed_are_whole(store);
      EXPECT_THAT(listed(store), IsSupersetOf(staying));
      EXPECT_THAT(store.violations(), IsEmpty());
    }
  }
};

TEST_P(CollectorFault, OfADeletionIsToldAndMendedByTheNext) {
  for (const bool background : {false, true}) {
    std::optional<Collector> collector;
    fail_everywhere(
        [&](Store& store) -> std::optional<Error> {
          collector.emplace(store, CollectorOptions{.background = background});
          const Collected collected = collector->collect({{1, "1"}, {2, "2"}});
          const auto waited = collector->wait();
          if (collected.error) return collected.error;
          return waited.has_error() ? std::optional(waited.error()) : std::nullopt;
        },
        {3},
        [&](Store& store) {
          const Collected again = collector->retry();
          EXPECT_FALSE(again.error);
          EXPECT_OK(collector->wait());
          collector.reset();
          EXPECT_EQ(listed(store), std::vector<std::int64_t>{3});
        });
  }
}

TEST_P(CollectorFault, OfAnOverwriteLeavesTheOldOrTheNew) {
  fail_everywhere(
      [](Store& store) -> std::optional<Error> {
        const auto committed = commit_step(store, 2, true);
        const auto emptied = Collector(store).empty_trash();
        if (committed.has_error()) return committed.error();
        return emptied.has_error() ? std::optional(emptied.error()) : std::nullopt;
      },
      {1, 2, 3},
      [](Store& store) {
        EXPECT_EQ(listed(store), (std::vector<std::int64_t>{1, 2, 3}));
        const auto before = attempt_of(store, "2");
        EXPECT_OK(before);
        EXPECT_OK(commit_step(store, 2, true));
        EXPECT_NE(attempt_of(store, "2").value(), before.value());
      });
}

INSTANTIATE_TEST_SUITE_P(Collector, CollectorFault,
                         ::testing::Values(CollectorVariant{false, false}, CollectorVariant{true, false},
                                           CollectorVariant{false, true}));

}  // namespace
}  // namespace milepost::testing
