// Every cast against a reference that knows nothing of bit tricks: it searches all values of the result's type for the
// nearest one.
#include "milepost/engine/state/cast.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

// A float type as its definition says it. `infinity`, if it has one, is the code behind the largest finite one.
struct FloatType {
  DType dtype;
  int exponent_bits;
  int mantissa_bits;
  int bias;
  std::uint64_t max_code;  // of the largest finite number, without sign
  bool has_infinity;
  bool has_negative_zero;
};
const FloatType float_types[] = {
    {DType::f64, 11, 52, 1023, 0x7fefffffffffffff, true, true},
    {DType::f32, 8, 23, 127, 0x7f7fffff, true, true},
    {DType::bf16, 8, 7, 127, 0x7f7f, true, true},
    {DType::f16, 5, 10, 15, 0x7bff, true, true},
    {DType::f8_e5m2, 5, 2, 15, 0x7b, true, true},
    {DType::f8_e4m3, 4, 3, 7, 0x7e, false, true},
    {DType::f8_e5m2fnuz, 5, 2, 16, 0x7f, false, false},
    {DType::f8_e4m3fnuz, 4, 3, 8, 0x7f, false, false},
};

std::size_t bytes_of(DType dtype) { return static_cast<std::size_t>(bits_of(dtype)) / 8; }
std::uint64_t sign_bit(const FloatType& type) { return std::uint64_t{1} << (type.exponent_bits + type.mantissa_bits); }

// Of a code without sign, up to max_code.
long double magnitude_of(const FloatType& type, std::uint64_t code) {
  const std::uint64_t unit = std::uint64_t{1} << type.mantissa_bits;
  const auto exponent = static_cast<int>(code / unit);
  const std::uint64_t mantissa = code % unit + (exponent == 0 ? 0 : unit);
  return std::ldexp(static_cast<long double>(mantissa),
                    (exponent == 0 ? 1 : exponent) - type.bias - type.mantissa_bits);
}

struct Value {
  bool nan = false;
  bool negative = false;
  long double magnitude = 0;
};

Value decode(const FloatType& type, std::uint64_t bits) {
  const std::uint64_t code = bits & (sign_bit(type) - 1);
  const bool negative = (bits & sign_bit(type)) != 0;
  if (!type.has_negative_zero && negative && code == 0) return {.nan = true};
  if (code <= type.max_code) return {false, negative, magnitude_of(type, code)};
  if (type.has_infinity && code == type.max_code + 1) {
    return {false, negative, std::numeric_limits<long double>::infinity()};
  }
  return {.nan = true};
}

// The bits that a number becomes; none: NaN.
std::optional<std::uint64_t> encode(const FloatType& type, const Value& value) {
  if (value.nan) return std::nullopt;
  // The last code that is not above the value.
  std::uint64_t low = 0;
  std::uint64_t high = type.max_code;
  while (low < high) {
    const std::uint64_t middle = high - (high - low) / 2;
    if (magnitude_of(type, middle) <= value.magnitude) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  // The one behind the largest is as far from it as the one before.
  const long double below = magnitude_of(type, low);
  const long double above = low < type.max_code ? magnitude_of(type, low + 1) : 2 * below - magnitude_of(type, low - 1);
  const long double down = value.magnitude - below;
  const long double up = above - value.magnitude;
  const std::uint64_t code = up < down || (up == down && low % 2 == 1) ? low + 1 : low;
  if (code > type.max_code) {
    if (!type.has_infinity) return std::nullopt;
    return (value.negative ? sign_bit(type) : 0) | (type.max_code + 1);
  }
  if (code == 0 && !type.has_negative_zero) return 0;
  return (value.negative ? sign_bit(type) : 0) | code;
}

std::uint64_t load(const std::byte* elements, std::size_t bytes, std::size_t i) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, elements + i * bytes, bytes);
  return bits;
}

