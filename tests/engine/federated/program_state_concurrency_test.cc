// Savers, loaders and futures on one manager at the same time.
#include "tests/engine/federated/program_states.h"
#include "tests/engine/saving.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>

#include <atomic>
#include <latch>
#include <thread>

namespace milepost::testing {
namespace {

using ::testing::ElementsAre;

TEST(ProgramStateConcurrency, SaversAndLoadersAtOnce) {
  auto options = small_states(std::make_shared<SimulatedStore>());
  options.keep_total = 3;
  auto states = open_states(options);
  save_versions(states, {0});
  constexpr std::int64_t last = 24;
  std::atomic<std::int64_t> next = 1;
  const auto save = [&] {
    for (std::int64_t version; (version = next++) <= last;) EXPECT_OK(states.save(state_of(version), version));
  };
  const auto load = [&] {
    do {
      const auto latest = states.load_latest(structure());
      ASSERT_TRUE(latest.has_value()) << error_of(latest);
      ASSERT_TRUE(latest->state.has_value());
      EXPECT_EQ(difference_to_state(*latest->state, latest->version), "");
    } while (next <= last);
  };
  const auto list = [&] {
    do {
      const auto versions = versions_of(states);
      ASSERT_FALSE(versions.empty());
      const auto loaded = states.load(versions.back(), structure());
      // It may have been removed in between, which is no damage.
      if (loaded.has_error()) {
        EXPECT_EQ(loaded.error().code(), ErrorCode::not_found) << error_of(loaded);
      } else {
        EXPECT_EQ(difference_to_state(*loaded, versions.back()), "");
      }
    } while (next <= last);
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back(save);
    threads.emplace_back(load);
    threads.emplace_back(list);
  }
  const auto versions = versions_of(states);
  EXPECT_EQ(versions.front(), 0);
  EXPECT_THAT(versions, ::testing::Contains(last));
  // The last of the threads' saves need not have been that of the last version.
  save_versions(states, {last + 1});
  EXPECT_THAT(versions_of(states), ElementsAre(0, last, last + 1));
}

TEST(ProgramStateConcurrency, OneOfManySavesOfAVersionWins) {
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  std::vector<std::future<Result<void>>> saves;
  for (int i = 0; i < 6; ++i) saves.push_back(states.save_async(state_of(1), 1));
  int won = 0;
  for (auto& save : saves) {
    const auto saved = save.get();
    won += saved.has_value() ? 1 : 0;
    if (saved.has_error()) {
      expect_error(saved, ErrorCode::already_exists, {"step 1"});
    }
  }
  EXPECT_EQ(won, 1);
  EXPECT_LOADS(states, 1);
}

// A state that is made of what another call loads; and of what is saved only after it was given away.
TEST(ProgramStateConcurrency, CallsMayWaitForEachOther) {
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  std::promise<std::int64_t> round;
  ProgramValue waiting;
  waiting["round"] = make_value_reference(round.get_future());
  auto second = states.save_async(waiting, 2);
  auto first = states.save_async(state_of(1), 1);
  EXPECT_OK(first.get());
  auto loaded = states.load_async(1, structure());
  EXPECT_EQ(difference_to_state(loaded.get(), 1), "");
  EXPECT_THAT(states.get_versions_async().get().value().value(), ElementsAre(1));
  round.set_value(7);
  EXPECT_OK(second.get());
  EXPECT_EQ(states.load_latest_async(waiting).get()->version, 2);
  EXPECT_OK(states.remove_all_async().get());
  EXPECT_FALSE(states.get_versions().value().has_value());
}

TEST(ProgramStateConcurrency, TheDestructorWaitsForCallsWhoseFutureNobodyHas) {
  const auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  std::optional states = open_states(small_states(hooks));
  Stop stop(*hooks, Operation::rename, "program_state_3");
  (void)states->save_async(state_of(3), 3);
  FileProgramStateManager moved = std::move(*states);
  states.reset();
  stop.gate.wait_for_arrival();
  EXPECT_FALSE(moved.get_versions().value().has_value()) << "not committed yet";
  {
    const std::jthread opener([&] { stop.gate.open(); });
    const FileProgramStateManager last = std::move(moved);
  }
  EXPECT_LOADS(open_states(small_states(hooks)), 3);
}

// A load of the version in flight waits for it.
TEST(ProgramStateConcurrency, LoadingAVersionInFlightWaitsForIt) {
  const auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto states = open_states(small_states(hooks));
  Stop stop(*hooks, Operation::rename, "program_state_3");
  auto saved = states.save_async(state_of(3), 3);
  stop.gate.wait_for_arrival();
  auto loaded = states.load_async(3, structure());
  stop.gate.open();
  EXPECT_EQ(difference_to_state(loaded.get(), 3), "");
  EXPECT_OK(saved.get());
}

}  // namespace
}  // namespace milepost::testing
