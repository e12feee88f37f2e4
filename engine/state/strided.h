// Moving bytes between packed, row-major order and strided tensors, whole or in part.
#pragma once

#include "milepost/engine/state/tensor.h"

#include <cstddef>
#include <cstdint>

namespace milepost {

// Copies elements [first, first + count) of the packed order of `tensor` from or to packed bytes.
// The tensor has memory, has passed check(), and is byte-sized unless it is contiguous and the range whole.
void gather(const Tensor& tensor, std::int64_t first, std::int64_t count, std::byte* packed);
void scatter(const std::byte* packed, const Tensor& tensor, std::int64_t first, std::int64_t count);

// Sets every byte of every element to zero; of a byte-sized tensor with memory, that has passed check().
void fill_zero(const Tensor& tensor);

// The part [start, start + extent) of a tensor, as a view of the same memory.
Tensor slice(const Tensor& tensor, const Shape& start, const Shape& extent);

// The box [start, start + extent) inside the packed order of a tensor of shape `whole`: it consists of
// count() runs of run_elements() adjacent elements each, at ascending offsets.
class BoxRuns {
 public:
  BoxRuns(const Shape& whole, const Shape& start, const Shape& extent);

  std::int64_t count() const { return count_; }
  std::int64_t run_elements() const { return run_elements_; }
  // First element of a run in the packed order of the whole.
  std::int64_t offset(std::int64_t run) const;
  // The first run that ends behind `element`; count() if none does.
  std::int64_t first_ending_after(std::int64_t element) const;

 private:
  Shape outer_extent_;  // of the dimensions that runs are counted over
  Strides outer_stride_;
  std::int64_t base_ = 0;
  std::int64_t run_elements_ = 1;
  std::int64_t count_ = 1;
};

}  // namespace milepost
