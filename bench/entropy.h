// What an order-0 entropy coder could make of a chunk at best: the limit of `fast`.
#pragma once

#include "milepost/io/codec/codec.h"
#include "milepost/io/codec/float_planes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace milepost::bench {

inline std::size_t element_bytes_of(ElementKind kind) {
  switch (kind) {
    case ElementKind::f16:
    case ElementKind::bf16: return 2;
    case ElementKind::f32: return 4;
    case ElementKind::f64: return 8;
    case ElementKind::other: return 1;
  }
  return 1;
}

inline double plane_entropy_bytes(const std::array<std::size_t, 256>& histogram, std::size_t count) {
  double bits = 0;
  for (const std::size_t n : histogram) {
    if (n != 0) bits -= static_cast<double>(n) * std::log2(static_cast<double>(n) / static_cast<double>(count));
  }
  return bits / 8;
}

// The sum over the byte planes of every piece, rotated (sign last) or not as is smaller, of the entropy
// of their bytes.
inline double order0_bytes(std::span<const std::byte> data, ElementKind kind) {
  const std::size_t element_bytes = element_bytes_of(kind);
  const std::size_t piece_bytes = piece_elements * element_bytes;
  double total = 0;
  for (std::size_t at = 0; at < data.size(); at += piece_bytes) {
    const auto piece = data.subspan(at, std::min(piece_bytes, data.size() - at));
    const std::size_t count = piece.size() / element_bytes;
    double best = -1;
    for (const bool rotate : {false, true}) {
      std::array<std::array<std::size_t, 256>, element_bytes_max> histograms{};
      for (std::size_t i = 0; i < count; ++i) {
        std::uint64_t word = 0;
        std::memcpy(&word, piece.data() + i * element_bytes, element_bytes);
        if (rotate) word = word << 1 | word >> (8 * element_bytes - 1);
        for (std::size_t k = 0; k < element_bytes; ++k) ++histograms[k][word >> (8 * k) & 0xFF];
      }
      double size = 0;
      for (std::size_t k = 0; k < element_bytes; ++k) size += plane_entropy_bytes(histograms[k], count);
      best = best < 0 ? size : std::min(best, size);
    }
    total += best;
  }
  return total;
}

}  // namespace milepost::bench
