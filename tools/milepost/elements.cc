#include "tools/milepost/elements.h"

#include "milepost/engine/state/float_format.h"
#include "tools/milepost/text.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

namespace milepost::tool {
namespace {

template <class T> T load(const std::byte* data, std::int64_t i) {
  T value;
  std::memcpy(&value, data + static_cast<std::size_t>(i) * sizeof(T), sizeof(T));
  return value;
}

// The element of `bits` (up to 16) at i, packed from the lowest bit of each byte up.
unsigned element_bits(const std::byte* data, std::int64_t i, int bits) {
  if (bits == 8) return load<std::uint8_t>(data, i);
  if (bits == 16) return load<std::uint16_t>(data, i);
  unsigned value = 0;
  for (int b = 0; b < bits; ++b) {
    const std::int64_t at = i * bits + b;
    value |= ((std::to_integer<unsigned>(data[at / 8]) >> (at % 8)) & 1U) << b;
  }
  return value;
}

std::string with_digits(double value, int digits) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.*g", digits, value);
  return text.data();
}

}  // namespace

double element_as_double(DType dtype, const std::byte* data, std::int64_t i) {
  switch (dtype) {
    case DType::boolean: return load<std::uint8_t>(data, i) != 0 ? 1 : 0;
    case DType::u8: return load<std::uint8_t>(data, i);
    case DType::i8: return load<std::int8_t>(data, i);
    case DType::f8_e8m0: {
      const auto exponent = load<std::uint8_t>(data, i);
      return exponent == 255 ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, exponent - 127);
    }
    case DType::i16: return load<std::int16_t>(data, i);
    case DType::u16: return load<std::uint16_t>(data, i);
    case DType::i32: return load<std::int32_t>(data, i);
    case DType::u32: return load<std::uint32_t>(data, i);
    case DType::f32: return load<float>(data, i);
    case DType::c64: return load<float>(data, 2 * i);
    case DType::f64: return load<double>(data, i);
    case DType::i64: return static_cast<double>(load<std::int64_t>(data, i));
    case DType::u64: return static_cast<double>(load<std::uint64_t>(data, i));
    default: return decode_float(float_format_of(dtype).value(), element_bits(data, i, bits_of(dtype)));
  }
}

std::string element_text(DType dtype, const std::byte* data, std::int64_t i) {
  switch (dtype) {
    case DType::boolean: return load<std::uint8_t>(data, i) != 0 ? "true" : "false";
    case DType::i64: return std::to_string(load<std::int64_t>(data, i));
    case DType::u64: return std::to_string(load<std::uint64_t>(data, i));
    case DType::f64: return shortest(load<double>(data, i));
    case DType::f32: return shortest(load<float>(data, i));
    case DType::f16: return with_digits(element_as_double(dtype, data, i), 5);
    case DType::bf16: return with_digits(element_as_double(dtype, data, i), 4);
    case DType::c64: {
      const float imaginary = load<float>(data, 2 * i + 1);
      return shortest(load<float>(data, 2 * i)) + (std::signbit(imaginary) ? "-" : "+") +
             shortest(std::abs(imaginary)) + "i";
    }
    default:
      return with_digits(element_as_double(dtype, data, i), is_byte_sized(dtype) && bits_of(dtype) < 64 ? 10 : 4);
  }
}

Json element_json(DType dtype, const std::byte* data, std::int64_t i) {
  switch (dtype) {
    case DType::boolean: return load<std::uint8_t>(data, i) != 0;
    case DType::u8:
    case DType::i8:
    case DType::i16:
    case DType::u16:
    case DType::i32:
    case DType::u32: return static_cast<std::int64_t>(element_as_double(dtype, data, i));
    case DType::i64: return load<std::int64_t>(data, i);
    case DType::u64: return load<std::uint64_t>(data, i);
    case DType::c64:
      return Json::array({json_number(load<float>(data, 2 * i)), json_number(load<float>(data, 2 * i + 1))});
    default: return json_number(element_as_double(dtype, data, i));
  }
}

