// A tensor: a typed, strided view of memory. Usually the memory is borrowed from the training loop;
// Tensor::allocate makes one that owns its memory, and Tensor::abstract one that has none and only
// says dtype and shape.
#pragma once

#include "milepost/engine/state/dims.h"
#include "milepost/engine/state/dtype.h"
#include "milepost/io/error.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace milepost {

// Extents, in elements; empty for a scalar; extents of zero are allowed.
using Shape = Dims;
// Distance between neighbours in each dimension, in elements; may be zero or negative.
using Strides = Dims;
// Dimensions of a tensor at most.
inline constexpr std::size_t tensor_rank_max = 64;

// "[2, 3]"
std::string to_string(const Shape& shape);
// Number of elements, or nothing if an extent is negative or the product exceeds 2^62; extents of zero
// are left out of that product, so that the strides of a valid shape never overflow.
std::optional<std::int64_t> element_count(const Shape& shape);
// Bytes of a packed tensor, or nothing if the shape is invalid, the bits are not whole bytes, or the
// bytes exceed 2^62.
std::optional<std::uint64_t> packed_bytes(DType dtype, const Shape& shape);
// Row-major strides of a shape.
Strides contiguous_strides(const Shape& shape);

class Tensor {
 public:
  Tensor() = default;

  // Borrows memory, which must outlive every use. Without strides it is packed, row-major. Invalid
  // arguments (a negative extent, strides of another rank, strides on sub-byte elements) are found
  // by check(), which every call that takes a tensor makes.
  static Tensor view(void* data, DType dtype, Shape shape, Strides strides = {});
  // The same, never written to: restoring into it is an error.
  static Tensor view(const void* data, DType dtype, Shape shape, Strides strides = {});
  template <class T> static Tensor of(T* data, Shape shape, Strides strides = {}) {
    return view(data, DTypeOf<std::remove_const_t<T>>::value, std::move(shape), std::move(strides));
  }
  // Keeps `owner` alive as long as the tensor, and copies of it, live.
  static Tensor owning(std::shared_ptr<void> owner, void* data, DType dtype, Shape shape, Strides strides = {});
  // Fresh memory, 64-byte aligned (page aligned when large), not zeroed on purpose. invalid_argument
  // for an invalid shape; no_space if there is no memory.
  static Result<Tensor> allocate(DType dtype, Shape shape);
  static Tensor abstract(DType dtype, Shape shape);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  Strides strides() const { return strides_.empty() ? contiguous_strides(shape_) : strides_; }
  // Null for abstract tensors, and possibly for tensors of zero bytes.
  std::byte* data() const { return data_; }
  template <class T> T* as() const { return reinterpret_cast<T*>(data_); }
  bool is_abstract() const { return abstract_; }
  bool is_read_only() const { return read_only_; }

  // Of the packed tensor. Call check() first when the shape is not known to be valid.
  std::int64_t element_count() const;
  std::uint64_t byte_count() const;
  // Whether the elements lie packed, in row-major order.
  bool is_contiguous() const;

  // invalid_argument, saying what is wrong with dtype, shape or strides.
  Result<void> check() const;

 private:
  DType dtype_ = DType::f32;
  bool abstract_ = true;
  bool read_only_ = false;
  Shape shape_ = {0};
  Strides strides_;  // empty: packed, row-major
  std::byte* data_ = nullptr;
  std::shared_ptr<void> owner_;
};

}  // namespace milepost
