// The kernels and the matrix product against plain loops.
#include "examples/gpt/kernels.h"
#include "examples/gpt/matmul.h"

#include "examples/gpt/text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace gpt {
namespace {

std::vector<float> random_floats(std::int64_t count, std::uint64_t seed) {
  CounterRandom random{.seed = seed};
  std::vector<float> result(static_cast<std::size_t>(count));
  for (float& x : result) x = static_cast<float>(2 * random.next_uniform() - 1);
  return result;
}

TEST(Bf16, RoundsToNearestAndTiesToEven) {
  EXPECT_EQ(to_bf16(1.0f), 0x3F80);
  EXPECT_EQ(to_float(0x3F80), 1.0f);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F807FFFu)), 0x3F80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F808000u)), 0x3F80);  // a tie, even below
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F818000u)), 0x3F82);  // a tie, even above
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0xBF808001u)), 0xBF81);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::infinity()), 0x7F80);
}

// Sizes around those of tiles and blocks, both operands plain and transposed, float and bfloat16.
TEST(Multiply, AgreesWithPlainLoops) {
  ThreadPool pool(2);
  PackedOperands scratch;
  struct Size {
    std::int64_t rows, columns, depth;
  };
  for (const Size size : {Size{1, 1, 1}, Size{6, 32, 8}, Size{7, 33, 300}, Size{150, 65, 17}, Size{13, 128, 513}}) {
    const std::vector<float> a = random_floats(size.rows * size.depth, 1);
    const std::vector<float> b = random_floats(size.depth * size.columns, 2);
    std::vector<Bf16> b_rounded;
    for (const float x : b) b_rounded.push_back(to_bf16(x));
    const std::vector<float> before = random_floats(size.rows * size.columns, 3);
    for (int variant = 0; variant < 16; ++variant) {
      const bool a_transposed = variant & 1, b_transposed = variant & 2, rounded = variant & 4,
                 accumulate = variant & 8;
      const std::int64_t b_stride = b_transposed ? size.depth : size.columns;
      MatrixView a_view = MatrixView::of(a.data(), a_transposed ? size.rows : size.depth);
      MatrixView b_view = rounded ? MatrixView::of(b_rounded.data(), b_stride) : MatrixView::of(b.data(), b_stride);
      if (a_transposed) a_view = a_view.transposed();
      if (b_transposed) b_view = b_view.transposed();
      std::vector<float> c = before;
      std::vector<float> c_alone = before;
      Product product{a_view, b_view, c.data(), size.columns, size.rows, size.columns, size.depth, accumulate};
      multiply(pool, scratch, product);
      product.c = c_alone.data();
      multiply(product);
      EXPECT_EQ(c, c_alone) << "on the pool and on one thread, variant " << variant;
      for (std::int64_t i = 0; i < size.rows; ++i) {
        for (std::int64_t j = 0; j < size.columns; ++j) {
          const auto at = static_cast<std::size_t>(i * size.columns + j);
          double expected = accumulate ? before[at] : 0.0;
          for (std::int64_t k = 0; k < size.depth; ++k) {
            const float x = a[static_cast<std::size_t>(i * a_view.row_stride + k * a_view.column_stride)];
            const auto b_at = static_cast<std::size_t>(k * b_view.row_stride + j * b_view.column_stride);
            expected += static_cast<double>(x) * static_cast<double>(rounded ? to_float(b_rounded[b_at]) : b[b_at]);
          }
          ASSERT_NEAR(c[at], expected, 1e-4) << i << ", " << j << ", variant " << variant;
        }
      }
    }
  }
}

TEST(Gelu, AgreesWithTheFormulaAndItsDerivative) {
  std::vector<float> x = random_floats(37, 4);
  for (float& value : x) value *= 6;
  x.back() = 50;
  std::vector<float> y(x.size());
  gelu(x.data(), y.data(), std::ssize(x));
  std::vector<float> slopes(x.size(), 1.0f);
  gelu_backward(x.data(), slopes.data(), slopes.data(), std::ssize(x));
  auto formula = [](double at) {
    return 0.5 * at * (1 + std::tanh(std::sqrt(2 / M_PI) * (at + 0.044715 * at * at * at)));
  };
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    EXPECT_NEAR(y[i], formula(at), 1e-5);
    EXPECT_NEAR(slopes[i], (formula(at + 1e-5) - formula(at - 1e-5)) / 2e-5, 1e-4);
  }
}

// Every element by the same instructions, the few at the end too: so how an array is cut does not show.
TEST(Kernels, ResultsDoNotDependOnTheCut) {
  const std::vector<float> x = random_floats(101, 5);
  const AdamWFactors factors{0.9f, 0.99f, 10, 100, 1e-3f, 1e-8f, 0.1f};
  struct State {
    std::vector<float> exp, gelu, value, m, v;
    std::vector<Bf16> bf16;
    bool operator==(const State&) const = default;
  };
  auto run = [&](std::int64_t piece) {
    State s{x, x, x, x, std::vector<float>(x.size(), 0.5f), std::vector<Bf16>(x.size())};
    for (std::int64_t i = 0; i < std::ssize(x); i += piece) {
      const std::int64_t n = std::min(piece, std::ssize(x) - i);
      exp_shifted(s.exp.data() + i, n, 0.25f);
      gelu(s.gelu.data() + i, s.gelu.data() + i, n);
      adamw(factors, x.data() + i, s.value.data() + i, s.m.data() + i, s.v.data() + i, s.bf16.data() + i, n);
    }
    return s;
  };
  const State whole = run(std::ssize(x));
  for (const std::int64_t piece : {1, 7, 64}) EXPECT_TRUE(run(piece) == whole) << piece;
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(whole.exp[i], std::exp(x[i] - 0.25f), 1e-6);
    EXPECT_EQ(whole.bf16[i], to_bf16(whole.value[i]));
    EXPECT_FLOAT_EQ(whole.v[i], 0.99f * 0.5f + 0.01f * x[i] * x[i]);
  }
}

}  // namespace
}  // namespace gpt
