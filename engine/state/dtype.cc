#include "milepost/engine/state/dtype.h"

#include <array>

namespace milepost {
namespace {

struct Traits {
  std::string_view name;
  int bits;
};

// In the order of DType.
constexpr std::array<Traits, dtype_count> traits = {{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};
static_assert(traits[static_cast<int>(DType::u64)].name == "U64");

}  // namespace

std::string_view name_of(DType dtype) { return traits[static_cast<std::size_t>(dtype)].name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < traits.size(); ++i) {
    if (traits[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

int bits_of(DType dtype) { return traits[static_cast<std::size_t>(dtype)].bits; }

ElementKind element_kind_of(DType dtype) {
  switch (dtype) {
    case DType::f16: return ElementKind::f16;
    case DType::bf16: return ElementKind::bf16;
    case DType::f32:
    case DType::c64: return ElementKind::f32;  // a complex number is two floats
    case DType::f64: return ElementKind::f64;
    default: return ElementKind::other;
  }
}

}  // namespace milepost
