#include "milepost/engine/state/tensor.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>
#include <limits>
#include <new>

namespace milepost {
namespace {

constexpr std::int64_t elements_max = std::int64_t{1} << 62;
constexpr std::size_t mapped_bytes_min = std::size_t{1} << 20;
constexpr std::size_t page_bytes = 4096;
constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

Error no_memory(std::uint64_t bytes) {
  return Error(ErrorCode::no_space, "no memory for a tensor of " + std::to_string(bytes) + " bytes", ENOMEM);
}

// Memory of its own pages, at a multiple of 2 MiB so that the kernel can use huge ones.
Result<std::shared_ptr<void>> map_memory(std::uint64_t bytes) {
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return no_memory(bytes);
  const std::size_t length = (static_cast<std::size_t>(bytes) + page_bytes - 1) / page_bytes * page_bytes;
  const std::size_t reserved = length + huge_page_bytes;
  void* mapped = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return no_memory(bytes);
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped);
  const auto aligned = (begin + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
  if (aligned > begin) munmap(mapped, aligned - begin);
  if (begin + reserved > aligned + length) {
    munmap(reinterpret_cast<void*>(aligned + length), begin + reserved - aligned - length);
  }
  void* data = reinterpret_cast<void*>(aligned);
  madvise(data, length, MADV_HUGEPAGE);  // a hint: without huge pages the memory is only slower to touch
  return std::shared_ptr<void>(data, [length](void* memory) { munmap(memory, length); });
}

Result<std::shared_ptr<void>> allocate_memory(std::uint64_t bytes) {
  if (bytes >= mapped_bytes_min) return map_memory(bytes);
  void* data = std::aligned_alloc(64, (static_cast<std::size_t>(bytes) + 63) / 64 * 64);
  if (data == nullptr) return no_memory(bytes);
  return std::shared_ptr<void>(data, [](void* memory) { std::free(memory); });
}

}  // namespace

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(extent);
  }
  return text + "]";
}

std::optional<std::int64_t> element_count(const Shape& shape) {
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(count, extent, &count) || count > elements_max) {
      return std::nullopt;
    }
  }
  return empty ? 0 : count;
}

std::optional<std::uint64_t> packed_bytes(DType dtype, const Shape& shape) {
  const std::optional<std::int64_t> count = element_count(shape);
  if (!count) return std::nullopt;
  const auto bits = static_cast<std::uint64_t>(bits_of(dtype));
  std::uint64_t bytes = 0;
  if (bits >= 8) {
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(*count), bits / 8, &bytes)) return std::nullopt;
  } else {
    // At most 6 x 2^62 bits: counted in groups of 4 elements, which are whole bytes for 4 and 6 bits.
    const auto groups = static_cast<std::uint64_t>(*count) / 4;
    const std::uint64_t rest_bits = static_cast<std::uint64_t>(*count) % 4 * bits;
    if (rest_bits % 8 != 0) return std::nullopt;
    bytes = groups * (bits / 2) + rest_bits / 8;
  }
  if (bytes > static_cast<std::uint64_t>(elements_max)) return std::nullopt;
  return bytes;
}

Strides contiguous_strides(const Shape& shape) {
  Strides strides(shape.size());
  // Unsigned, so that an invalid shape, which check() finds, is no undefined behaviour here.
  std::uint64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = static_cast<std::int64_t>(stride);
    stride *= shape[i] == 0 ? 1 : static_cast<std::uint64_t>(shape[i]);
  }
  return strides;
}

Tensor Tensor::view(void* data, DType dtype, Shape shape, Strides strides) {
  Tensor tensor = abstract(dtype, std::move(shape));
  tensor.abstract_ = false;
  tensor.data_ = static_cast<std::byte*>(data);
  tensor.strides_ = std::move(strides);
  return tensor;
}

Tensor Tensor::view(const void* data, DType dtype, Shape shape, Strides strides) {
  Tensor tensor = view(const_cast<void*>(data), dtype, std::move(shape), std::move(strides));
  tensor.read_only_ = true;
  return tensor;
}

