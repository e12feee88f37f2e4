// Every operation of the store fails, once or from then on, or the process dies there: what was acknowledged is there,
// nothing torn is ever listed, errors are told, and the manager goes on.
#include "tests/engine/federated/program_states.h"
#include "tests/engine/small_steps.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

namespace milepost::testing {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;

FileProgramStateManagerOptions two_versions(std::shared_ptr<Store> store) {
  auto options = small_states(std::move(store));
  options.keep_total = 2;
  return options;
}

bool says_committed(const Result<void>& saved) {
  return saved.has_error() && saved.error().to_string().find("is committed") != std::string::npos;
}

class FaultOfEveryOperation : public ::testing::TestWithParam<bool> {
 protected:
  // Calls `check` with the Nth operation failing, for every N until none is left.
  template <class Check> void for_each_operation(const Check& check) {
    for (std::uint64_t n = 0;; ++n) {
      SCOPED_TRACE("operation " + std::to_string(n));
      const auto faults = store_ = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
      auto states = open_states(two_versions(faults));
      save_versions(states, {1, 2, 3});
      EXPECT_OK(faults->make_directory("program_state_x"));
      const auto inject = [&] { faults->inject({.after = n, .forever = GetParam()}); };
      const auto fired = [&] {
        const bool any = faults->faults_fired() > 0;
        faults->heal();
        return any;
      };
      const bool any = check(states, inject, fired);
      EXPECT_THAT(faults->violations(), IsEmpty());
      EXPECT_THAT(names_in(*faults), Contains("program_state_x"));
      if (any) continue;
      EXPECT_GT(n, 0u);
      return;
    }
  }

