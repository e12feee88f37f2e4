// The inner loops, compiled for every SIMD target that Highway knows and chosen at run time. The
// result of an element depends on the machine, and on nothing else: not on its place in the array,
// nor on how the array was cut.
#pragma once

#include <bit>
#include <cstdint>

namespace gpt {

// A bfloat16, by its bits: the upper half of a float.
using Bf16 = std::uint16_t;

// Rounded to nearest, ties to even. Meant for weights: NaN is not kept NaN.
inline Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<Bf16>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
inline float to_float(Bf16 value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16); }

// The tile of a matrix product that is kept in registers: tile_rows x tile_columns().
inline constexpr std::int64_t tile_rows = 6;
inline constexpr std::int64_t tile_columns_max = 128;
// Two vectors: 8 to tile_columns_max, by the machine.
std::int64_t tile_columns();

// c[i][j] (+)= sum over k, in order, of a[k][i] * b[k][j], for a whole tile. a and b are packed: rows of
// tile_rows and of tile_columns() values.
void multiply_tile(std::int64_t depth, const float* a, const float* b, float* c, std::int64_t c_row_stride,
                   bool accumulate);

// x[i] = exp(x[i] - shift)
void exp_shifted(float* x, std::int64_t count, float shift);

// GELU in its tanh form, and its derivative: dx[i] = dy[i] * gelu'(x[i]). dx may be dy.
void gelu(const float* x, float* y, std::int64_t count);
void gelu_backward(const float* x, const float* dy, float* dx, std::int64_t count);

struct AdamWFactors {
  float beta1;
  float beta2;
  float correction1;  // 1 / (1 - beta1^t)
  float correction2;  // 1 / (1 - beta2^t)
  float learning_rate;
  float epsilon;
  float decay;
};
// One step of AdamW on the master weights and both moments, and the weights' bfloat16 copy.
void adamw(const AdamWFactors& factors, const float* gradient, float* value, float* m, float* v, Bf16* bf16,
           std::int64_t count);

}  // namespace gpt
