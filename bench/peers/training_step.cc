#include "bench/peers/training_step.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

namespace milepost::bench {
namespace {

constexpr std::size_t side = 64;
using Matrix = std::array<float, side * side>;

// c = a b / side, so that no value grows.
void multiply(const Matrix& a, const Matrix& b, Matrix& c) {
  for (std::size_t i = 0; i < side; ++i) {
    std::array<float, side> row{};
    for (std::size_t k = 0; k < side; ++k) {
      const float factor = a[i * side + k];
      for (std::size_t j = 0; j < side; ++j) row[j] += factor * b[k * side + j];
    }
    for (std::size_t j = 0; j < side; ++j) c[i * side + j] = row[j] / side;
  }
}

}  // namespace

TrainingStep::TrainingStep(std::uint64_t products, std::uint64_t bytes)
    : products_(products), memory_(bytes / sizeof(float), 1.0f) {}

void TrainingStep::compute() {
  team_.run([this](int thread) {
    auto a = std::make_unique<Matrix>();
    auto c = std::make_unique<Matrix>();
    const auto b = std::make_unique<Matrix>();
    a->fill(1.0f);
    b->fill(1.0f);
    for (std::uint64_t i = 0; i < products_; ++i) {
      multiply(*a, *b, *c);
      a.swap(c);  // each product needs all of the one before
    }
    sums_[thread] = std::reduce(a->begin(), a->end());  // and the last is needed here: none can be left out
  });
}

void TrainingStep::update() {
  team_.run([this](int thread) {
    const std::size_t share = (memory_.size() + team_.size() - 1) / team_.size();
    const std::size_t end = std::min(memory_.size(), share * (thread + 1));
    for (std::size_t i = share * thread; i < end; ++i) memory_[i] *= 0.9999f;
  });
}

}  // namespace milepost::bench

using milepost::bench::TrainingStep;

void* training_step_new(std::uint64_t products, std::uint64_t bytes) { return new TrainingStep(products, bytes); }
void training_step_compute(void* step) { static_cast<TrainingStep*>(step)->compute(); }
void training_step_update(void* step) { static_cast<TrainingStep*>(step)->update(); }
void training_step_delete(void* step) { delete static_cast<TrainingStep*>(step); }