// Numbers at, between and beside the values of the result's type, and all that is special.
std::vector<std::uint64_t> interesting(const FloatType& from, const FloatType& to) {
  std::vector<std::uint64_t> elements;
  if (bytes_of(from.dtype) <= 2) {
    for (std::uint64_t bits = 0; bits < 2 * sign_bit(from); ++bits) elements.push_back(bits);
    return elements;
  }
  std::mt19937_64 random(1);
  const auto add = [&](std::uint64_t code) {
    for (const std::uint64_t near : {code - 1, code, code + 1}) {
      elements.push_back(near & (2 * sign_bit(from) - 1));
      elements.push_back(elements.back() ^ sign_bit(from));
    }
  };
  add(0);
  add(from.max_code);
  add(from.max_code + 1);
  add(std::uint64_t{1} << from.mantissa_bits);  // the smallest normal number
  add(2 * sign_bit(from) - 1);
  for (int i = 0; i < 2000; ++i) add(random());
  const auto add_value = [&](long double value) {
    if (const auto bits = encode(from, {false, false, value})) add(*bits);
  };
  const std::uint64_t stride = std::max<std::uint64_t>(1, to.max_code / 3000);
  const auto add_around = [&](std::uint64_t code) {
    add_value(magnitude_of(to, code));
    if (code < to.max_code) add_value((magnitude_of(to, code) + magnitude_of(to, code + 1)) / 2);
  };
  for (std::uint64_t code = 0; code <= to.max_code - stride; code += stride) add_around(code);
  for (std::uint64_t code = 0; code < 8; ++code) {
    add_around(code);
    add_around(to.max_code - code);
    add_around((std::uint64_t{1} << to.mantissa_bits) - 4 + code);
  }
  // The limit of overflow.
  add_value(magnitude_of(to, to.max_code) + (magnitude_of(to, to.max_code) - magnitude_of(to, to.max_code - 1)) / 2);
  return elements;
}

TEST(Cast, FloatsAreRoundedToTheNearest) {
  for (const FloatType& from : float_types) {
    for (const FloatType& to : float_types) {
      SCOPED_TRACE(std::string(name_of(from.dtype)) + " to " + std::string(name_of(to.dtype)));
      const std::vector<std::uint64_t> elements = interesting(from, to);
      // One byte off any alignment.
      std::vector<std::byte> source(elements.size() * bytes_of(from.dtype) + 1);
      std::vector<std::byte> result(elements.size() * bytes_of(to.dtype) + 2);
      for (std::size_t i = 0; i < elements.size(); ++i) {
        std::memcpy(source.data() + 1 + i * bytes_of(from.dtype), &elements[i], bytes_of(from.dtype));
      }
      result.back() = std::byte{0x5a};
      ASSERT_TRUE(can_cast(from.dtype, to.dtype));
      ASSERT_FALSE(cast(from.dtype, source.data() + 1, to.dtype, result.data() + 1, elements.size()));
      EXPECT_EQ(result.back(), std::byte{0x5a});
      for (std::size_t i = 0; i < elements.size(); ++i) {
        const std::uint64_t found = load(result.data() + 1, bytes_of(to.dtype), i);
        const auto expected = encode(to, decode(from, elements[i]));
        if (expected ? found != *expected : !decode(to, found).nan) {
          FAIL() << std::hex << elements[i] << " became " << found << ", not " << expected.value_or(-1);
        }
      }
    }
  }
}

// Some that everybody knows.
TEST(Cast, KnownFloats) {
  const auto bits = [](float value, DType to) {
    std::uint64_t result = 0;
    EXPECT_FALSE(
        cast(DType::f32, reinterpret_cast<const std::byte*>(&value), to, reinterpret_cast<std::byte*>(&result), 1));
    return result;
  };
  EXPECT_EQ(bits(65504, DType::f16), 0x7bffU);
  EXPECT_EQ(bits(65519.996F, DType::f16), 0x7bffU);
  EXPECT_EQ(bits(65520, DType::f16), 0x7c00U);
  EXPECT_EQ(bits(-0x1p-24F, DType::f16), 0x8001U);
  EXPECT_EQ(bits(0x1p-25F, DType::f16), 0U);
  EXPECT_EQ(bits(0x1.8p-24F, DType::f16), 2U);
  EXPECT_EQ(bits(1.00390625F, DType::bf16), 0x3f80U);
  EXPECT_EQ(bits(1.01171875F, DType::bf16), 0x3f82U);
  EXPECT_EQ(bits(std::numeric_limits<float>::max(), DType::bf16), 0x7f80U);
  EXPECT_EQ(bits(448, DType::f8_e4m3), 0x7eU);
  EXPECT_EQ(bits(464, DType::f8_e4m3), 0x7eU);
  EXPECT_EQ(bits(465, DType::f8_e4m3), 0x7fU);
  EXPECT_EQ(bits(-0.0F, DType::f8_e4m3fnuz), 0U);
  EXPECT_EQ(bits(-std::numeric_limits<float>::infinity(), DType::f8_e5m2), 0xfcU);
}

