// Large arrays keep their content while they grow, and give their memory back; small ones are malloc's.
#include "milepost/io/mapped_allocator.h"

#include <gtest/gtest.h>

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <numeric>
#include <vector>

namespace milepost {
namespace {

using Array = std::vector<std::uint64_t, MappedAllocator<std::uint64_t>>;

TEST(MappedAllocator, ContentSurvivesGrowingThroughBothKindsOfMemory) {
  Array array;
  for (std::uint64_t i = 0; i < 400'000; ++i) array.push_back(i);
  for (std::uint64_t i = 0; i < array.size(); ++i) ASSERT_EQ(array[i], i);
}

TEST(MappedAllocator, WhatIsFreedIsTheSystemsAgain) {
  const std::size_t bytes = std::size_t{8} << 20;
  void* memory;
  {
    const Array array(bytes / sizeof(std::uint64_t), 1);
    memory = const_cast<std::uint64_t*>(array.data());
    ASSERT_EQ(::madvise(memory, bytes, MADV_WILLNEED), 0);
  }
  EXPECT_EQ(::madvise(memory, bytes, MADV_WILLNEED), -1);
  EXPECT_EQ(errno, ENOMEM);
}

TEST(MappedAllocator, WhatCannotBeHadThrows) {
  Array array;
  EXPECT_THROW(array.reserve(std::size_t{1} << 45), std::bad_alloc);
}

}  // namespace
}  // namespace milepost
