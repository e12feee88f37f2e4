#include "examples/gpt/parameters.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <new>
#include <numeric>

namespace gpt {
namespace {

constexpr std::align_val_t alignment{64};
constexpr std::int64_t elements_of_piece = 65536;

std::int64_t product(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::int64_t aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

std::int64_t NamedTensor::byte_count() const { return product(shape) * (kind == Kind::f32 ? 4 : 2); }

void ParameterSet::Free::operator()(std::byte* memory) const { ::operator delete[](memory, alignment); }

std::size_t ParameterSet::add(std::string name, std::vector<std::int64_t> shape) {
  Parameter parameter;
  parameter.count = product(shape);
  parameter.name = std::move(name);
  parameter.shape = std::move(shape);
  parameters_.push_back(std::move(parameter));
  return parameters_.size() - 1;
}

void ParameterSet::allocate() {
  std::int64_t size = 0;
  for (const Parameter& p : parameters_) size += 4 * aligned(4 * p.count) + aligned(2 * p.count);
  memory_.reset(static_cast<std::byte*>(::operator new[](static_cast<std::size_t>(size), alignment)));
  std::memset(memory_.get(), 0, static_cast<std::size_t>(size));
  std::byte* next = memory_.get();
  auto take = [&next](std::int64_t bytes) {
    std::byte* taken = next;
    next += aligned(bytes);
    return taken;
  };
  for (Parameter& p : parameters_) {
    for (float** tensor : {&p.value, &p.m, &p.v, &p.gradient}) *tensor = reinterpret_cast<float*>(take(4 * p.count));
    p.bf16 = reinterpret_cast<Bf16*>(take(2 * p.count));
    tensors_.push_back({"params/" + p.name, NamedTensor::Kind::f32, p.value, p.shape});
    tensors_.push_back({"opt/m/" + p.name, NamedTensor::Kind::f32, p.m, p.shape});
    tensors_.push_back({"opt/v/" + p.name, NamedTensor::Kind::f32, p.v, p.shape});
    tensors_.push_back({"bf16/" + p.name, NamedTensor::Kind::bf16, p.bf16, p.shape});
  }
}

std::int64_t ParameterSet::count() const {
  return std::accumulate(parameters_.begin(), parameters_.end(), std::int64_t{0},
                         [](std::int64_t sum, const Parameter& p) { return sum + p.count; });
}

void ParameterSet::round_all() {
  for (const Parameter& p : parameters_) std::transform(p.value, p.value + p.count, p.bf16, to_bf16);
}

void ParameterSet::update(ThreadPool& pool, const OptimizerConfig& config, std::int64_t step) {
  const double t = static_cast<double>(step);
  const float warmup =
      step < config.warmup_steps ? static_cast<float>(step) / static_cast<float>(config.warmup_steps) : 1.0f;
  AdamWFactors factors{
      .beta1 = config.beta1,
      .beta2 = config.beta2,
      .correction1 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(config.beta1), t))),
      .correction2 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(config.beta2), t))),
      .learning_rate = config.learning_rate * warmup,
      .epsilon = config.epsilon,
      .decay = 0,
  };
  for (const Parameter& p : parameters_) {
    factors.decay = p.shape.size() > 1 ? config.decay : 0.0f;
    pool.for_pieces(p.count, elements_of_piece, [&](std::int64_t begin, std::int64_t end) {
      adamw(factors, p.gradient + begin, p.value + begin, p.m + begin, p.v + begin, p.bf16 + begin, end - begin);
    });
  }
}

}  // namespace gpt
