// Values as Python prints them. The expected texts are what Python 3 and NumPy print.
#include "milepost/engine/federated/python_text.h"

#include "milepost/engine/state/float_format.h"
#include "tests/support/bytes.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace milepost::testing {
namespace {

TEST(PythonText, NumbersAsReprWritesThem) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<double, const char*>> cases = {
      {0.0, "0.0"},
      {-0.0, "-0.0"},
      {1.0, "1.0"},
      {-1.5, "-1.5"},
      {0.1, "0.1"},
      {1.0 / 3, "0.3333333333333333"},
      {0.0001, "0.0001"},
      {0.00001, "1e-05"},
      {1e-7, "1e-07"},
      {1.25e-7, "1.25e-07"},
      {123456.0, "123456.0"},
      {1e15, "1000000000000000.0"},
      {1e16, "1e+16"},
      {12345678901234567.0, "1.2345678901234568e+16"},
      {9999999999999998.0, "9999999999999998.0"},
      {5e-324, "5e-324"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
      {100.0, "100.0"},
      {1e100, "1e+100"},
      {inf, "inf"},
      {-inf, "-inf"},
      {std::nan(""), "nan"},
      {-std::nan(""), "nan"},
  };
  for (const auto& [value, text] : cases) EXPECT_EQ(python_text(value), text);
}

TEST(PythonText, FloatsInTheirOwnPrecision) {
  EXPECT_EQ(python_text(0.1f), "0.1");
  EXPECT_EQ(python_text(16777216.0f), "16777216.0");
  EXPECT_EQ(python_text(123456789.0f), "123456790.0");
  EXPECT_EQ(python_text(3.4028235e38f), "3.4028235e+38");
  EXPECT_EQ(python_text(1e-45f), "1e-45");
}

Tree one(DType dtype, std::uint64_t bits) {
  Tensor tensor = Tensor::allocate(dtype, {}).value();
  std::memcpy(tensor.data(), &bits, tensor.byte_count());
  return tensor;
}

TEST(PythonText, SmallFloatsInTheirOwnPrecision) {
  EXPECT_EQ(python_text(one(DType::bf16, 0x3DCD)), "0.1");
  EXPECT_EQ(python_text(one(DType::bf16, 0x7F7F)), "3.39e+38");
  EXPECT_EQ(python_text(one(DType::bf16, 0x8000)), "-0.0");
  EXPECT_EQ(python_text(one(DType::bf16, 0x7FC0)), "nan");
  EXPECT_EQ(python_text(one(DType::bf16, 0xFF80)), "-inf");
  EXPECT_EQ(python_text(one(DType::f16, 0x2E66)), "0.1");
  EXPECT_EQ(python_text(one(DType::f16, 0x7BFF)), "65500.0");
  EXPECT_EQ(python_text(one(DType::f16, 0x0001)), "6e-08");
  EXPECT_EQ(python_text(one(DType::f16, 0x3C00)), "1.0");
  EXPECT_EQ(python_text(one(DType::f8_e4m3, 0x38)), "1.0");
  EXPECT_EQ(python_text(one(DType::f8_e5m2, 0x7C)), "inf");
  EXPECT_EQ(python_text(one(DType::f8_e8m0, 127)), "1.0");
  EXPECT_EQ(python_text(one(DType::f8_e8m0, 255)), "nan");
}

// Every number of every small format: the text reads back as it, and no shorter one does that.
TEST(PythonText, SmallFloatsRoundTripAndAreShortest) {
  for (const DType dtype :
       {DType::f16, DType::bf16, DType::f8_e4m3, DType::f8_e5m2, DType::f8_e4m3fnuz, DType::f8_e5m2fnuz}) {
    const FloatFormat format = float_format_of(dtype).value();
    const std::uint32_t count = 1U << bits_of(dtype);
    for (std::uint32_t bits = 0; bits < count; bits += bits_of(dtype) == 16 ? 7 : 1) {
      const double value = decode_float(format, bits);
      if (!std::isfinite(value) || value == 0) continue;
      const std::string text = python_text(one(dtype, bits));
      double back = 0;
      std::from_chars(text.data(), text.data() + text.size(), back);
      ASSERT_EQ(encode_float(format, back), bits) << text;
      // With one digit less, neither neighbour of the number will do.
      char digits[40];
      const auto end = std::to_chars(digits, digits + sizeof(digits), back, std::chars_format::scientific);
      std::string mantissa;
      for (const char* at = digits; at != end.ptr && *at != 'e'; ++at) {
        if (*at >= '0' && *at <= '9') mantissa += *at;
      }
      if (mantissa.size() == 1) continue;
      const int precision = static_cast<int>(mantissa.size()) - 1;
      const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - precision + 1);
      for (const double multiple : {std::floor(value / unit), std::ceil(value / unit)}) {
        EXPECT_NE(encode_float(format, multiple * unit), bits) << text << " " << name_of(dtype);
      }
    }
  }
}