void Statistics::add(const std::byte* data, std::int64_t count) {
  if (count == 0) return;
  switch (dtype_) {
    case DType::i64: add_integers(reinterpret_cast<const std::int64_t*>(data), count); break;
    case DType::u64: add_integers(reinterpret_cast<const std::uint64_t*>(data), count); break;
    // Those that are large in practice are worth a loop of their own.
    case DType::f32:
      add_numbers(count, [&](std::int64_t i) { return static_cast<double>(load<float>(data, i)); });
      break;
    case DType::f64: add_numbers(count, [&](std::int64_t i) { return load<double>(data, i); }); break;
    case DType::c64:
      add_numbers(count, [&](std::int64_t i) {
        return std::hypot(static_cast<double>(load<float>(data, 2 * i)),
                          static_cast<double>(load<float>(data, 2 * i + 1)));
      });
      break;
    default: add_numbers(count, [&](std::int64_t i) { return element_as_double(dtype_, data, i); });
  }
}

template <class T> void Statistics::add_integers(const T* data, std::int64_t count) {
  T least = count_ == 0 ? data[0] : static_cast<T>(min_signed_);
  T most = count_ == 0 ? data[0] : static_cast<T>(max_signed_);
  for (std::int64_t i = 0; i < count; ++i) {
    least = std::min(least, data[i]);
    most = std::max(most, data[i]);
  }
  min_signed_ = static_cast<std::int64_t>(least);
  max_signed_ = static_cast<std::int64_t>(most);
  add_numbers(count, [&](std::int64_t i) { return static_cast<double>(data[i]); });
}

// Two passes over the part, then joined with what was before (Chan, Golub and LeVeque): no loss of
// digits, however far the mean is from zero.
template <class At> void Statistics::add_numbers(std::int64_t count, At&& at) {
  const std::int64_t finite_before = finite();
  double sum = 0;
  std::int64_t finite_here = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = at(i);
    if (!std::isfinite(value)) {
      ++(std::isnan(value) ? nans_ : infinities_);
      continue;
    }
    if (finite_before + finite_here == 0) min_ = max_ = value;
    min_ = std::min(min_, value);
    max_ = std::max(max_, value);
    zeros_ += value == 0 ? 1 : 0;
    sum += value;
    ++finite_here;
  }
  count_ += count;
  if (finite_here == 0) return;
  const auto here = static_cast<double>(finite_here);
  const auto before = static_cast<double>(finite_before);
  const double mean_here = sum / here;
  double squares_here = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double distance = at(i) - mean_here;
    if (std::isfinite(distance)) squares_here += distance * distance;
  }
  const double apart = mean_here - mean_;
  squares_ += squares_here + apart * apart * before * here / (before + here);
  mean_ += apart * here / (before + here);
}

double Statistics::standard_deviation() const {
  return finite() > 0 ? std::sqrt(squares_ / static_cast<double>(finite())) : 0;
}

namespace {

// A number that is an element again, so that it prints as elements do.
std::string extreme_text(DType dtype, double value, std::int64_t bits) {
  switch (dtype) {
    case DType::i64: return std::to_string(bits);
    case DType::u64: return std::to_string(static_cast<std::uint64_t>(bits));
    case DType::f32: return shortest(static_cast<float>(value));
    case DType::f64: return shortest(value);
    case DType::f16: return with_digits(value, 5);
    case DType::bf16: return with_digits(value, 4);
    default: return with_digits(value, 10);
  }
}

Json extreme_json(DType dtype, double value, std::int64_t bits) {
  if (dtype == DType::i64) return bits;
  if (dtype == DType::u64) return static_cast<std::uint64_t>(bits);
  return json_number(value);
}

}  // namespace

std::string Statistics::min_text() const { return extreme_text(dtype_, min_, min_signed_); }
std::string Statistics::max_text() const { return extreme_text(dtype_, max_, max_signed_); }
Json Statistics::min_json() const { return extreme_json(dtype_, min_, min_signed_); }
Json Statistics::max_json() const { return extreme_json(dtype_, max_, max_signed_); }

}  // namespace milepost::tool
