#include "milepost/io/buffer_pool.h"
#include "milepost/io/populate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace milepost {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t block = 64 << 10;

TEST(BufferPool, NeverHoldsMoreThanItsBound) {
  BufferPool pool({.capacity_bytes = 10 * block + 1, .block_bytes = block});
  EXPECT_EQ(pool.stats().capacity_bytes, 10 * block);
  EXPECT_EQ(pool.stats().mapped_bytes, 0u);
  std::vector<BufferLease> leases;
  std::set<std::byte*> distinct;
  for (int i = 0; i < 10; ++i) {
    leases.push_back(pool.acquire().value());
    distinct.insert(leases.back().data());
    std::memset(leases.back().data(), i, block);
  }
  EXPECT_EQ(distinct.size(), 10u);
  EXPECT_FALSE(pool.try_acquire().has_value());
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(leases[static_cast<std::size_t>(i)].data()[block - 1], static_cast<std::byte>(i));
  }
  const BufferPoolStats stats = pool.stats();
  EXPECT_EQ(stats.mapped_bytes, 10 * block);
  EXPECT_EQ(stats.leased_bytes, 10 * block);
  leases.clear();
  EXPECT_EQ(pool.stats().leased_bytes, 0u);
  EXPECT_EQ(pool.stats().leased_peak_bytes, 10 * block);
}

TEST(BufferPool, ABoundUnderOneBlockIsOneBlock) {
  BufferPool pool({.capacity_bytes = 1, .block_bytes = block});
  const auto lease = pool.acquire();
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->size(), block);
  EXPECT_FALSE(pool.try_acquire().has_value());
}

TEST(BufferPool, BlocksAreAligned) {
  for (const std::size_t bytes : {std::size_t{4096}, std::size_t{12288}, std::size_t{3} << 20}) {
    BufferPool pool({.capacity_bytes = 5 * bytes, .block_bytes = bytes});
    std::vector<BufferLease> leases;
    for (int i = 0; i < 5; ++i) {
      leases.push_back(pool.acquire().value());
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(leases.back().data()) % 4096, 0u);
    }
  }
}

TEST(BufferPool, GivesTheMostRecentlyUsedBlockFirst) {
  BufferPool pool({.capacity_bytes = 4 * block, .block_bytes = block});
  BufferLease first = pool.acquire().value();
  BufferLease second = pool.acquire().value();
  std::byte* const warm = first.data();
  second.release();
  first.release();
  EXPECT_EQ(pool.acquire().value().data(), warm);
}

TEST(BufferPool, MovingALeaseKeepsOneOwner) {
  BufferPool pool({.capacity_bytes = 2 * block, .block_bytes = block});
  BufferLease first = pool.acquire().value();
  BufferLease second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT: moved from on purpose
  EXPECT_EQ(first.size(), 0u);
  EXPECT_EQ(pool.stats().leased_bytes, block);
  second = pool.acquire().value();
  EXPECT_EQ(pool.stats().leased_bytes, block);
  second.release();
  second.release();
  EXPECT_EQ(pool.stats().leased_bytes, 0u);
}

TEST(BufferPool, GivesUpAtTheDeadline) {
  BufferPool pool({.capacity_bytes = block, .block_bytes = block});
  BufferLease lease = pool.acquire().value();
  const auto late = pool.acquire_until(steady_clock::now() + std::chrono::milliseconds(5));
  ASSERT_TRUE(late.has_error());
  EXPECT_EQ(late.error().code(), ErrorCode::deadline_exceeded);
  lease.release();
  EXPECT_TRUE(pool.acquire_until(steady_clock::now()).has_value()) << "a free block needs no time";
}