Tensor Tensor::owning(std::shared_ptr<void> owner, void* data, DType dtype, Shape shape, Strides strides) {
  Tensor tensor = view(data, dtype, std::move(shape), std::move(strides));
  tensor.owner_ = std::move(owner);
  return tensor;
}

Result<Tensor> Tensor::allocate(DType dtype, Shape shape) {
  const Tensor plan = abstract(dtype, std::move(shape));
  if (auto checked = plan.check(); checked.has_error()) return checked.error();
  const std::uint64_t bytes = plan.byte_count();
  if (bytes == 0) return view(static_cast<void*>(nullptr), dtype, plan.shape());
  auto memory = allocate_memory(bytes);
  if (memory.has_error()) return memory.error();
  void* data = memory->get();
  return owning(std::move(*memory), data, dtype, plan.shape());
}

Tensor Tensor::abstract(DType dtype, Shape shape) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.shape_ = std::move(shape);
  return tensor;
}

std::int64_t Tensor::element_count() const { return milepost::element_count(shape_).value_or(0); }

std::uint64_t Tensor::byte_count() const { return packed_bytes(dtype_, shape_).value_or(0); }

bool Tensor::is_contiguous() const {
  if (strides_.empty()) return true;
  if (strides_.size() != shape_.size()) return false;
  std::int64_t packed = 1;
  bool as_packed = true;
  for (std::size_t i = shape_.size(); i-- > 0;) {
    if (shape_[i] == 0) return true;
    if (shape_[i] == 1) continue;  // never stepped over, so its stride has no meaning
    as_packed = as_packed && strides_[i] == packed;
    if (__builtin_mul_overflow(packed, shape_[i], &packed)) return false;
  }
  return as_packed;
}

Result<void> Tensor::check() const {
  const auto fail = [this](const std::string& what) {
    return Error(ErrorCode::invalid_argument,
                 "tensor " + std::string(name_of(dtype_)) + milepost::to_string(shape_) + ": " + what);
  };
  if (static_cast<int>(dtype_) >= dtype_count) return Error(ErrorCode::invalid_argument, "tensor of an unknown dtype");
  if (shape_.size() > tensor_rank_max) {
    return Error(ErrorCode::invalid_argument, "tensor of more than " + std::to_string(tensor_rank_max) + " dimensions");
  }
  const std::optional<std::uint64_t> bytes = packed_bytes(dtype_, shape_);
  if (!bytes) {
    for (const std::int64_t extent : shape_) {
      if (extent < 0) return fail("a negative extent");
    }
    if (!milepost::element_count(shape_)) return fail("more than 2^62 elements");
    return fail(is_byte_sized(dtype_) ? "more than 2^62 bytes" : "not a whole number of bytes");
  }
  if (!strides_.empty() && strides_.size() != shape_.size()) {
    return fail("strides " + milepost::to_string(strides_) + " have another number of dimensions");
  }
  if (!is_byte_sized(dtype_) && !is_contiguous()) return fail("elements of less than a byte cannot have strides");
  // How far the elements reach from data(), in bytes, must be an address difference.
  std::int64_t reach = (bits_of(dtype_) + 7) / 8;
  for (std::size_t i = 0; i < strides_.size() && *bytes != 0; ++i) {
    std::int64_t step = 0;
    if (strides_[i] == std::numeric_limits<std::int64_t>::min() ||
        __builtin_mul_overflow(shape_[i] - 1, strides_[i] < 0 ? -strides_[i] : strides_[i], &step) ||
        __builtin_mul_overflow(step, (bits_of(dtype_) + 7) / 8, &step) || __builtin_add_overflow(reach, step, &reach)) {
      return fail("strides " + milepost::to_string(strides_) + " reach beyond the address space");
    }
  }
  if (!abstract_ && data_ == nullptr && *bytes != 0) return fail("no memory: its data is null");
  return {};
}

}  // namespace milepost
