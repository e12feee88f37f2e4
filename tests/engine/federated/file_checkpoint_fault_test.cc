// Simulation checkpoints when operations fail, and when the process dies: at every point of their life.
#include "milepost/engine/federated/file_checkpoint_manager.h"
#include "tests/engine/federated/program_states.h"
#include "tests/engine/small_steps.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <gmock/gmock.h>

#include <atomic>
#include <optional>
#include <thread>

namespace milepost::testing {
namespace {

using ::testing::IsEmpty;

FileCheckpointManager open_rounds(std::shared_ptr<Store> store) {
  FileCheckpointManagerOptions options;
  options.keep_total = 2;
  options.staging_bytes = staging_bytes_min;
  options.worker_threads = 2;
  options.store = std::move(store);
  return FileCheckpointManager("simulated", options);
}

// Whether it failed on purpose, after which nothing fails any more.
template <class T> bool failed(FaultStore& faults, const Result<T>& result) {
  const bool fired = faults.faults_fired() > 0;
  faults.heal();
  EXPECT_TRUE(fired || result.has_value()) << error_of(result);
  if (result.has_error()) {
    EXPECT_EQ(result.error().code(), ErrorCode::io) << error_of(result);
  }
  return result.has_error();
}

class FaultOfRounds : public ::testing::TestWithParam<bool> {
 protected:
  // Calls `check` with the Nth operation of a manager that opens itself failing, until there are no more.
  template <class Check> void for_each_operation(const std::vector<std::int64_t>& rounds, const Check& check) {
    for (std::uint64_t n = 0;; ++n) {
      SCOPED_TRACE("operation " + std::to_string(n));
      const auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
      for (const std::int64_t round : rounds) EXPECT_OK(open_rounds(faults).save_checkpoint(state_of(round), round));
      faults->inject({.after = n, .forever = GetParam()});
      auto manager = open_rounds(faults);
      check(manager, *faults);
      EXPECT_THAT(faults->violations(), IsEmpty());
      if (faults->faults_fired() > 0 && !HasFailure()) continue;
      EXPECT_GT(n, 3u);
      return;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(FromThenOn, FaultOfRounds, ::testing::Bool());

TEST_P(FaultOfRounds, OfSaving) {
  for_each_operation({1, 2}, [](FileCheckpointManager& manager, FaultStore& faults) {
    const auto saved = manager.save_checkpoint(state_of(3), 3);
    const bool is_committed = error_of(saved).find("is committed") != std::string::npos;
    const bool any = failed(faults, saved);
    const auto latest = manager.load_latest_checkpoint(structure());
    ASSERT_TRUE(latest.has_value() && latest->has_value()) << error_of(latest);
    EXPECT_EQ(difference_to_state((*latest)->state, (*latest)->round), "");
    EXPECT_TRUE((*latest)->round == 3 || (any && !is_committed && (*latest)->round == 2));
    EXPECT_OK(manager.save_checkpoint(state_of(4), 4));
    EXPECT_EQ(difference_to_state(manager.load_checkpoint(structure(), 4), 4), "");
    EXPECT_EQ(difference_to_state(manager.load_checkpoint(structure(), 1), 1), "") << "the first stays";
  });
}

TEST_P(FaultOfRounds, OfLoading) {
  for_each_operation({1, 2}, [](FileCheckpointManager& manager, FaultStore& faults) {
    const auto loaded = manager.load_checkpoint(structure(), 1);
    if (!failed(faults, loaded)) {
      EXPECT_EQ(difference_to_state(loaded, 1), "");
    }
    EXPECT_EQ(difference_to_state(manager.load_checkpoint(structure(), 1), 1), "");
  });
}

// Never "there is none", after which a simulation would begin again.
TEST_P(FaultOfRounds, OfLoadingTheLatestOrTheDefault) {
  for_each_operation({1, 2}, [](FileCheckpointManager& manager, FaultStore& faults) {
    const auto latest = manager.load_latest_checkpoint_or_default(state_of(9));
    if (!failed(faults, latest)) {
      EXPECT_EQ(latest->round, 2);
    }
    EXPECT_EQ(manager.load_latest_checkpoint_or_default(state_of(9))->round, 2);
  });
  for_each_operation({}, [](FileCheckpointManager& manager, FaultStore& faults) {
    failed(faults, manager.load_latest_checkpoint_or_default(state_of(9)));
    const auto latest = manager.load_latest_checkpoint_or_default(state_of(8));
    ASSERT_TRUE(latest.has_value()) << error_of(latest);
    EXPECT_EQ(latest->round, 0);
    const bool first = difference_to_state(latest->state, 9).empty();
    EXPECT_EQ(difference_to_state(manager.load_checkpoint(structure(), 0), first ? 9 : 8), "");
  });
}

// --- Death.

// Goes on where it was, or from the default, to round 4; the last round that it knows to be there.
std::optional<std::int64_t> live(const std::shared_ptr<Store>& store) {
  auto manager = open_rounds(store);
  const auto latest = manager.load_latest_checkpoint_or_default(state_of(0));
  if (latest.has_error()) return std::nullopt;
  std::int64_t last = latest->round;
  while (last < 4 && manager.save_checkpoint(state_of(last + 1), last + 1).has_value()) ++last;
  return last;
}

TEST(RoundsCrash, AtEveryPoint) {
  for (std::uint64_t n = 0;; n += stride_under_sanitizer(7)) {
    const auto store = std::make_shared<SimulatedStore>();
    store->crash_after(n);
    const std::optional<std::int64_t> last = live(store);
    SCOPED_TRACE("after " + std::to_string(n) + " operations, at round " + std::to_string(last.value_or(-1)));
    for (const bool power_cut : {true, false}) {
      const std::shared_ptr<SimulatedStore> disk = power_cut ? store->crash(n) : store->after_process_death();
      {
        auto reader = open_rounds(disk);
        const auto latest = reader.load_latest_checkpoint(structure());
        ASSERT_TRUE(latest.has_value()) << error_of(latest);
        const std::int64_t round = *latest ? (*latest)->round : -1;
        EXPECT_TRUE(round == last.value_or(-1) || round == last.value_or(-1) + 1) << round;
        if (*latest) {
          EXPECT_EQ(difference_to_state((*latest)->state, round), "");
        }
      }
      EXPECT_EQ(live(disk), 4);
      EXPECT_OK(open_rounds(disk).save_checkpoint(state_of(5), 5));
      EXPECT_THAT(names_in(*disk), ::testing::ElementsAre("ckpt_0", "ckpt_5", "milepost.json"));
    }
    if (::testing::Test::HasFailure() || store->operations() < n) break;
  }
}

// --- Threads.

TEST(RoundsConcurrency, AllGetTheDefaultOfOne) {
  const auto store = std::make_shared<SimulatedStore>();
  auto one = open_rounds(store);
  auto other = open_rounds(store);
  constexpr std::size_t count = 6;
  std::vector<std::optional<Result<SimulationCheckpoint>>> found(count);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < count; ++i) {
      threads.emplace_back([&, i] {
        auto& manager = i % 2 == 0 ? one : other;
        found[i] = manager.load_latest_checkpoint_or_default(state_of(static_cast<std::int64_t>(i)));
      });
    }
  }
  const auto saved = one.load_checkpoint(structure(), 0);
  const Tree expected = materialize(saved.value().get_if<ProgramValue::Map>()->at("model")).value();
  for (const auto& latest : found) {
    ASSERT_TRUE(latest->has_value()) << error_of(*latest);
    EXPECT_EQ((*latest)->round, 0);
    const Tree model = materialize((*latest)->state.get_if<ProgramValue::Map>()->at("model")).value();
    EXPECT_EQ(difference(expected, model), "");
  }
}

TEST(RoundsConcurrency, SaversAndLoadersAtOnce) {
  auto manager = open_rounds(std::make_shared<SimulatedStore>());
  EXPECT_OK(manager.save_checkpoint(state_of(0), 0));
  std::atomic<bool> done = false;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      std::int64_t seen = 0;
      do {
        const auto latest = manager.load_latest_checkpoint(structure());
        ASSERT_TRUE(latest.has_value() && latest->has_value()) << error_of(latest);
        EXPECT_GE((*latest)->round, seen);
        seen = (*latest)->round;
        EXPECT_EQ(difference_to_state((*latest)->state, seen), "");
      } while (!done);
    });
  }
  for (std::int64_t round = 1; round <= 8; ++round) EXPECT_OK(manager.save_checkpoint(state_of(round), round));
  done = true;
}

}  // namespace
}  // namespace milepost::testing