TEST(BufferPool, NobodyWaitsForWhatOnlyWaitersHold) {
  BufferPool pool({.capacity_bytes = 2 * block, .block_bytes = block});
  BufferLease mine = pool.acquire().value();
  BufferLease others = pool.acquire().value();
  std::thread other([&] {
    const auto second = pool.acquire(1);
    EXPECT_TRUE(second.has_value()) << "my block comes back";
  });
  while (pool.stats().waiting != 1) std::this_thread::yield();
  const auto second = pool.acquire(1);
  ASSERT_TRUE(second.has_error()) << "both would wait for ever";
  EXPECT_EQ(second.error().code(), ErrorCode::no_space);
  mine.release();
  other.join();
}

TEST(BufferPool, ServesWaitersInTheOrderInWhichTheyCame) {
  constexpr std::size_t waiters = 6;
  BufferPool pool({.capacity_bytes = block, .block_bytes = block});
  BufferLease held = pool.acquire().value();
  std::vector<std::size_t> served;  // protected by owning the one block
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < waiters; ++i) {
    threads.emplace_back([&, i] {
      const BufferLease lease = pool.acquire().value();
      served.push_back(i);
    });
    while (pool.stats().waiting != i + 1) std::this_thread::yield();
  }
  EXPECT_TRUE(pool.acquire_until(steady_clock::now()).has_error()) << "gives up its place in the queue";
  held.release();
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(served.size(), waiters);
  for (std::size_t i = 0; i < waiters; ++i) EXPECT_EQ(served[i], i);
}

TEST(BufferPool, ManyThreadsShareFewBlocks) {
  constexpr int threads_count = 4;
  constexpr int rounds = 500;
  BufferPool pool({.capacity_bytes = 3 * block, .block_bytes = block});
  std::atomic<int> broken = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < threads_count; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        BufferLease lease;
        if (i % 3 == 0) {
          auto tried = pool.acquire_until(steady_clock::now() + std::chrono::microseconds(50));
          if (tried.has_error()) continue;
          lease = std::move(*tried);
        } else {
          lease = pool.acquire().value();
        }
        const auto mark = static_cast<std::byte>(t + 1);
        lease.data()[0] = lease.data()[block - 1] = mark;
        std::this_thread::yield();
        if (lease.data()[0] != mark || lease.data()[block - 1] != mark) ++broken;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(broken, 0);
  EXPECT_EQ(pool.stats().leased_bytes, 0u);
  EXPECT_LE(pool.stats().leased_peak_bytes, 3 * block);
  EXPECT_LE(pool.stats().mapped_bytes, 3 * block);
}

TEST(BufferPool, PrefaultTouchesInParallelAndOnce) {
  constexpr std::size_t mib = 1 << 20;
  BufferPool pool({.capacity_bytes = 16 * mib, .block_bytes = mib});
  std::atomic<int> calls = 0;
  const auto two_threads = [&](std::size_t count, const std::function<void(std::size_t)>& fn) {
    std::atomic<std::size_t> next = 0;
    const auto run = [&] {
      for (std::size_t i = next++; i < count; i = next++) {
        ++calls;
        fn(i);
      }
    };
    std::thread other(run);
    run();
    other.join();
  };
  ASSERT_TRUE(pool.prefault(9 * mib, two_threads).has_value());
  EXPECT_GE(pool.stats().mapped_bytes, 9 * mib);
  EXPECT_EQ(pool.stats().leased_bytes, 0u);
  EXPECT_GT(calls, 1);
  calls = 0;
  ASSERT_TRUE(pool.prefault(9 * mib, two_threads).has_value());
  EXPECT_EQ(calls, 0) << "touched already";
  ASSERT_TRUE(pool.prefault(1000 * mib).has_value());
  EXPECT_EQ(pool.stats().mapped_bytes, 16 * mib) << "not more than the bound";
  std::vector<BufferLease> leases;
  for (int i = 0; i < 16; ++i) leases.push_back(pool.acquire().value());
}

