#include "examples/gpt/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "examples/gpt/kernels.cc"
#include <hwy/foreach_target.h>  // includes this file once a target

#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace gpt::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using Vec = hn::Vec<Floats>;

// Calls step(offset) for whole vectors. The rest goes through buffers of a whole vector each, so that
// the last elements see the same instructions as all the others: rest(offset, left).
template <class Step, class Rest> HWY_INLINE void by_vectors(std::int64_t count, Step step, Rest rest) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(Floats()));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) step(i);
  if (i < count) rest(i, count - i);
}

template <class T> HWY_INLINE void copy_few(const T* from, T* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = from[i];
}

std::int64_t tile_columns() { return static_cast<std::int64_t>(2 * hn::Lanes(Floats())); }

// The accumulators are named, not an array: vectors of some targets have no size at compile time.
HWY_INLINE void store_row(Vec left, Vec right, float* c, bool accumulate) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  if (accumulate) {
    left = hn::Add(hn::LoadU(d, c), left);
    right = hn::Add(hn::LoadU(d, c + lanes), right);
  }
  hn::StoreU(left, d, c);
  hn::StoreU(right, d, c + lanes);
}

void multiply_tile(std::int64_t depth, const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, float* HWY_RESTRICT c,
                   std::int64_t c_row_stride, bool accumulate) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  Vec c00 = hn::Zero(d), c01 = hn::Zero(d), c10 = hn::Zero(d), c11 = hn::Zero(d);
  Vec c20 = hn::Zero(d), c21 = hn::Zero(d), c30 = hn::Zero(d), c31 = hn::Zero(d);
  Vec c40 = hn::Zero(d), c41 = hn::Zero(d), c50 = hn::Zero(d), c51 = hn::Zero(d);
  for (std::int64_t k = 0; k < depth; ++k) {
    const Vec b0 = hn::LoadU(d, b);
    const Vec b1 = hn::LoadU(d, b + lanes);
    Vec ai = hn::Set(d, a[0]);
    c00 = hn::MulAdd(ai, b0, c00);
    c01 = hn::MulAdd(ai, b1, c01);
    ai = hn::Set(d, a[1]);
    c10 = hn::MulAdd(ai, b0, c10);
    c11 = hn::MulAdd(ai, b1, c11);
    ai = hn::Set(d, a[2]);
    c20 = hn::MulAdd(ai, b0, c20);
    c21 = hn::MulAdd(ai, b1, c21);
    ai = hn::Set(d, a[3]);
    c30 = hn::MulAdd(ai, b0, c30);
    c31 = hn::MulAdd(ai, b1, c31);
    ai = hn::Set(d, a[4]);
    c40 = hn::MulAdd(ai, b0, c40);
    c41 = hn::MulAdd(ai, b1, c41);
    ai = hn::Set(d, a[5]);
    c50 = hn::MulAdd(ai, b0, c50);
    c51 = hn::MulAdd(ai, b1, c51);
    a += tile_rows;
    b += 2 * lanes;
  }
  store_row(c00, c01, c, accumulate);
  store_row(c10, c11, c + c_row_stride, accumulate);
  store_row(c20, c21, c + 2 * c_row_stride, accumulate);
  store_row(c30, c31, c + 3 * c_row_stride, accumulate);
  store_row(c40, c41, c + 4 * c_row_stride, accumulate);
  store_row(c50, c51, c + 5 * c_row_stride, accumulate);
}

void exp_shifted(float* x, std::int64_t count, float shift) {
  const Floats d;
  const Vec shift_all = hn::Set(d, shift);
  auto step = [&](float* at) HWY_ATTR { hn::StoreU(hn::Exp(d, hn::Sub(hn::LoadU(d, at), shift_all)), d, at); };
  by_vectors(
      count, [&](std::int64_t i) HWY_ATTR { step(x + i); },
      [&](std::int64_t i, std::int64_t left) HWY_ATTR {
        HWY_ALIGN float buffer[hn::MaxLanes(d)] = {};
        copy_few(x + i, buffer, left);
        step(buffer);
        copy_few(buffer, x + i, left);
      });
}

constexpr float gelu_scale = 0.7978845608f;  // sqrt(2 / pi)
constexpr float gelu_cubic = 0.044715f;

HWY_INLINE Vec gelu_tanh(Vec x) {
  const Floats d;
  const Vec inner = hn::MulAdd(hn::Mul(hn::Set(d, gelu_cubic), hn::Mul(x, x)), x, x);
  // tanh(u) = 1 - 2 / (exp(2u) + 1), which is 1 long before the exponential overflows.
  const Vec e = hn::Exp(d, hn::Min(hn::Mul(hn::Set(d, 2 * gelu_scale), inner), hn::Set(d, 40.0f)));
  const Vec one = hn::Set(d, 1.0f);
  return hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(e, one)));
}

HWY_INLINE void gelu_step(const float* x, float* y) {
  const Floats d;
  const Vec value = hn::LoadU(d, x);
  const Vec half = hn::Mul(hn::Set(d, 0.5f), value);
  hn::StoreU(hn::MulAdd(half, gelu_tanh(value), half), d, y);
}

void gelu(const float* x, float* y, std::int64_t count) {
  by_vectors(
      count, [&](std::int64_t i) HWY_ATTR { gelu_step(x + i, y + i); },
      [&](std::int64_t i, std::int64_t left) HWY_ATTR {
        HWY_ALIGN float buffer[hn::MaxLanes(Floats())] = {};
        copy_few(x + i, buffer, left);
        gelu_step(buffer, buffer);
        copy_few(buffer, y + i, left);
      });
}

