// One integer for each dimension of a tensor: its extents, or its strides. A value type like a vector of them, but the
// tensors of most models have one or two dimensions, and for those nothing is allocated: a state of 100,000 tensors
// is copied, read and restored in less memory and time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <utility>
#include <vector>

namespace milepost {

class Dims {
 public:
  using value_type = std::int64_t;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using reference = std::int64_t&;
  using const_reference = const std::int64_t&;
  using iterator = std::int64_t*;
  using const_iterator = const std::int64_t*;

  Dims() noexcept = default;
  explicit Dims(std::size_t count, std::int64_t value = 0) {
    reserve(count);
    while (size_ < count) push_back(value);
  }
  template <std::forward_iterator Iterator> Dims(Iterator first, Iterator last) {
    reserve(static_cast<std::size_t>(std::distance(first, last)));
    for (; first != last; ++first) push_back(*first);
  }
  Dims(std::initializer_list<std::int64_t> values) : Dims(values.begin(), values.end()) {}
  Dims(const std::vector<std::int64_t>& values) : Dims(values.begin(), values.end()) {}
  Dims(const Dims& other) : Dims(other.begin(), other.end()) {}
  Dims(Dims&& other) noexcept { swap(other); }
  Dims& operator=(Dims other) noexcept {
    swap(other);
    return *this;
  }
  ~Dims() {
    if (!is_inline()) delete[] values_.allocated;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::int64_t* data() { return is_inline() ? values_.here : values_.allocated; }
  const std::int64_t* data() const { return is_inline() ? values_.here : values_.allocated; }
  std::int64_t& operator[](std::size_t dimension) { return data()[dimension]; }
  const std::int64_t& operator[](std::size_t dimension) const { return data()[dimension]; }
  std::int64_t& back() { return data()[size_ - 1]; }
  const std::int64_t& back() const { return data()[size_ - 1]; }
  iterator begin() { return data(); }
  iterator end() { return data() + size_; }
  const_iterator begin() const { return data(); }
  const_iterator end() const { return data() + size_; }

  void push_back(std::int64_t value) {
    if (size_ == capacity_) reserve(std::size_t{2} * capacity_);
    data()[size_++] = value;
  }
  // At most 2^32 - 1.
  void reserve(std::size_t capacity) {
    if (capacity <= capacity_) return;
    auto* const larger = new std::int64_t[capacity];
    std::copy(begin(), end(), larger);
    if (!is_inline()) delete[] values_.allocated;
    values_.allocated = larger;
    capacity_ = static_cast<std::uint32_t>(capacity);
  }

  friend bool operator==(const Dims& a, const Dims& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

 private:
  static constexpr std::uint32_t inline_max = 2;
  union Values {
    std::int64_t here[inline_max] = {};
    std::int64_t* allocated;
  };

  bool is_inline() const { return capacity_ == inline_max; }
  void swap(Dims& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    std::swap(values_, other.values_);
  }

  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = inline_max;
  Values values_;
};
static_assert(sizeof(Dims) == 24);

}  // namespace milepost