TEST(PythonText, Leaves) {
  EXPECT_EQ(python_text(Tree()), "");
  EXPECT_EQ(python_text(Tree(true)), "True");
  EXPECT_EQ(python_text(Tree(false)), "False");
  EXPECT_EQ(python_text(Tree(std::numeric_limits<std::int64_t>::min())), "-9223372036854775808");
  EXPECT_EQ(python_text(Tree(std::numeric_limits<std::uint64_t>::max())), "18446744073709551615");
  EXPECT_EQ(python_text(Tree(1e-7)), "1e-07");
  EXPECT_EQ(python_text(Tree("a \"b\", c\n")), "a \"b\", c\n");
  EXPECT_EQ(python_text(Tree(to_bytes("a"))), "b'a'");
  EXPECT_EQ(python_text(Tree(to_bytes("it's"))), "b\"it's\"");
  EXPECT_EQ(python_text(Tree(to_bytes("'\"\\\t\n\r\x01\x7f\xff"))), R"(b'\'"\\\t\n\r\x01\x7f\xff')");
}

TEST(PythonText, TensorsAsToList) {
  std::int32_t ones[] = {1, 1, 1, 1};
  EXPECT_EQ(python_text(Tree(Tensor::of(ones, {2, 2}))), "[[1, 1], [1, 1]]");
  EXPECT_EQ(python_text(Tree(Tensor::of(ones, {}))), "1");
  EXPECT_EQ(python_text(Tree(Tensor::of(ones, {1}))), "[1]");
  EXPECT_EQ(python_text(Tree(Tensor::of(ones, {0}))), "[]");
  EXPECT_EQ(python_text(Tree(Tensor::of(ones, {2, 0}))), "[[], []]");
  EXPECT_EQ(python_text(Tree(Tensor::of(ones, {0, 2}))), "[]");
  float floats[] = {0.1f, -0.0f, std::numeric_limits<float>::quiet_NaN(), 1e-7f};
  EXPECT_EQ(python_text(Tree(Tensor::of(floats, {4}))), "[0.1, -0.0, nan, 1e-07]");
  bool flags[] = {true, false};
  EXPECT_EQ(python_text(Tree(Tensor::of(flags, {2}))), "[True, False]");
  std::uint8_t small[] = {0, 255};
  EXPECT_EQ(python_text(Tree(Tensor::of(small, {2}))), "[0, 255]");
  std::int64_t large[] = {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
  EXPECT_EQ(python_text(Tree(Tensor::of(large, {2}))), "[-9223372036854775808, 9223372036854775807]");
  std::complex<float> complex[] = {{1, 2}, {0, -0.5f}, {-0.0f, 1}, {1e-7f, -2}, {0, std::nanf("")}};
  EXPECT_EQ(python_text(Tree(Tensor::of(complex, {5}))), "[(1+2j), -0.5j, (-0+1j), (1e-07-2j), nanj]");
}

TEST(PythonText, StridesAreFollowed) {
  std::int32_t values[] = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(python_text(Tree(Tensor::of(values, {3, 2}, {1, 3}))), "[[1, 4], [2, 5], [3, 6]]");
  EXPECT_EQ(python_text(Tree(Tensor::of(values + 5, {6}, {-1}))), "[6, 5, 4, 3, 2, 1]");
  std::vector<std::int16_t> many(5000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int16_t>(i);
  std::vector<std::int16_t> turned(many.rbegin(), many.rend());
  EXPECT_EQ(python_text(Tree(Tensor::of(turned.data() + 4999, {50, 100}, {-100, -1}))),
            python_text(Tree(Tensor::of(many.data(), {50, 100}))));
}

TEST(PythonText, PackedElements) {
  const std::byte f4[] = {std::byte{0x21}, std::byte{0x7F}};  // 0.5, 1.0, -6.0, 6.0
  EXPECT_EQ(python_text(Tree(Tensor::view(f4, DType::f4, {4}))), "[0.5, 1.0, -6.0, 6.0]");
}

}  // namespace
}  // namespace milepost::testing
