#include "milepost/engine/federated/python_text.h"

#include "milepost/engine/state/element.h"
#include "milepost/engine/state/float_format.h"
#include "milepost/engine/state/strided.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace milepost {
namespace {

// "-1.25e-07" from "-1.25e-07", whatever the exponent: Python writes out what is not too far from 1.
std::string python_layout(std::string_view scientific, bool add_point) {
  const std::size_t e = scientific.find('e');
  int exponent = 0;
  const char* const digits_of_exponent = scientific.data() + e + (scientific[e + 1] == '+' ? 2 : 1);
  std::from_chars(digits_of_exponent, scientific.data() + scientific.size(), exponent);
  std::string text;
  std::string digits;
  for (const char c : scientific.substr(0, e)) {
    if (c == '-') text += c;
    if (c >= '0' && c <= '9') digits += c;
  }
  if (exponent < -4 || exponent >= 16) {
    text += digits[0];
    if (digits.size() > 1) text.append(1, '.').append(digits, 1);
    text += exponent < 0 ? "e-" : "e+";
    const std::string magnitude = std::to_string(std::abs(exponent));
    if (magnitude.size() < 2) text += '0';
    return text += magnitude;
  }
  if (exponent < 0) return text.append("0.").append(static_cast<std::size_t>(-exponent - 1), '0').append(digits);
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() > whole) return text.append(digits, 0, whole).append(1, '.').append(digits, whole);
  text.append(digits).append(whole - digits.size(), '0');
  return add_point ? text.append(".0") : text;
}

template <class Float> std::string number_text(Float value, bool add_point = true) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  return python_layout({buffer.data(), end.ptr}, add_point);
}

// As str() of a complex.
std::string complex_text(float real, float imaginary) {
  const std::string second = number_text(imaginary, false) + "j";
  if (real == 0 && !std::signbit(real)) return second;
  return "(" + number_text(real, false) + (second[0] == '-' ? "" : "+") + second + ")";
}

// The decimal of the fewest digits that is nearer to `value`, a number of that format, than to any other.
double shortest_decimal(const FloatFormat& format, std::uint32_t bits, double value) {
  constexpr int digits_max = 9;  // more than any format of 16 bits needs
  for (int digits = 1; digits <= digits_max; ++digits) {
    std::array<char, 32> buffer;
    const auto end =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific, digits - 1);
    double nearest = 0;
    std::from_chars(buffer.data(), end.ptr, nearest);
    // At a power of two the format is finer below: what is farther away may be near enough, above.
    const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - digits + 1);
    for (const double candidate : {nearest, nearest + unit, nearest - unit}) {
      std::array<char, 32> rounded;
      const auto rounded_end = std::to_chars(rounded.data(), rounded.data() + rounded.size(), candidate,
                                             std::chars_format::scientific, digits - 1);
      double decimal = 0;
      std::from_chars(rounded.data(), rounded_end.ptr, decimal);
      if (encode_float(format, decimal) == bits) return decimal;
    }
  }
  return value;
}

std::string small_float_text(DType dtype, const std::byte* data, std::int64_t i) {
  const double value = element_as_double(dtype, data, i);
  const auto format = float_format_of(dtype);
  if (!format || format->specials == FloatFormat::Specials::none || !std::isfinite(value) || value == 0) {
    return python_text(value);
  }
  return python_text(shortest_decimal(*format, element_bits(dtype, data, i), value));
}

std::string element_text(DType dtype, const std::byte* data, std::int64_t i) {
  switch (dtype) {
    case DType::boolean: return load_element<std::uint8_t>(data, i) != 0 ? "True" : "False";
    case DType::u8:
    case DType::i8:
    case DType::i16:
    case DType::u16:
    case DType::i32:
    case DType::u32: return std::to_string(static_cast<std::int64_t>(element_as_double(dtype, data, i)));
    case DType::i64: return std::to_string(load_element<std::int64_t>(data, i));
    case DType::u64: return std::to_string(load_element<std::uint64_t>(data, i));
    case DType::f32: return python_text(load_element<float>(data, i));
    case DType::f64: return python_text(load_element<double>(data, i));
    case DType::c64: return complex_text(load_element<float>(data, 2 * i), load_element<float>(data, 2 * i + 1));
    default: return small_float_text(dtype, data, i);
  }
}

// The elements of a tensor as nested lists.
class TensorText {
 public:
  explicit TensorText(const Tensor& tensor)
      : tensor_(tensor),
        is_contiguous_(tensor.is_contiguous()),
        gathered_(is_contiguous_ ? 0 : gathered_count_max * (bits_of(tensor.dtype()) / 8)) {
    // No element takes less than "0, ": if there is no memory for so much, nothing is begun.
    text.reserve(3 * static_cast<std::size_t>(tensor.element_count()));
    append(0);
  }

  std::string text;

 private:
  static constexpr std::int64_t gathered_count_max = 1024;

  void append(std::size_t dimension) {
    if (dimension == tensor_.shape().size()) {
      append_next();
      return;
    }
    text += '[';
    for (std::int64_t i = 0; i < tensor_.shape()[dimension]; ++i) {
      if (i > 0) text += ", ";
      append(dimension + 1);
    }
    text += ']';
  }

  void append_next() {
    const std::int64_t i = next_++;
    if (is_contiguous_) {
      text += element_text(tensor_.dtype(), tensor_.data(), i);
      return;
    }
    const std::int64_t at = i % gathered_count_max;
    if (at == 0) gather(tensor_, i, std::min(gathered_count_max, tensor_.element_count() - i), gathered_.data());
    text += element_text(tensor_.dtype(), gathered_.data(), at);
  }

  const Tensor& tensor_;
  const bool is_contiguous_;
  std::vector<std::byte> gathered_;  // the elements around the next one
  std::int64_t next_ = 0;
};

std::string bytes_text(const Tree::Bytes& bytes) {
  static constexpr char hex[] = "0123456789abcdef";
  const std::string_view raw(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const char quote = raw.find('\'') != raw.npos && raw.find('"') == raw.npos ? '"' : '\'';
  std::string text = {'b', quote};
  for (const char c : raw) {
    const auto code = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      text += {'\\', c};
    } else if (c == '\t' || c == '\n' || c == '\r') {
      text += {'\\', c == '\t' ? 't' : c == '\n' ? 'n' : 'r'};
    } else if (code < 0x20 || code >= 0x7F) {
      text += {'\\', 'x', hex[code >> 4], hex[code & 15]};
    } else {
      text += c;
    }
  }
  return text += quote;
}

struct LeafText {
  std::string operator()(std::nullptr_t) const { return {}; }
  std::string operator()(bool value) const { return value ? "True" : "False"; }
  std::string operator()(std::int64_t value) const { return std::to_string(value); }
  std::string operator()(std::uint64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return python_text(value); }
  std::string operator()(const std::string& value) const { return value; }
  std::string operator()(const Tree::Bytes& value) const { return bytes_text(value); }
  std::string operator()(const Tensor& value) const { return std::move(TensorText(value).text); }
  std::string operator()(const Tree::List&) const { return {}; }  // no leaf
  std::string operator()(const Tree::Map&) const { return {}; }
};

}  // namespace

std::string python_text(double value) { return number_text(value); }
std::string python_text(float value) { return number_text(value); }
std::string python_text(const Tree& leaf) { return std::visit(LeafText(), leaf.value()); }

}  // namespace milepost
