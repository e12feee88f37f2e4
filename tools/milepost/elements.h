// Elements of tensors, as numbers: every dtype of the formats, floats down to four bits included.
#pragma once

#include "milepost/engine/state/tensor.h"
#include "tools/milepost/json.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace milepost::tool {

// Element i of a packed tensor, as short as tells it from its neighbours: "0.1", "-inf", "true", "1+2i".
std::string element_text(DType dtype, const std::byte* data, std::int64_t i);
// c64 is [real, imaginary].
Json element_json(DType dtype, const std::byte* data, std::int64_t i);

// Statistics of elements that come in parts. c64 counts by absolute value.
class Statistics {
 public:
  explicit Statistics(DType dtype) : dtype_(dtype) {}
  void add(const std::byte* data, std::int64_t count);

  std::int64_t count() const { return count_; }
  std::int64_t zeros() const { return zeros_; }
  std::int64_t nans() const { return nans_; }
  std::int64_t infinities() const { return infinities_; }
  // Of the finite elements; meaningless if there is none.
  std::int64_t finite() const { return count_ - nans_ - infinities_; }
  double mean() const { return mean_; }
  double standard_deviation() const;
  // Exact, for 64-bit integers too.
  std::string min_text() const;
  std::string max_text() const;
  Json min_json() const;
  Json max_json() const;

 private:
  template <class T> void add_integers(const T* data, std::int64_t count);
  template <class At> void add_numbers(std::int64_t count, At&& at);

  DType dtype_;
  std::int64_t count_ = 0;
  std::int64_t zeros_ = 0;
  std::int64_t nans_ = 0;
  std::int64_t infinities_ = 0;
  double mean_ = 0;
  double squares_ = 0;  // sum of squared distances from the mean
  double min_ = 0;
  double max_ = 0;
  std::int64_t min_signed_ = 0;  // of i64 and u64 (as bits), which doubles do not hold exactly
  std::int64_t max_signed_ = 0;
};

}  // namespace milepost::tool
