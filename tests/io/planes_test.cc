// Every vector target of the float codec's kernels against the definition in io/codec/planes.h.
#include "milepost/io/codec/planes.h"

#include "tests/io/random_bytes.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace milepost {
namespace {

using ByteVector = std::vector<std::byte>;
using testing::random_bytes;

// One after the other, each target that this processor has becomes the chosen one.
class Planes : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { choose(GetParam()); }
  void TearDown() override { choose(0); }

 private:
  static void choose(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

constexpr std::size_t counts[] = {0, 1, 2, 3, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 255, 257, 1000, 4096, 4099};

std::vector<ByteVector> reference_split(std::size_t element_bytes, bool rotate, const ByteVector& words,
                                        std::size_t count) {
  std::vector<ByteVector> planes(element_bytes, ByteVector(count));
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, words.data() + i * element_bytes, element_bytes);
    if (rotate) word = word << 1 | word >> (8 * element_bytes - 1);
    for (std::size_t k = 0; k < element_bytes; ++k) planes[k][i] = static_cast<std::byte>(word >> (8 * k));
  }
  return planes;
}

TEST_P(Planes, SplitAndMergeAreAsDefined) {
  for (const std::size_t element_bytes : {2, 4, 8}) {
    for (const bool rotate : {false, true}) {
      for (const std::size_t count : counts) {
        SCOPED_TRACE(::testing::Message() << count << " x " << element_bytes << (rotate ? ", rotated" : ""));
        const auto words = random_bytes(count * element_bytes, static_cast<unsigned>(count));
        const auto expected = reference_split(element_bytes, rotate, words, count);
        std::vector<ByteVector> planes(element_bytes, ByteVector(count));
        PlanePointers to{};
        ConstPlanePointers from{};
        for (std::size_t k = 0; k < element_bytes; ++k) from[k] = to[k] = planes[k].data();
        split_planes(element_bytes, rotate, words.data(), count, to);
        EXPECT_EQ(planes, expected);
        ByteVector merged(words.size());
        merge_planes(element_bytes, rotate, from, count, merged.data());
        EXPECT_EQ(merged, words);
      }
    }
  }
}

TEST_P(Planes, NibblesAreAsDefinedForEveryShareOfEscapes) {
  for (const int base : {0, 7, 118, 241, 250}) {
    for (const int spread : {1, 15, 16, 20, 256}) {
      for (const std::size_t count : counts) {
        SCOPED_TRACE(::testing::Message() << count << " from " << base << " over " << spread);
        auto plane = random_bytes(count, static_cast<unsigned>(count));
        for (auto& byte : plane) byte = static_cast<std::byte>(base + static_cast<int>(byte) % spread);
        ByteVector expected_codes((count + 1) / 2);
        ByteVector expected_escapes;
        for (std::size_t i = 0; i < count; ++i) {
          const int code = std::min((static_cast<int>(plane[i]) - base) & 255, 15);
          if (code == 15) expected_escapes.push_back(plane[i]);
          expected_codes[i / 2] |= static_cast<std::byte>(code << (i % 2 * 4));
        }
        ByteVector codes(expected_codes.size());
        ByteVector escapes(count);
        escapes.resize(
            pack_nibbles(plane.data(), count, static_cast<std::uint8_t>(base), codes.data(), escapes.data()));
        EXPECT_EQ(codes, expected_codes);
        EXPECT_EQ(escapes, expected_escapes);
        ByteVector unpacked(count);
        const auto used = unpack_nibbles(codes.data(), count, static_cast<std::uint8_t>(base), escapes.data(),
                                         escapes.size(), unpacked.data());
        ASSERT_TRUE(used);
        EXPECT_EQ(*used, escapes.size());
        EXPECT_EQ(unpacked, plane);
      }
    }
  }
}

TEST_P(Planes, RefusesEscapesThatDoNotMatchTheCodes) {
  constexpr std::uint8_t base = 100;
  for (const std::size_t count : {1, 5, 64, 129, 1001}) {
    for (const std::size_t escaped : {std::size_t{0}, count / 2, count - 1}) {
      ByteVector plane(count, std::byte{base});
      plane[escaped] = std::byte{base + 15};
      ByteVector codes((count + 1) / 2), unpacked(count);
      std::byte escape;
      ASSERT_EQ(pack_nibbles(plane.data(), count, base, codes.data(), &escape), 1u);
      EXPECT_FALSE(unpack_nibbles(codes.data(), count, base, &escape, 0, unpacked.data())) << "none left";
      escape = std::byte{base + 14};
      EXPECT_FALSE(unpack_nibbles(codes.data(), count, base, &escape, 1, unpacked.data())) << "needed no escape";
      escape = std::byte{base - 1};
      EXPECT_TRUE(unpack_nibbles(codes.data(), count, base, &escape, 1, unpacked.data()));
      if (count % 2 == 0) continue;
      codes.back() |= std::byte{0x10};
      EXPECT_FALSE(unpack_nibbles(codes.data(), count, base, &escape, 1, unpacked.data())) << "padding is not 0";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Planes, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& target) { return std::string(hwy::TargetName(target.param)); });

}  // namespace
}  // namespace milepost
