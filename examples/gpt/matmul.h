// Matrix products, float and bfloat16 in, float out. Each element of the result is one sum, taken in
// the order of k by one thread, so its bits do not depend on the number of threads.
#pragma once

#include "examples/gpt/kernels.h"
#include "examples/gpt/parallel.h"

#include <cstdint>
#include <vector>

namespace gpt {

// A borrowed matrix of either type, which may be a part of a larger one, or transposed.
struct MatrixView {
  const float* f32 = nullptr;
  const Bf16* bf16 = nullptr;  // used when f32 is null
  std::int64_t row_stride = 0;
  std::int64_t column_stride = 1;

  static MatrixView of(const float* data, std::int64_t row_stride) { return {data, nullptr, row_stride, 1}; }
  static MatrixView of(const Bf16* data, std::int64_t row_stride) { return {nullptr, data, row_stride, 1}; }
  MatrixView transposed() const { return {f32, bf16, column_stride, row_stride}; }
};

struct Product {
  MatrixView a;  // rows x depth
  MatrixView b;  // depth x columns
  float* c;      // rows x columns
  std::int64_t c_row_stride;
  std::int64_t rows, columns, depth;
  bool accumulate = false;  // c += a b, instead of c = a b
};

// Room for the operands, packed as the kernel reads them. Grows to the largest product it has seen.
struct PackedOperands {
  std::vector<float> a;
  std::vector<float> b;
};

// On all threads of the pool. Not from inside one of its bodies.
void multiply(ThreadPool& pool, PackedOperands& scratch, const Product& product);
// On the calling thread, with scratch of its own.
void multiply(const Product& product);

}  // namespace gpt
