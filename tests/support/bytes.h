// Test data that tells where it came from: a misplaced, torn or stale byte shows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace milepost::testing {

// Byte i depends on seed and on i, with no short period.
inline void fill_pattern(std::span<std::byte> into, std::uint64_t seed, std::uint64_t offset = 0) {
  for (std::size_t i = 0; i < into.size(); ++i) {
    std::uint64_t mixed = (offset + i + 1) * 0x9e3779b97f4a7c15u + seed * 0xbf58476d1ce4e5b9u;
    mixed ^= mixed >> 31;
    into[i] = static_cast<std::byte>(mixed * 0x94d049bb133111ebu >> 56);
  }
}

inline std::vector<std::byte> pattern(std::size_t bytes, std::uint64_t seed, std::uint64_t offset = 0) {
  std::vector<std::byte> data(bytes);
  fill_pattern(data, seed, offset);
  return data;
}

inline std::vector<std::byte> to_bytes(std::string_view text) {
  const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

}  // namespace milepost::testing
