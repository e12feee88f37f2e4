// Pages are there after they were asked for, with what was in them; where they cannot be had, the call says so.
#include "milepost/io/populate.h"

#include <gtest/gtest.h>

#include <memory>

namespace milepost {
namespace {

constexpr std::size_t bytes = std::size_t{1} << 20;

using Memory = std::unique_ptr<std::byte, void (*)(std::byte*)>;

Memory untouched(int protection) {
  void* const mapped = ::mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(mapped, MAP_FAILED);
  ::madvise(mapped, bytes, MADV_NOHUGEPAGE);
  return {static_cast<std::byte*>(mapped), [](std::byte* memory) { ::munmap(memory, bytes); }};
}

TEST(Populate, PagesAreThereAndKeepTheirContent) {
  const Memory memory = untouched(PROT_READ | PROT_WRITE);
  memory.get()[5000] = std::byte{7};
  // From the middle of the second page to the middle of the fourth.
  const PageRange pages(memory.get() + 6000, 8192);
  EXPECT_FALSE(pages.is_resident());
  const int result = pages.populate();
  if (result == EINVAL) GTEST_SKIP() << "this kernel cannot";
  ASSERT_EQ(result, 0);
  EXPECT_TRUE(pages.is_resident());
  EXPECT_TRUE(PageRange(memory.get() + 4096, 3 * 4096).is_resident());
  EXPECT_FALSE(PageRange(memory.get(), 1).is_resident());
  EXPECT_FALSE(PageRange(memory.get() + 4 * 4096, 1).is_resident());
  EXPECT_EQ(memory.get()[5000], std::byte{7});
}

TEST(Populate, MemoryThatMayNotBeWrittenIsRefused) {
  const Memory memory = untouched(PROT_READ);
  EXPECT_NE(PageRange(memory.get(), bytes).populate(), 0);
  EXPECT_FALSE(PageRange(memory.get(), bytes).is_resident());
}

}  // namespace
}  // namespace milepost
