#include "milepost/engine/state/cast.h"

#include "milepost/engine/state/float_format.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <type_traits>
#include <utility>

namespace milepost {
namespace {

template <class T> T load(const std::byte* elements, std::size_t i) {
  T value;
  std::memcpy(&value, elements + i * sizeof(T), sizeof(T));
  return value;
}

template <class T> void store(T value, std::byte* elements, std::size_t i) {
  std::memcpy(elements + i * sizeof(T), &value, sizeof(T));
}

template <DType dtype> using Constant = std::integral_constant<DType, dtype>;

// Calls fn(Constant<dtype>) if that is a float that can be cast; whether it is.
template <class Fn> bool with_float(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::f64: return fn(Constant<DType::f64>()), true;
    case DType::f32: return fn(Constant<DType::f32>()), true;
    case DType::bf16: return fn(Constant<DType::bf16>()), true;
    case DType::f16: return fn(Constant<DType::f16>()), true;
    case DType::f8_e5m2: return fn(Constant<DType::f8_e5m2>()), true;
    case DType::f8_e4m3: return fn(Constant<DType::f8_e4m3>()), true;
    case DType::f8_e5m2fnuz: return fn(Constant<DType::f8_e5m2fnuz>()), true;
    case DType::f8_e4m3fnuz: return fn(Constant<DType::f8_e4m3fnuz>()), true;
    default: return false;
  }
}

// Calls fn(T()) with the C++ type of an integer or bool; whether it is one.
template <class Fn> bool with_integer(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::boolean: return fn(bool()), true;
    case DType::u8: return fn(std::uint8_t()), true;
    case DType::i8: return fn(std::int8_t()), true;
    case DType::u16: return fn(std::uint16_t()), true;
    case DType::i16: return fn(std::int16_t()), true;
    case DType::u32: return fn(std::uint32_t()), true;
    case DType::i32: return fn(std::int32_t()), true;
    case DType::u64: return fn(std::uint64_t()), true;
    case DType::i64: return fn(std::int64_t()), true;
    default: return false;
  }
}

bool is_float(DType dtype) {
  return with_float(dtype, [](auto) {});
}
bool is_integer(DType dtype) {
  return with_integer(dtype, [](auto) {});
}

// --- Floats: by way of doubles, which hold all of them.

template <DType dtype> void to_doubles(const std::byte* elements, double* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if constexpr (dtype == DType::f64) {
      values[i] = load<double>(elements, i);
    } else if constexpr (dtype == DType::f32) {
      values[i] = static_cast<double>(load<float>(elements, i));
    } else {
      constexpr FloatFormat format = *float_format_of(dtype);
      using Bits = std::conditional_t<format.exponent_bits + format.mantissa_bits == 15, std::uint16_t, std::uint8_t>;
      values[i] = decode_float(format, load<Bits>(elements, i));
    }
  }
}

template <DType dtype> void from_doubles(const double* values, std::byte* elements, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if constexpr (dtype == DType::f64) {
      store(values[i], elements, i);
    } else if constexpr (dtype == DType::f32) {
      store(static_cast<float>(values[i]), elements, i);
    } else {
      constexpr FloatFormat format = *float_format_of(dtype);
      using Bits = std::conditional_t<format.exponent_bits + format.mantissa_bits == 15, std::uint16_t, std::uint8_t>;
      store(static_cast<Bits>(encode_float(format, values[i])), elements, i);
    }
  }
}

void cast_floats(DType from, const std::byte* elements, DType to, std::byte* result, std::size_t count) {
  std::array<double, 512> values;  // stays in the first cache
  const std::size_t from_bytes = static_cast<std::size_t>(bits_of(from)) / 8;
  const std::size_t to_bytes = static_cast<std::size_t>(bits_of(to)) / 8;
  for (std::size_t done = 0; done < count;) {
    const std::size_t block = std::min(values.size(), count - done);
    with_float(from, [&](auto type) { to_doubles<type.value>(elements + done * from_bytes, values.data(), block); });
    with_float(to, [&](auto type) { from_doubles<type.value>(values.data(), result + done * to_bytes, block); });
    done += block;
  }
}

// --- Integers.

template <class From, class To>
std::optional<CastMisfit> cast_integers(const std::byte* elements, std::byte* result, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<From, bool>) {
      store(static_cast<To>(load<std::uint8_t>(elements, i) != 0), result, i);
    } else {
      const From value = load<From>(elements, i);
      bool fits = false;
      if constexpr (std::is_same_v<To, bool>) {
        fits = value == 0 || value == 1;
      } else {
        fits = std::in_range<To>(value);
      }
      if (!fits) return CastMisfit{i, std::to_string(value)};
      store(static_cast<To>(value), result, i);
    }
  }
  return std::nullopt;
}

}  // namespace

bool can_cast(DType from, DType to) { return (is_float(from) && is_float(to)) || (is_integer(from) && is_integer(to)); }

std::optional<CastMisfit> cast(DType from, const std::byte* elements, DType to, std::byte* result, std::size_t count) {
  assert(can_cast(from, to));
  if (from == to) {
    std::copy_n(elements, count * static_cast<std::size_t>(bits_of(from)) / 8, result);
    return std::nullopt;
  }
  if (is_float(from)) {
    cast_floats(from, elements, to, result, count);
    return std::nullopt;
  }
  std::optional<CastMisfit> misfit;
  with_integer(from, [&](auto from_type) {
    with_integer(to, [&](auto to_type) {
      misfit = cast_integers<decltype(from_type), decltype(to_type)>(elements, result, count);
    });
  });
  return misfit;
}

}  // namespace milepost
