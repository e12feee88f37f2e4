#include "milepost/io/stream_copy.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace milepost {
namespace {

// Bytes around the target must stay as they were, and the target must equal the source.
void expect_exact_copy(std::size_t bytes, std::size_t to_offset, std::size_t from_offset) {
  SCOPED_TRACE(::testing::Message() << bytes << " bytes, offsets " << to_offset << ", " << from_offset);
  constexpr std::size_t guard = 128;
  std::vector<std::byte> from(bytes + from_offset);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 131 + (i >> 8));
  std::vector<std::byte> to(bytes + to_offset + 2 * guard, std::byte{0xEE});
  stream_copy(to.data() + guard + to_offset, from.data() + from_offset, bytes);
  const auto is_untouched = [](std::byte b) { return b == std::byte{0xEE}; };
  EXPECT_TRUE(std::all_of(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(guard + to_offset), is_untouched));
  EXPECT_TRUE(std::equal(from.begin() + static_cast<std::ptrdiff_t>(from_offset), from.end(),
                         to.begin() + static_cast<std::ptrdiff_t>(guard + to_offset)));
  EXPECT_TRUE(std::all_of(to.end() - guard, to.end(), is_untouched));
}

TEST(StreamCopy, CopiesAnySizeAtAnyAlignment) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    for (const std::size_t bytes : {0, 1, 63, 64, 65, 4095, 16383, 16384, 16447, 16448, 16449, 70001, 300000}) {
      for (const std::size_t to_offset : {0, 1, 31, 63}) {
        for (const std::size_t from_offset : {0, 7}) expect_exact_copy(bytes, to_offset, from_offset);
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace
}  // namespace milepost