HWY_INLINE void gelu_backward_step(const float* x, const float* dy, float* dx) {
  const Floats d;
  const Vec one = hn::Set(d, 1.0f);
  const Vec half = hn::Set(d, 0.5f);
  const Vec value = hn::LoadU(d, x);
  const Vec t = gelu_tanh(value);
  // d/dx of scale * (x + cubic * x^3)
  const Vec slope = hn::Mul(hn::Set(d, gelu_scale), hn::MulAdd(hn::Set(d, 3 * gelu_cubic), hn::Mul(value, value), one));
  const Vec through_tanh = hn::Mul(hn::Mul(hn::Mul(half, value), hn::NegMulAdd(t, t, one)), slope);
  const Vec derivative = hn::MulAdd(half, hn::Add(one, t), through_tanh);
  hn::StoreU(hn::Mul(hn::LoadU(d, dy), derivative), d, dx);
}

void gelu_backward(const float* x, const float* dy, float* dx, std::int64_t count) {
  by_vectors(
      count, [&](std::int64_t i) HWY_ATTR { gelu_backward_step(x + i, dy + i, dx + i); },
      [&](std::int64_t i, std::int64_t left) HWY_ATTR {
        HWY_ALIGN float x_buffer[hn::MaxLanes(Floats())] = {};
        HWY_ALIGN float dy_buffer[hn::MaxLanes(Floats())] = {};
        copy_few(x + i, x_buffer, left);
        copy_few(dy + i, dy_buffer, left);
        gelu_backward_step(x_buffer, dy_buffer, dy_buffer);
        copy_few(dy_buffer, dx + i, left);
      });
}

HWY_INLINE void adamw_step(const AdamWFactors& f, const float* gradient, float* value, float* m, float* v, Bf16* bf16) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> du32;
  const hn::Rebind<std::uint16_t, Floats> du16;
  const Vec g = hn::LoadU(d, gradient);
  const Vec m_old = hn::LoadU(d, m);
  const Vec v_old = hn::LoadU(d, v);
  const Vec p_old = hn::LoadU(d, value);
  const Vec m_new = hn::MulAdd(hn::Set(d, 1 - f.beta1), hn::Sub(g, m_old), m_old);
  const Vec v_new = hn::MulAdd(hn::Set(d, 1 - f.beta2), hn::Sub(hn::Mul(g, g), v_old), v_old);
  const Vec root = hn::Add(hn::Sqrt(hn::Mul(v_new, hn::Set(d, f.correction2))), hn::Set(d, f.epsilon));
  const Vec direction = hn::Div(hn::Mul(m_new, hn::Set(d, f.correction1)), root);
  const Vec p_new =
      hn::NegMulAdd(hn::Set(d, f.learning_rate), hn::MulAdd(hn::Set(d, f.decay), p_old, direction), p_old);
  hn::StoreU(m_new, d, m);
  hn::StoreU(v_new, d, v);
  hn::StoreU(p_new, d, value);
  const auto bits = hn::BitCast(du32, p_new);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du32, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du32, 0x7FFF)), odd));
  hn::StoreU(hn::TruncateTo(du16, rounded), du16, bf16);
}

void adamw(const AdamWFactors& factors, const float* gradient, float* value, float* m, float* v, Bf16* bf16,
           std::int64_t count) {
  by_vectors(
      count, [&](std::int64_t i) HWY_ATTR { adamw_step(factors, gradient + i, value + i, m + i, v + i, bf16 + i); },
      [&](std::int64_t i, std::int64_t left) HWY_ATTR {
        constexpr std::size_t lanes_max = hn::MaxLanes(Floats());
        HWY_ALIGN float buffers[4][lanes_max] = {};
        HWY_ALIGN Bf16 bf16_buffer[lanes_max] = {};
        copy_few(gradient + i, buffers[0], left);
        copy_few(value + i, buffers[1], left);
        copy_few(m + i, buffers[2], left);
        copy_few(v + i, buffers[3], left);
        adamw_step(factors, buffers[0], buffers[1], buffers[2], buffers[3], bf16_buffer);
        copy_few(buffers[1], value + i, left);
        copy_few(buffers[2], m + i, left);
        copy_few(buffers[3], v + i, left);
        copy_few(bf16_buffer, bf16 + i, left);
      });
}

}  // namespace gpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gpt {

HWY_EXPORT(tile_columns);
HWY_EXPORT(multiply_tile);
HWY_EXPORT(exp_shifted);
HWY_EXPORT(gelu);
HWY_EXPORT(gelu_backward);
HWY_EXPORT(adamw);

std::int64_t tile_columns() { return HWY_DYNAMIC_DISPATCH(tile_columns)(); }

void multiply_tile(std::int64_t depth, const float* a, const float* b, float* c, std::int64_t c_row_stride,
                   bool accumulate) {
  HWY_DYNAMIC_DISPATCH(multiply_tile)(depth, a, b, c, c_row_stride, accumulate);
}

void exp_shifted(float* x, std::int64_t count, float shift) { HWY_DYNAMIC_DISPATCH(exp_shifted)(x, count, shift); }

void gelu(const float* x, float* y, std::int64_t count) { HWY_DYNAMIC_DISPATCH(gelu)(x, y, count); }

void gelu_backward(const float* x, const float* dy, float* dx, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(gelu_backward)(x, dy, dx, count);
}

void adamw(const AdamWFactors& factors, const float* gradient, float* value, float* m, float* v, Bf16* bf16,
           std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(adamw)(factors, gradient, value, m, v, bf16, count);
}

}  // namespace gpt
#endif  // HWY_ONCE
