// Everything at once: savers, ten waiters, readers and removers on one manager, while now and then the store fails.
#include "tests/engine/saving.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace milepost::testing {
namespace {

// What may go wrong when the store fails or another thread removes or overwrites: never damage, never nonsense.
void expect_excused(const Error& error) {
  static const std::set<ErrorCode> excused = {ErrorCode::io, ErrorCode::not_found, ErrorCode::unavailable,
                                              ErrorCode::already_exists, ErrorCode::deadline_exceeded};
  EXPECT_TRUE(excused.contains(error.code())) << error.to_string();
}

TEST(Stress, SaversWaitersReadersAndRemovers) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(faults);
  options.max_to_keep = 3;
  options.best_fn = [](const Metrics& metrics) { return metrics.at("loss"); };
  options.keep_latest = 2;
  options.enable_background_delete = true;
  options.deletion_threads = 2;
  std::atomic<std::uint64_t> events = 0;
  options.on_event = [&](const ManagerEvent&) { ++events; };
  std::atomic<std::int64_t> next = 1;
  const auto last = trials<std::int64_t>(80, 2000);
  std::atomic<std::int64_t> acknowledged = 0;
  {
    auto manager = open_manager(options);
    ASSERT_TRUE(manager.save(0, state(0), {.metrics = {{"loss", 0}}}).value());
    const auto running = [&] { return next.load() <= last; };
    const auto save = [&] {
      for (std::int64_t step; (step = next++) <= last;) {
        if (step % 11 == 0)
          faults->inject({.after = static_cast<std::uint64_t>(step % 5),
                          .operations = {Operation::write, Operation::sync, Operation::remove_file}});
        const auto saved = manager.save(step, state(step),
                                        {.metrics = {{"loss", static_cast<double>(step % 7)}},
                                         .force = true,
                                         .overwrite = step % 13 == 0,
                                         .mode = all_modes[static_cast<std::size_t>(step) % std::size(all_modes)]});
        if (saved.has_error()) expect_excused(saved.error());
      }
    };
    const auto wait = [&] {
      do {
        const auto patience = next % 2 == 0 ? std::nullopt : std::optional<std::chrono::nanoseconds>(0);
        const auto finished = manager.wait_until_finished(patience);
        if (finished.has_error()) expect_excused(finished.error());
        if (const auto durable = manager.wait_until(SaveEvent::durable); durable.has_error()) {
          expect_excused(durable.error());
        }
        ++acknowledged;
      } while (running());
    };
    const auto read = [&] {
      do {
        for (const std::int64_t step : manager.all_steps(true).value()) {
          auto restored = manager.restore(step);
          if (restored.has_error()) {
            expect_excused(restored.error());
          } else {
            EXPECT_EQ(difference(small_tree(static_cast<std::uint64_t>(step)), restored->tree()), "");
          }
          if (const auto metadata = manager.metadata(step); metadata.has_error()) expect_excused(metadata.error());
        }
      } while (running());
    };
    const auto remove = [&] {
      do {
        const auto steps = manager.all_steps().value();
        if (steps.size() < 3) continue;
        if (const auto removed = manager.delete_step(steps[1]); removed.has_error()) expect_excused(removed.error());
      } while (running());
    };
    const auto look = [&] {
      do {
        manager.fence();
        if (const auto checked = manager.check_for_errors(); checked.has_error()) expect_excused(checked.error());
        if (const auto best = manager.best_step(); best.has_error()) expect_excused(best.error());
        if (const auto plan = manager.preservation_plan(); plan.has_error()) expect_excused(plan.error());
        if (const auto reloaded = manager.reload(); reloaded.has_error()) expect_excused(reloaded.error());
        (void)manager.should_save(next);
        (void)manager.counters();
        (void)manager.save_progress();
        (void)manager.last_save();
        std::this_thread::yield();
      } while (running());
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back(save);
    for (int i = 0; i < 10; ++i) threads.emplace_back(wait);
    for (int i = 0; i < 2; ++i) threads.emplace_back(read);
    threads.emplace_back(remove);
    threads.emplace_back(look);
    for (std::thread& thread : threads) thread.join();
    if (const auto closed = manager.close(); closed.has_error()) expect_excused(closed.error());
    const SaveCounters counters = manager.counters();
    EXPECT_EQ(counters.started, counters.committed + counters.failed);
    EXPECT_GE(events.load(), counters.started + counters.committed + counters.failed + counters.removed);
    EXPECT_GT(counters.committed, 10u);
    EXPECT_GT(acknowledged.load(), 0);
  }
  // Nothing is left of what failed or was removed, and all that is left is whole.
  auto manager = open_manager(options);
  const auto steps = manager.all_steps().value();
  EXPECT_FALSE(steps.empty());
  for (const std::int64_t step : steps) {
    EXPECT_HOLDS(manager, step, small_tree(static_cast<std::uint64_t>(step)));
    EXPECT_TRUE(manager.open_step(step)->verify().value().empty());
  }
  EXPECT_EQ(faults->list_directory("").value().size(), steps.size() + 1);
  report_trials("saves by three threads among waiters, readers and removers", static_cast<std::size_t>(last));
}

}  // namespace
}  // namespace milepost::testing
