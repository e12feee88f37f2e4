#include "milepost/engine/state/strided.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace milepost {
namespace {

// Moves `count` elements between a packed run and a strided one.
template <bool to_packed, std::size_t width>
void move_run(std::byte* packed, std::byte* strided, std::int64_t stride_bytes, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i, packed += width, strided += stride_bytes) {
    if constexpr (to_packed) {
      std::memcpy(packed, strided, width);
    } else {
      std::memcpy(strided, packed, width);
    }
  }
}

template <bool to_packed>
void move_run(std::size_t width, std::byte* packed, std::byte* strided, std::int64_t stride, std::int64_t count) {
  const auto step = stride * static_cast<std::int64_t>(width);
  if (stride == 1) {
    if constexpr (to_packed) {
      std::memcpy(packed, strided, width * count);
    } else {
      std::memcpy(strided, packed, width * count);
    }
    return;
  }
  switch (width) {
    case 1: return move_run<to_packed, 1>(packed, strided, step, count);
    case 2: return move_run<to_packed, 2>(packed, strided, step, count);
    case 4: return move_run<to_packed, 4>(packed, strided, step, count);
    default: assert(width == 8); return move_run<to_packed, 8>(packed, strided, step, count);
  }
}

template <bool to_packed> void move(std::byte* packed, const Tensor& tensor, std::int64_t first, std::int64_t count) {
  if (count == 0) return;
  const std::size_t width = static_cast<std::size_t>(bits_of(tensor.dtype())) / 8;
  const Shape& shape = tensor.shape();
  const Strides& strides = tensor.strides();
  if (shape.empty()) return move_run<to_packed>(width, packed, tensor.data(), 1, 1);

  // The position of `first`, then row after row of the innermost dimension.
  const std::size_t rank = shape.size();
  Shape index(rank);
  std::int64_t rest = first;
  for (std::size_t d = rank; d-- > 0;) {
    index[d] = rest % shape[d];
    rest /= shape[d];
  }
  while (count > 0) {
    std::int64_t position = 0;
    for (std::size_t d = 0; d < rank; ++d) position += index[d] * strides[d];
    const std::int64_t run = std::min(count, shape[rank - 1] - index[rank - 1]);
    move_run<to_packed>(width, packed, tensor.data() + position * static_cast<std::int64_t>(width), strides[rank - 1],
                        run);
    packed += run * static_cast<std::int64_t>(width);
    count -= run;
    index[rank - 1] = 0;
    for (std::size_t d = rank - 1; d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
}

}  // namespace

void gather(const Tensor& tensor, std::int64_t first, std::int64_t count, std::byte* packed) {
  if (tensor.is_contiguous()) {
    const std::uint64_t bits = bits_of(tensor.dtype());
    std::memcpy(packed, tensor.data() + first * bits / 8, count * bits / 8);
    return;
  }
  move<true>(packed, tensor, first, count);
}

void scatter(const std::byte* packed, const Tensor& tensor, std::int64_t first, std::int64_t count) {
  if (tensor.is_contiguous()) {
    const std::uint64_t bits = bits_of(tensor.dtype());
    std::memcpy(tensor.data() + first * bits / 8, packed, count * bits / 8);
    return;
  }
  move<false>(const_cast<std::byte*>(packed), tensor, first, count);
}

void fill_zero(const Tensor& tensor) {
  static constexpr std::array<std::byte, 64 << 10> zeros{};
  const std::int64_t count = tensor.element_count();
  const std::int64_t block = static_cast<std::int64_t>(zeros.size()) * 8 / bits_of(tensor.dtype());
  for (std::int64_t done = 0; done < count; done += block) {
    scatter(zeros.data(), tensor, done, std::min(block, count - done));
  }
}

Tensor slice(const Tensor& tensor, const Shape& start, const Shape& extent) {
  std::int64_t offset = 0;
  for (std::size_t d = 0; d < start.size(); ++d) offset += start[d] * tensor.strides()[d];
  return Tensor::view(tensor.data() + offset * bits_of(tensor.dtype()) / 8, tensor.dtype(), extent, tensor.strides());
}

BoxRuns::BoxRuns(const Shape& whole, const Shape& start, const Shape& extent) {
  const Strides stride = contiguous_strides(whole);
  std::size_t inner = whole.size();  // dimensions from here on are covered whole
  while (inner > 0 && start[inner - 1] == 0 && extent[inner - 1] == whole[inner - 1]) --inner;
  for (std::size_t d = inner; d < whole.size(); ++d) run_elements_ *= extent[d];
  if (inner > 0) run_elements_ *= extent[inner - 1];  // and of one more, a part: still one run
  for (std::size_t d = 0; d < inner; ++d) base_ += start[d] * stride[d];
  for (std::size_t d = 0; d + 1 < inner; ++d) {
    outer_extent_.push_back(extent[d]);
    outer_stride_.push_back(stride[d]);
    count_ *= extent[d];
  }
  if (run_elements_ == 0) count_ = 0;
}

std::int64_t BoxRuns::offset(std::int64_t run) const {
  std::int64_t offset = base_;
  for (std::size_t d = outer_extent_.size(); d-- > 0;) {
    offset += run % outer_extent_[d] * outer_stride_[d];
    run /= outer_extent_[d];
  }
  return offset;
}

std::int64_t BoxRuns::first_ending_after(std::int64_t element) const {
  std::int64_t low = 0;
  std::int64_t high = count_;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (offset(middle) + run_elements_ > element) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace milepost
