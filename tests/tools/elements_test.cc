#include "tools/milepost/elements.h"

#include "milepost/engine/state/element.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace milepost::tool {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

template <class T> const std::byte* bytes_of(const std::vector<T>& values) {
  return reinterpret_cast<const std::byte*>(values.data());
}

struct Code {
  DType dtype;
  unsigned bits;
  double value;
};

// Landmarks of each type, from the OCP specifications of 8-bit and microscaling floats, IEEE 754, and
// the paper that introduced the "fnuz" types.
TEST(Elements, DecodeSmallFloatsAsTheirSpecificationsSay) {
  const std::vector<Code> codes = {
      {DType::f8_e4m3, 0x00, 0},           {DType::f8_e4m3, 0x01, 0x1p-9},      {DType::f8_e4m3, 0x07, 0x1.cp-7},
      {DType::f8_e4m3, 0x08, 0x1p-6},      {DType::f8_e4m3, 0x38, 1},           {DType::f8_e4m3, 0xb9, -1.125},
      {DType::f8_e4m3, 0x7e, 448},         {DType::f8_e4m3, 0x7f, nan},         {DType::f8_e4m3, 0xff, nan},
      {DType::f8_e5m2, 0x01, 0x1p-16},     {DType::f8_e5m2, 0x3c, 1},           {DType::f8_e5m2, 0x7b, 57344},
      {DType::f8_e5m2, 0x7c, inf},         {DType::f8_e5m2, 0xfc, -inf},        {DType::f8_e5m2, 0x7d, nan},
      {DType::f8_e4m3fnuz, 0x80, nan},     {DType::f8_e4m3fnuz, 0x7f, 240},     {DType::f8_e4m3fnuz, 0x40, 1},
      {DType::f8_e4m3fnuz, 0x01, 0x1p-10}, {DType::f8_e5m2fnuz, 0x80, nan},     {DType::f8_e5m2fnuz, 0x7f, 57344},
      {DType::f8_e5m2fnuz, 0x40, 1},       {DType::f8_e5m2fnuz, 0x01, 0x1p-17}, {DType::f8_e8m0, 0x00, 0x1p-127},
      {DType::f8_e8m0, 0x7f, 1},           {DType::f8_e8m0, 0xfe, 0x1p127},     {DType::f8_e8m0, 0xff, nan},
      {DType::f16, 0x0001, 0x1p-24},       {DType::f16, 0x3c01, 1.0009765625},  {DType::f16, 0x7bff, 65504},
      {DType::f16, 0xfc00, -inf},          {DType::f16, 0x7e00, nan},           {DType::bf16, 0x3f81, 1.0078125},
      {DType::bf16, 0x7f80, inf},          {DType::bf16, 0xffc0, nan},          {DType::bf16, 0x0001, 0x1p-133},
  };
  for (const Code& code : codes) {
    const std::vector<std::uint16_t> memory = {0xffff, static_cast<std::uint16_t>(code.bits), 0xffff};
    const std::vector<std::uint8_t> memory8 = {0xff, static_cast<std::uint8_t>(code.bits), 0xff};
    const std::byte* data = bits_of(code.dtype) == 16 ? bytes_of(memory) : bytes_of(memory8);
    const double value = element_as_double(code.dtype, data, 1);
    EXPECT_TRUE(value == code.value || (std::isnan(value) && std::isnan(code.value)))
        << name_of(code.dtype) << " 0x" << std::hex << code.bits << " is " << value << ", not " << code.value;
  }
}

TEST(Elements, DecodePackedFloats) {
  // All 16 codes of F4, the low nibble first.
  std::vector<std::uint8_t> f4;
  for (unsigned code = 0; code < 16; code += 2) f4.push_back(static_cast<std::uint8_t>(code | (code + 1) << 4));
  const std::array<double, 8> magnitudes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (std::size_t i = 0; i < 16; ++i) {
    const double expected = i < 8 ? magnitudes[i] : -magnitudes[i - 8];
    EXPECT_EQ(element_as_double(DType::f4, bytes_of(f4), static_cast<std::int64_t>(i)), expected) << i;
  }
  // Four codes of six bits in three bytes: 0x1f (largest), 0x01 (least), 0x20 (negative zero), 0x3f.
  const unsigned packed = 0x1f | 0x01 << 6 | 0x20 << 12 | 0x3f << 18;
  const std::vector<std::uint8_t> f6 = {static_cast<std::uint8_t>(packed), static_cast<std::uint8_t>(packed >> 8),
                                        static_cast<std::uint8_t>(packed >> 16)};
  const std::array<double, 4> e2m3 = {7.5, 0.125, -0.0, -7.5};
  const std::array<double, 4> e3m2 = {28, 0.0625, -0.0, -28};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(element_as_double(DType::f6_e2m3, bytes_of(f6), static_cast<std::int64_t>(i)), e2m3[i]) << i;
    EXPECT_EQ(element_as_double(DType::f6_e3m2, bytes_of(f6), static_cast<std::int64_t>(i)), e3m2[i]) << i;
  }
}

