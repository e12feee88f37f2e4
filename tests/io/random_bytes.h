// Bytes that nothing compresses.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

namespace milepost::testing {

inline std::vector<std::byte> random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

}  // namespace milepost::testing
