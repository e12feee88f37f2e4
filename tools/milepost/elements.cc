#include "tools/milepost/elements.h"

#include "milepost/engine/state/element.h"
#include "tools/milepost/text.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

namespace milepost::tool {
namespace {

std::string with_digits(double value, int digits) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.*g", digits, value);
  return text.data();
}

}  // namespace

std::string element_text(DType dtype, const std::byte* data, std::int64_t i) {
  switch (dtype) {
    case DType::boolean: return load_element<std::uint8_t>(data, i) != 0 ? "true" : "false";
    case DType::i64: return std::to_string(load_element<std::int64_t>(data, i));
    case DType::u64: return std::to_string(load_element<std::uint64_t>(data, i));
    case DType::f64: return shortest(load_element<double>(data, i));
    case DType::f32: return shortest(load_element<float>(data, i));
    case DType::f16: return with_digits(element_as_double(dtype, data, i), 5);
    case DType::bf16: return with_digits(element_as_double(dtype, data, i), 4);
    case DType::c64: {
      const float imaginary = load_element<float>(data, 2 * i + 1);
      return shortest(load_element<float>(data, 2 * i)) + (std::signbit(imaginary) ? "-" : "+") +
             shortest(std::abs(imaginary)) + "i";
    }
    default:
      return with_digits(element_as_double(dtype, data, i), is_byte_sized(dtype) && bits_of(dtype) < 64 ? 10 : 4);
  }
}

Json element_json(DType dtype, const std::byte* data, std::int64_t i) {
  switch (dtype) {
    case DType::boolean: return load_element<std::uint8_t>(data, i) != 0;
    case DType::u8:
    case DType::i8:
    case DType::i16:
    case DType::u16:
    case DType::i32:
    case DType::u32: return static_cast<std::int64_t>(element_as_double(dtype, data, i));
    case DType::i64: return load_element<std::int64_t>(data, i);
    case DType::u64: return load_element<std::uint64_t>(data, i);
    case DType::c64:
      return Json::array(
          {json_number(load_element<float>(data, 2 * i)), json_number(load_element<float>(data, 2 * i + 1))});
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
      add_numbers(count, [&](std::int64_t i) { return static_cast<double>(load_element<float>(data, i)); });
      break;
    case DType::f64: add_numbers(count, [&](std::int64_t i) { return load_element<double>(data, i); }); break;
    case DType::c64:
      add_numbers(count, [&](std::int64_t i) {
        return std::hypot(static_cast<double>(load_element<float>(data, 2 * i)),
                          static_cast<double>(load_element<float>(data, 2 * i + 1)));
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