TEST(BufferPool, PrefaultsItsWholeBoundWhenAskedForEverything) {
  BufferPool pool({.capacity_bytes = 3 * block, .block_bytes = block});
  ASSERT_TRUE(pool.prefault(std::numeric_limits<std::size_t>::max()).has_value());
  EXPECT_EQ(pool.stats().mapped_bytes, 3 * block);
}

// As a restore does, that reads coded chunks.
TEST(BufferPool, PrefaultsTheRestOfBlocksThatWereUsedInPart) {
  BufferPool pool({.capacity_bytes = 3 * block, .block_bytes = block, .huge_pages = false});
  std::vector<BufferLease> leases;
  for (int i = 0; i < 3; ++i) leases.push_back(pool.acquire().value());
  const auto is_resident = [](const BufferLease& lease) { return PageRange(lease.data(), block).is_resident(); };
  for (const BufferLease& lease : leases) {
    lease.data()[0] = std::byte{7};
    if (is_resident(lease)) GTEST_SKIP() << "a kernel that gives more than a page at once";
  }
  leases.pop_back();
  leases.pop_back();
  ASSERT_TRUE(pool.prefault(2 * block).has_value());
  EXPECT_FALSE(is_resident(leases[0])) << "it is somebody's";
  for (int i = 0; i < 2; ++i) leases.push_back(pool.acquire().value());
  EXPECT_TRUE(is_resident(leases[1]));
  EXPECT_TRUE(is_resident(leases[2]));
  EXPECT_EQ(pool.stats().mapped_bytes, 3 * block);
}

TEST(BufferPool, TrimmedBlocksAreAsIfNeverTouched) {
  BufferPool pool({.capacity_bytes = 3 * block, .block_bytes = block});
  auto kept = pool.acquire().value();
  auto other = pool.acquire().value();
  std::byte* const freed = other.data();
  for (const BufferLease* lease : {&kept, &other}) std::memset(lease->data(), 7, block);
  other.release();
  EXPECT_EQ(pool.trim(3 * block), block);
  EXPECT_EQ(pool.stats().touched_bytes, block);
  EXPECT_EQ(kept.data()[block - 1], std::byte{7});
  other = pool.acquire().value();
  EXPECT_EQ(other.data(), freed);
  EXPECT_EQ(other.data()[block - 1], std::byte{0});
  EXPECT_EQ(pool.stats().touched_bytes, 2 * block);
}

TEST(BufferPool, TrimsNoMoreThanWhatIsAskedForAndTheOldestFirst) {
  BufferPool pool({.capacity_bytes = 3 * block, .block_bytes = block});
  std::vector<BufferLease> leases;
  for (int i = 0; i < 3; ++i) {
    leases.push_back(pool.acquire().value());
    std::memset(leases.back().data(), 7, block);
  }
  std::byte* const latest = leases[1].data();
  for (const std::size_t i : {2, 0, 1}) leases[i].release();
  EXPECT_EQ(pool.trim(0), 0);
  EXPECT_EQ(pool.trim(block + 1), 2 * block);
  EXPECT_EQ(pool.stats().touched_bytes, block);
  const auto lease = pool.acquire().value();
  EXPECT_EQ(lease.data(), latest);
  EXPECT_EQ(lease.data()[0], std::byte{7});
}

TEST(BufferPool, AcquireDuringPrefaultWaitsForIt) {
  BufferPool pool({.capacity_bytes = 4 * block, .block_bytes = block});
  std::thread taker;
  ASSERT_TRUE(pool.prefault(4 * block,
                            [&](std::size_t count, const std::function<void(std::size_t)>& fn) {
                              EXPECT_FALSE(pool.try_acquire().has_value());
                              taker = std::thread([&] { EXPECT_TRUE(pool.acquire().has_value()); });
                              for (std::size_t i = 0; i < count; ++i) fn(i);
                            })
                  .has_value());
  taker.join();
  EXPECT_EQ(pool.stats().leased_bytes, 0u);
}

}  // namespace
}  // namespace milepost
