// Made-up training state that codes like the real one: deterministic, and quick to make.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace milepost::sample {

// splitmix64, and normal variates made of it.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  double uniform() { return (static_cast<double>(bits() >> 11) + 0.5) * 0x1p-53; }
  double normal() {  // Box and Muller's; the second variate is kept for the next call
    if (kept_) return std::exchange(kept_, false) ? second_ : 0;
    const double radius = std::sqrt(-2 * std::log(uniform()));
    const double angle = 6.283185307179586 * uniform();
    second_ = radius * std::sin(angle);
    kept_ = true;
    return radius * std::cos(angle);
  }

 private:
  std::uint64_t state_;
  double second_ = 0;
  bool kept_ = false;
};

inline std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// For finite values within the range of fp16; what is below its normal range becomes zero or denormal.
inline std::uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  const float magnitude = std::fabs(value);
  if (magnitude < 0x1p-14f) return static_cast<std::uint16_t>(sign | std::lrint(magnitude * 0x1p24f));
  const std::uint32_t rebased = (bits & 0x7FFFFFFF) - (112u << 23);
  return static_cast<std::uint16_t>(sign | (rebased + 0xFFF + (rebased >> 13 & 1)) >> 13);
}

constexpr std::size_t row = 768;

// Weights of linear layers: normal, each row with a scale of its own.
template <class T = float> std::vector<T> weights(std::size_t count, std::uint64_t seed = 1) {
  Random random(seed);
  std::vector<T> values(count);
  double scale = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % row == 0) scale = 0.02 * std::exp(0.3 * random.normal());
    values[i] = static_cast<T>(scale * random.normal());
  }
  return values;
}

// Adam's first moment: as weights, with wider scales.
inline std::vector<float> first_moment(std::size_t count, std::uint64_t seed = 2) {
  Random random(seed);
  std::vector<float> values(count);
  double scale = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % row == 0) scale = 1e-5 * std::exp(0.7 * random.normal());
    values[i] = static_cast<float>(scale * std::exp(0.2 * random.normal()) * random.normal());
  }
  return values;
}

// Adam's second moment: a running mean of squares, all positive.
inline std::vector<float> second_moment(std::size_t count, std::uint64_t seed = 3) {
  Random random(seed);
  std::vector<float> values(count);
  double scale = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % row == 0) scale = 1e-9 * std::exp(0.6 * random.normal());
    values[i] = static_cast<float>(scale * std::exp(0.5 * random.normal()));
  }
  return values;
}

template <class T> std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

template <class Function> auto map(const std::vector<float>& values, Function function) {
  std::vector<decltype(function(0.0f))> mapped(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) mapped[i] = function(values[i]);
  return mapped;
}

// "p", "m", "v" (fp32), "bf16", "fp16", "f64", "bf16_in_f32", "sparse" (fp32, nine zeros in ten),
// "zero_rows" (fp32, two rows in three), "zeros", "random", "text": about `bytes` bytes of it.
inline std::vector<std::byte> make(std::string_view kind, std::size_t bytes) {
  const std::size_t count = bytes / sizeof(float);
  if (kind == "p") return bytes_of(weights(count));
  if (kind == "m") return bytes_of(first_moment(count));
  if (kind == "v") return bytes_of(second_moment(count));
  if (kind == "bf16") return bytes_of(map(weights(2 * count), to_bf16));
  if (kind == "fp16") return bytes_of(map(weights(2 * count), to_f16));
  if (kind == "f64") return bytes_of(weights<double>(count / 2));
  if (kind == "bf16_in_f32") {
    return bytes_of(map(weights(count), [](float x) { return std::uint32_t{to_bf16(x)} << 16; }));
  }
  if (kind == "sparse") {
    Random random(5);
    return bytes_of(map(weights(count), [&](float x) { return random.uniform() < 0.9 ? 0.0f : x; }));
  }
  if (kind == "zero_rows") {
    auto values = weights(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = i / row % 3 == 0 ? values[i] : 0;
    return bytes_of(values);
  }
  std::vector<std::byte> data(count * sizeof(float));
  if (kind == "random" || kind == "text") {
    Random random(6);
    const auto letter = [&](std::uint64_t r) {
      return kind == "text" ? "etaoin shrdlu   "[r % 16] : static_cast<char>(r);
    };
    for (auto& byte : data) byte = static_cast<std::byte>(letter(random.bits() >> 20));
  }
  return data;
}

}  // namespace milepost::sample
