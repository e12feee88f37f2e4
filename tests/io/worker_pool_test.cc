#include "milepost/io/worker_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <future>
#include <vector>

namespace milepost {
namespace {

TEST(WorkerPool, RunsEverythingBeforeItJoins) {
  std::atomic<int> count{0};
  {
    WorkerPool pool(3, 5);
    for (int i = 0; i < 1000; ++i) pool.post([&] { ++count; });
  }
  EXPECT_EQ(count, 1000);
}

TEST(WorkerPool, WakingPreemptsNobodyUnlessItIsToBePrompt) {
  WorkerPool pool(2, 0);
  std::promise<std::vector<int>> policies;
  pool.post([&] {
    std::vector<int> seen = {::sched_getscheduler(0)};
    {
      const PromptWaking prompt;
      seen.push_back(::sched_getscheduler(0));
    }
    seen.push_back(::sched_getscheduler(0));
    policies.set_value(seen);
  });
  EXPECT_EQ(policies.get_future().get(), std::vector<int>({SCHED_BATCH, SCHED_OTHER, SCHED_BATCH}));
}

TEST(WorkerPool, ParallelForRunsEachIndexOnceAndTheCallerHelps) {
  WorkerPool pool(1, 0);
  // With its only worker held up, the loop still finishes: the caller does the work.
  std::promise<void> release;
  pool.post([held = release.get_future().share()] { held.wait(); });
  std::vector<int> hits(1000, 0);
  pool.parallel_for(hits.size(), [&](std::size_t i) { ++hits[i]; });
  EXPECT_EQ(hits, std::vector<int>(1000, 1));
  release.set_value();
  pool.parallel_for(hits.size(), [&](std::size_t i) { ++hits[i]; });
  EXPECT_EQ(hits, std::vector<int>(1000, 2));
  pool.parallel_for(0, [&](std::size_t) { FAIL(); });
}

}  // namespace
}  // namespace milepost