TEST(Elements, PrintShortAndExact) {
  const std::vector<float> f32 = {0.1F, -1e30F, std::numeric_limits<float>::infinity()};
  EXPECT_EQ(element_text(DType::f32, bytes_of(f32), 0), "0.1");
  EXPECT_EQ(element_text(DType::f32, bytes_of(f32), 1), "-1e+30");
  EXPECT_EQ(element_text(DType::f32, bytes_of(f32), 2), "inf");
  const std::vector<std::uint64_t> u64 = {0, std::numeric_limits<std::uint64_t>::max()};
  EXPECT_EQ(element_text(DType::u64, bytes_of(u64), 1), "18446744073709551615");
  const std::vector<float> c64 = {0, 0, 1.5F, -2};
  EXPECT_EQ(element_text(DType::c64, bytes_of(c64), 1), "1.5-2i");
  const std::vector<std::uint16_t> bf16 = {0x3dcd};  // the bf16 next to 0.1
  EXPECT_EQ(element_text(DType::bf16, bytes_of(bf16), 0), "0.1001");
  const std::vector<std::uint32_t> u32 = {4294967295U};
  EXPECT_EQ(element_text(DType::u32, bytes_of(u32), 0), "4294967295");
}

TEST(Statistics, SeeThroughSpecialValuesAndParts) {
  const float not_a_number = std::numeric_limits<float>::quiet_NaN();
  const float infinite = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {not_a_number, 1e6F, 1e6F + 1, 1e6F + 2, infinite, -infinite, 1e6F + 3, 0, 0};
  Statistics whole(DType::f32);
  whole.add(bytes_of(values), static_cast<std::int64_t>(values.size()));
  Statistics parts(DType::f32);
  parts.add(bytes_of(values), 2);
  parts.add(bytes_of(values), 0);
  parts.add(bytes_of(values) + 2 * sizeof(float), 7);
  for (const Statistics& statistics : {whole, parts}) {
    EXPECT_EQ(statistics.count(), 9);
    EXPECT_EQ(statistics.nans(), 1);
    EXPECT_EQ(statistics.infinities(), 2);
    EXPECT_EQ(statistics.zeros(), 2);
    EXPECT_EQ(statistics.min_text(), "0");
    EXPECT_EQ(statistics.max_text(), "1000003");
    EXPECT_NEAR(statistics.mean(), 4000006.0 / 6, 1e-6);
    EXPECT_NEAR(statistics.standard_deviation(), 471405.2, 0.1);
  }
}

TEST(Statistics, KeepLargeIntegersExact) {
  const std::vector<std::int64_t> i64 = {std::numeric_limits<std::int64_t>::max(), -3,
                                         std::numeric_limits<std::int64_t>::min()};
  Statistics signed_statistics(DType::i64);
  signed_statistics.add(bytes_of(i64), 1);
  signed_statistics.add(bytes_of(i64) + sizeof(std::int64_t), 2);
  EXPECT_EQ(signed_statistics.max_text(), "9223372036854775807");
  EXPECT_EQ(signed_statistics.min_text(), "-9223372036854775808");
  const std::vector<std::uint64_t> u64 = {std::numeric_limits<std::uint64_t>::max(), (std::uint64_t{1} << 63) + 1};
  Statistics unsigned_statistics(DType::u64);
  unsigned_statistics.add(bytes_of(u64), 1);
  unsigned_statistics.add(bytes_of(u64) + sizeof(std::uint64_t), 1);
  EXPECT_EQ(unsigned_statistics.max_text(), "18446744073709551615");
  EXPECT_EQ(unsigned_statistics.min_text(), "9223372036854775809");
}

}  // namespace
}  // namespace milepost::tool