  std::shared_ptr<FaultStore> store_;
};

TEST_P(FaultOfEveryOperation, OfOpening) {
  for_each_operation([this](FileProgramStateManager&, const auto& inject, const auto& fired) {
    inject();
    const auto opened = FileProgramStateManager::open("simulated", two_versions(store_));
    const bool any = fired();
    if (opened.has_error()) {
      EXPECT_TRUE(any);
      expect_error(opened, ErrorCode::io, {});
    } else {
      EXPECT_LOADS(*opened, 3);
    }
    auto next = open_states(two_versions(store_));
    EXPECT_THAT(versions_of(next), ::testing::ElementsAre(1, 3));
    save_versions(next, {4});
    EXPECT_LOADS(next, 4);
    return any;
  });
}

TEST_P(FaultOfEveryOperation, OfListing) {
  for_each_operation([](FileProgramStateManager& states, const auto& inject, const auto& fired) {
    inject();
    const auto versions = states.get_versions();
    const bool any = fired();
    EXPECT_EQ(versions.has_error(), any);
    if (any) {
      expect_error(versions, ErrorCode::io, {});
    } else {
      EXPECT_EQ(*versions, (std::vector<std::int64_t>{1, 3}));
    }
    return any;
  });
}

TEST_P(FaultOfEveryOperation, OfLoadingAVersion) {
  for_each_operation([](FileProgramStateManager& states, const auto& inject, const auto& fired) {
    inject();
    const auto loaded = states.load(1, structure());
    const bool any = fired();
    EXPECT_EQ(loaded.has_error(), any);
    if (any) {
      expect_error(loaded, ErrorCode::io, {"step 1"});
    }
    EXPECT_LOADS(states, 1);
    return any;
  });
}

TEST_P(FaultOfEveryOperation, OfSaving) {
  for_each_operation([](FileProgramStateManager& states, const auto& inject, const auto& fired) {
    inject();
    const auto saved = states.save(state_of(4), 4);
    const bool any = fired();
    EXPECT_EQ(saved.has_error(), any) << error_of(saved);
    if (saved.has_error()) {
      expect_error(saved, ErrorCode::io, {"step 4"});
    }
    const auto versions = versions_of(states);
    EXPECT_THAT(versions, Contains(1));
    EXPECT_TRUE(std::ranges::count(versions, 3) + std::ranges::count(versions, 4) >= 1);
    if (saved.has_value() || says_committed(saved)) {
      EXPECT_THAT(versions, Contains(4));
    }
    for (const std::int64_t version : versions) EXPECT_LOADS(states, version);
    save_versions(states, {5});
    EXPECT_THAT(versions_of(states), ::testing::ElementsAre(1, 5));
    EXPECT_LOADS(states, 5);
    return any;
  });
}

TEST_P(FaultOfEveryOperation, OfLoading) {
  for_each_operation([](FileProgramStateManager& states, const auto& inject, const auto& fired) {
    inject();
    const auto latest = states.load_latest(structure());
    const bool any = fired();
    EXPECT_EQ(latest.has_error(), any);
    if (any) {
      expect_error(latest, ErrorCode::io, {});
    } else {
      EXPECT_EQ(latest->version, 3);
      EXPECT_EQ(difference_to_state(*latest->state, 3), "");
    }
    return any;
  });
}

// A version or an error, but never "there is none", after which a job would begin again.
TEST_P(FaultOfEveryOperation, OfLoadingWithFallback) {
  for_each_operation([](FileProgramStateManager& states, const auto& inject, const auto& fired) {
    inject();
    const auto latest = states.load_latest(structure(), {.fallback = true});
    const bool any = fired();
    if (latest.has_error()) {
      expect_error(latest, ErrorCode::io, {});
      EXPECT_TRUE(any);
    } else {
      EXPECT_EQ(difference_to_state(latest->state.value(), latest->version), "");
      EXPECT_EQ(latest->version, latest->skipped.empty() ? 3 : 1);
    }
    return any;
  });
}

TEST_P(FaultOfEveryOperation, OfRemovingAll) {
  for_each_operation([](FileProgramStateManager& states, const auto& inject, const auto& fired) {
    inject();
    const auto removed = states.remove_all();
    const bool any = fired();
    EXPECT_EQ(removed.has_error(), any) << error_of(removed);
    for (const std::int64_t version : versions_of(states)) EXPECT_LOADS(states, version);
    EXPECT_OK(states.remove_all());
    EXPECT_THAT(versions_of(states), IsEmpty());
    save_versions(states, {1});
    EXPECT_LOADS(states, 1);
    return any;
  });
}

// Whether from then on.
INSTANTIATE_TEST_SUITE_P(ProgramState, FaultOfEveryOperation, ::testing::Bool());

// --- Death.

struct Life {
  std::set<std::int64_t> acknowledged;  // saved, and not to be removed since
  bool began_to_remove = false;
  std::int64_t last_tried = 0;
};

// Saves 1 to 4, removes all, saves 5, until the process is dead.
Life live_in_versions(const std::shared_ptr<Store>& store) {
  Life life;
  auto opened = FileProgramStateManager::open("simulated", two_versions(store));
  if (opened.has_error()) return life;
  const auto save = [&](std::int64_t version) {
    life.last_tried = version;
    const auto saved = opened->save(state_of(version), version);
    if (saved.has_error() && !says_committed(saved)) return false;
    life.acknowledged.insert(version);
    return saved.has_value();
  };
  for (const std::int64_t version : {1, 2, 3}) {
    if (version == 3) life.acknowledged.erase(2);  // may go from here on
    if (!save(version)) return life;
  }
  life.acknowledged.clear();
  life.began_to_remove = true;
  if (opened->remove_all().has_error()) return life;
  life.began_to_remove = false;
  save(5);
  return life;
}

void expect_good(const std::shared_ptr<SimulatedStore>& disk, const Life& life) {
  auto states = open_states(two_versions(disk));
  const auto versions = versions_of(states);
  for (const std::int64_t version : life.acknowledged) EXPECT_THAT(versions, Contains(version));
  for (const std::int64_t version : versions) EXPECT_LOADS(states, version);
  if (life.last_tried == 3 && !life.began_to_remove) {
    EXPECT_GE(versions.size(), 2u) << "an old version goes after the new one is there";
  }
  for (const std::string& name : names_in(*disk)) EXPECT_FALSE(name.starts_with(".")) << "not swept: " << name;
  save_versions(states, {9});
  EXPECT_EQ(states.load_latest(structure())->version, 9);
}

TEST(ProgramStateCrash, AtEveryPoint) {
  std::set<std::int64_t> reached;
  for (std::uint64_t n = 0;; ++n) {
    const auto store = std::make_shared<SimulatedStore>();
    store->crash_after(n);
    const Life life = live_in_versions(store);
    reached.insert(life.last_tried);
    SCOPED_TRACE("after " + std::to_string(n) + " operations, at version " + std::to_string(life.last_tried));
    expect_good(std::shared_ptr(store->crash(n)), life);
    if (n % 3 == 0) expect_good(std::shared_ptr(store->after_process_death()), life);
    if (::testing::Test::HasFailure() || store->operations() < n) break;
  }
  EXPECT_EQ(reached, (std::set<std::int64_t>{0, 1, 2, 3, 5}));
}

}  // namespace
}  // namespace milepost::testing
