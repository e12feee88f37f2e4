// Floats of 16 bits and less, bit by bit: what their fields mean, and how doubles become them.
#pragma once

#include "milepost/engine/state/dtype.h"

#include <bit>
#include <cstdint>
#include <limits>
#include <optional>

namespace milepost {

struct FloatFormat {
  // What the highest exponents mean.
  enum class Specials : std::uint8_t {
    none,      // numbers like all others (f4, f6)
    ieee,      // infinities and NaNs
    nan_only,  // the one pattern of all ones is NaN (f8_e4m3)
    fnuz,      // no infinities, no negative zero: its pattern is NaN
  };

  int exponent_bits;
  int mantissa_bits;
  int bias;
  Specials specials;
};

// None for wider floats, for f8_e8m0, which has neither sign nor mantissa, and for all that is no float.
constexpr std::optional<FloatFormat> float_format_of(DType dtype) {
  using enum FloatFormat::Specials;
  switch (dtype) {
    case DType::f4: return FloatFormat{2, 1, 1, none};
    case DType::f6_e2m3: return FloatFormat{2, 3, 1, none};
    case DType::f6_e3m2: return FloatFormat{3, 2, 3, none};
    case DType::f8_e5m2: return FloatFormat{5, 2, 15, ieee};
    case DType::f8_e4m3: return FloatFormat{4, 3, 7, nan_only};
    case DType::f8_e4m3fnuz: return FloatFormat{4, 3, 8, fnuz};
    case DType::f8_e5m2fnuz: return FloatFormat{5, 2, 16, fnuz};
    case DType::f16: return FloatFormat{5, 10, 15, ieee};
    case DType::bf16: return FloatFormat{8, 7, 127, ieee};
    default: return std::nullopt;
  }
}

// Exact.
constexpr double decode_float(const FloatFormat& format, std::uint32_t bits) {
  using enum FloatFormat::Specials;
  const std::uint32_t exponent_max = (1U << format.exponent_bits) - 1;
  const std::uint32_t mantissa = bits & ((1U << format.mantissa_bits) - 1);
  const std::uint32_t exponent = (bits >> format.mantissa_bits) & exponent_max;
  const std::uint64_t sign = (bits >> (format.mantissa_bits + format.exponent_bits)) & 1U;
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (format.specials == ieee && exponent == exponent_max) {
    if (mantissa != 0) return nan;
    return sign != 0 ? -infinity : infinity;
  }
  if (format.specials == nan_only && exponent == exponent_max && mantissa + 1 == 1U << format.mantissa_bits) return nan;
  if (format.specials == fnuz && sign != 0 && exponent == 0 && mantissa == 0) return nan;
  if (exponent == 0) {
    const auto unit = std::bit_cast<double>(std::uint64_t(1024 - format.bias - format.mantissa_bits) << 52);
    return sign != 0 ? -(mantissa * unit) : mantissa * unit;
  }
  return std::bit_cast<double>(sign << 63 | std::uint64_t(exponent + 1023 - format.bias) << 52 |
                               std::uint64_t{mantissa} << (52 - format.mantissa_bits));
}

// The nearest, ties to even. What is too large becomes infinity, and NaN in formats without one; NaN is the
// format's quiet one, of the same sign. Not for formats without NaN.
constexpr std::uint32_t encode_float(const FloatFormat& format, double value) {
  using enum FloatFormat::Specials;
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const std::uint64_t magnitude = bits << 1 >> 1;
  const auto sign = static_cast<std::uint32_t>(bits >> 63) << (format.exponent_bits + format.mantissa_bits);
  const std::uint32_t infinity = ((1U << format.exponent_bits) - 1) << format.mantissa_bits;
  const std::uint32_t all_ones = infinity | ((1U << format.mantissa_bits) - 1);
  const std::uint32_t nan = format.specials == fnuz   ? all_ones + 1
                            : format.specials == ieee ? sign | infinity | 1U << (format.mantissa_bits - 1)
                                                      : sign | all_ones;
  if (magnitude > std::uint64_t{0x7ff} << 52) return nan;

  // Bits of the double's mantissa that are rounded away: more where the result is denormal.
  const int exponent = static_cast<int>(magnitude >> 52) - 1023;
  const int scaled = exponent + format.bias - 1;  // 0 at the smallest normal number
  const int shift = 52 - format.mantissa_bits - (scaled < 0 ? scaled : 0);
  std::uint64_t code = 0;
  if (shift <= 53) {
    const std::uint64_t significand = (magnitude & ((std::uint64_t{1} << 52) - 1)) | std::uint64_t{1} << 52;
    const std::uint64_t below_half = (std::uint64_t{1} << (shift - 1)) - 1;
    code = (significand + below_half + ((significand >> shift) & 1)) >> shift;
    // The leading bit of a normal number carries into the exponent, and so does a mantissa that is rounded up.
    if (scaled > 0) code += std::uint64_t(scaled) << format.mantissa_bits;
  }
  if (format.specials == ieee) {
    if (code > infinity) code = infinity;
  } else if (code > all_ones || (format.specials == nan_only && code == all_ones)) {
    return nan;
  }
  if (format.specials == fnuz && code == 0) return 0;
  return sign | static_cast<std::uint32_t>(code);
}

}  // namespace milepost