// --- Integers.

struct IntegerType {
  DType dtype;
  std::uint64_t below_zero;  // the magnitude of the smallest
  std::uint64_t max;
};
const IntegerType integer_types[] = {
    {DType::boolean, 0, 1},
    {DType::u8, 0, 255},
    {DType::i8, 128, 127},
    {DType::u16, 0, 65535},
    {DType::i16, 32768, 32767},
    {DType::u32, 0, 4294967295},
    {DType::i32, 2147483648, 2147483647},
    {DType::u64, 0, 18446744073709551615U},
    {DType::i64, 9223372036854775808U, 9223372036854775807},
};

struct Integer {
  bool negative;
  std::uint64_t magnitude;
};

bool holds(const IntegerType& type, const Integer& value) {
  return value.magnitude <= (value.negative ? type.below_zero : type.max);
}

TEST(Cast, IntegersKeepTheirValueOrMisfit) {
  std::vector<Integer> values = {{false, 0}, {false, 1}, {false, 2}, {true, 1}, {true, 2}};
  for (const IntegerType& type : integer_types) {
    for (const std::uint64_t off : {std::uint64_t(-1), std::uint64_t{0}, std::uint64_t{1}}) {
      values.push_back({false, type.max + off});
      if (type.below_zero + off != 0 && type.below_zero != 0) values.push_back({true, type.below_zero + off});
    }
  }
  for (const IntegerType& from : integer_types) {
    for (const IntegerType& to : integer_types) {
      SCOPED_TRACE(std::string(name_of(from.dtype)) + " to " + std::string(name_of(to.dtype)));
      ASSERT_TRUE(can_cast(from.dtype, to.dtype));
      for (const Integer& value : values) {
        if (!holds(from, value)) continue;
        const std::uint64_t bits = value.negative ? 0 - value.magnitude : value.magnitude;
        // The third of four; zeros fit everywhere.
        std::vector<std::byte> source(4 * bytes_of(from.dtype));
        std::vector<std::byte> result(4 * bytes_of(to.dtype), std::byte{0x5a});
        std::memcpy(source.data() + 2 * bytes_of(from.dtype), &bits, bytes_of(from.dtype));
        const auto misfit = cast(from.dtype, source.data(), to.dtype, result.data(), 4);
        const std::string text = (value.negative ? "-" : "") + std::to_string(value.magnitude);
        ASSERT_EQ(misfit.has_value(), !holds(to, value)) << text;
        if (misfit) {
          EXPECT_EQ(misfit->index, 2U);
          EXPECT_EQ(misfit->value, text);
          continue;
        }
        std::uint64_t expected = 0;
        std::memcpy(&expected, &bits, bytes_of(to.dtype));
        EXPECT_EQ(load(result.data(), bytes_of(to.dtype), 2), expected) << text;
        EXPECT_EQ(load(result.data(), bytes_of(to.dtype), 3), 0U);
      }
    }
  }
  const std::byte odd_bool{7};
  std::uint16_t one = 0;
  EXPECT_FALSE(cast(DType::boolean, &odd_bool, DType::u16, reinterpret_cast<std::byte*>(&one), 1));
  EXPECT_EQ(one, 1);
}

TEST(Cast, NothingElse) {
  int pairs = 0;
  for (int from = 0; from < dtype_count; ++from) {
    for (int to = 0; to < dtype_count; ++to) {
      if (can_cast(static_cast<DType>(from), static_cast<DType>(to))) ++pairs;
    }
  }
  EXPECT_EQ(pairs, 8 * 8 + 9 * 9);  // all of which the tests above go through
}

}  // namespace
}  // namespace milepost::testing
