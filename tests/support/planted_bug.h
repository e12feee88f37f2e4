// A harness is worth something only if it notices what it is for.
#pragma once

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <functional>

namespace milepost::testing {

// Whether an expectation fails in `trial`, on any thread; the test that asks goes on as if nothing had failed.
inline bool fails(const std::function<void()>& trial) {
  ::testing::TestPartResultArray results;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &results);
    trial();
  }
  for (int i = 0; i < results.size(); ++i) {
    if (results.GetTestPartResult(i).failed()) return true;
  }
  return false;
}

}  // namespace milepost::testing
