#include "milepost/engine/state/element.h"

#include "milepost/engine/state/float_format.h"

#include <cmath>
#include <limits>

namespace milepost {

std::uint32_t element_bits(DType dtype, const std::byte* data, std::int64_t i) {
  const int bits = bits_of(dtype);
  if (bits == 8) return load_element<std::uint8_t>(data, i);
  if (bits == 16) return load_element<std::uint16_t>(data, i);
  std::uint32_t value = 0;
  for (int b = 0; b < bits; ++b) {
    const std::int64_t at = i * bits + b;
    value |= ((std::to_integer<std::uint32_t>(data[at / 8]) >> (at % 8)) & 1U) << b;
  }
  return value;
}

double element_as_double(DType dtype, const std::byte* data, std::int64_t i) {
  switch (dtype) {
    case DType::boolean: return load_element<std::uint8_t>(data, i) != 0 ? 1 : 0;
    case DType::u8: return load_element<std::uint8_t>(data, i);
    case DType::i8: return load_element<std::int8_t>(data, i);
    case DType::f8_e8m0: {
      const auto exponent = load_element<std::uint8_t>(data, i);
      return exponent == 255 ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, exponent - 127);
    }
    case DType::i16: return load_element<std::int16_t>(data, i);
    case DType::u16: return load_element<std::uint16_t>(data, i);
    case DType::i32: return load_element<std::int32_t>(data, i);
    case DType::u32: return load_element<std::uint32_t>(data, i);
    case DType::f32: return load_element<float>(data, i);
    case DType::c64: return load_element<float>(data, 2 * i);
    case DType::f64: return load_element<double>(data, i);
    case DType::i64: return static_cast<double>(load_element<std::int64_t>(data, i));
    case DType::u64: return static_cast<double>(load_element<std::uint64_t>(data, i));
    default: return decode_float(float_format_of(dtype).value(), element_bits(dtype, data, i));
  }
}

}  // namespace milepost
