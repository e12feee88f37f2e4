#include "milepost/io/worker_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <functional>
#include <future>
#include <thread>
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

std::vector<int> cores_of_this_thread() {
  cpu_set_t set{};
  sched_getaffinity(0, sizeof set, &set);
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

// A thread that stays on one core, whatever the others may.
void on_core(int core, const std::function<void()>& fn) {
  std::thread([&] {
    cpu_set_t set{};
    CPU_SET(core, &set);
    ASSERT_EQ(sched_setaffinity(0, sizeof set, &set), 0);
    fn();
  }).join();
}

TEST(WorkerPool, ATaskBeginsBesideTheCallerAndThenGoesWhereItLikes) {
  const std::vector<int> all = cores_of_this_thread();
  for (const int core : {all.front(), all.back()}) {
    WorkerPool pool(1, 0);
    std::promise<void> release;
    std::promise<std::vector<int>> held;
    pool.post([&] {
      release.get_future().wait();
      held.set_value(cores_of_this_thread());
    });
    std::promise<std::vector<int>> then;
    on_core(core, [&] { pool.post_beside([&] { then.set_value(cores_of_this_thread()); }); });
    release.set_value();
    std::vector<int> others = all;
    if (others.size() > 1) std::erase(others, core);
    EXPECT_EQ(held.get_future().get(), others);
    EXPECT_EQ(then.get_future().get(), all);
  }
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
