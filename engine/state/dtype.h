// Element types: those of safetensors, under its names.
#pragma once

#include "milepost/io/codec/codec.h"

#include <complex>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace milepost {

enum class DType : std::uint8_t {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64
};
inline constexpr int dtype_count = 22;

// "BOOL", "F4", ..., "U64": the names in safetensors headers and in manifests.
std::string_view name_of(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);

// Bits of one element: 4, 6, 8, 16, 32 or 64. Elements under 8 bits are packed.
int bits_of(DType dtype);
// Whether an element is a whole number of bytes, so that a tensor of it can have strides.
inline bool is_byte_sized(DType dtype) { return bits_of(dtype) % 8 == 0; }
// How a chunk of such elements is coded.
ElementKind element_kind_of(DType dtype);

// The DType of a C++ arithmetic type. f16, bf16 and narrower floats have none: name them.
template <class T> struct DTypeOf;
template <> struct DTypeOf<bool> { static constexpr DType value = DType::boolean; };
template <> struct DTypeOf<std::int8_t> { static constexpr DType value = DType::i8; };
template <> struct DTypeOf<std::uint8_t> { static constexpr DType value = DType::u8; };
template <> struct DTypeOf<std::int16_t> { static constexpr DType value = DType::i16; };
template <> struct DTypeOf<std::uint16_t> { static constexpr DType value = DType::u16; };
template <> struct DTypeOf<std::int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<std::uint32_t> { static constexpr DType value = DType::u32; };
template <> struct DTypeOf<std::int64_t> { static constexpr DType value = DType::i64; };
template <> struct DTypeOf<std::uint64_t> { static constexpr DType value = DType::u64; };
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };
template <> struct DTypeOf<std::complex<float>> { static constexpr DType value = DType::c64; };

}  // namespace milepost
