#include "examples/gpt/model.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>
#include <string>

namespace gpt {

Model::Model(const ModelConfig& config, ThreadPool& pool) : config_(config), pool_(pool) {
  assert(config.width % config.heads == 0);
  const std::int64_t d = config.width;
  const std::size_t token = parameters_.add("embed/token", {config.vocabulary, d});
  const std::size_t position = parameters_.add("embed/position", {config.context, d});
  const std::size_t first_block = position + 1;
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string prefix = "blocks/" + std::to_string(i) + "/";
    parameters_.add(prefix + "norm1/gain", {d});
    parameters_.add(prefix + "norm1/bias", {d});
    parameters_.add(prefix + "attn/qkv/w", {d, 3 * d});
    parameters_.add(prefix + "attn/qkv/b", {3 * d});
    parameters_.add(prefix + "attn/out/w", {d, d});
    parameters_.add(prefix + "attn/out/b", {d});
    parameters_.add(prefix + "norm2/gain", {d});
    parameters_.add(prefix + "norm2/bias", {d});
    parameters_.add(prefix + "mlp/up/w", {d, 4 * d});
    parameters_.add(prefix + "mlp/up/b", {4 * d});
    parameters_.add(prefix + "mlp/down/w", {4 * d, d});
    parameters_.add(prefix + "mlp/down/b", {d});
  }
  const std::size_t gain = parameters_.add("norm/gain", {d});
  parameters_.add("norm/bias", {d});
  const std::size_t head = parameters_.add("head/w", {d, config.vocabulary});
  parameters_.allocate();

  token_ = &parameters_[token];
  position_ = &parameters_[position];
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const Parameter* p = &parameters_[first_block + 12 * static_cast<std::size_t>(i)];
    blocks_.push_back({.norm1 = {p, p + 1},
                       .norm2 = {p + 6, p + 7},
                       .qkv = {p + 2, p + 3},
                       .out = {p + 4, p + 5},
                       .up = {p + 8, p + 9},
                       .down = {p + 10, p + 11}});
  }
  norm_ = {&parameters_[gain], &parameters_[gain + 1]};
  head_ = {&parameters_[head], nullptr};
  kept_.resize(blocks_.size());
}

void Model::initialise(CounterRandom random) {
  for (const Parameter& p : parameters_.all()) {
    std::fill(p.m, p.m + p.count, 0.0f);
    std::fill(p.v, p.v + p.count, 0.0f);
    if (p.shape.size() == 1) {
      std::fill(p.value, p.value + p.count, p.name.ends_with("/gain") ? 1.0f : 0.0f);
      continue;
    }
    // What adds to the residual stream starts smaller, the more layers do.
    const bool residual = p.name.ends_with("attn/out/w") || p.name.ends_with("mlp/down/w");
    const double deviation = residual ? 0.02 / std::sqrt(2.0 * static_cast<double>(config_.layers)) : 0.02;
    for (std::int64_t i = 0; i < p.count; ++i) {
      const double radius = std::sqrt(-2 * std::log(1 - random.next_uniform()));
      p.value[i] = static_cast<float>(deviation * radius * std::cos(2 * std::numbers::pi * random.next_uniform()));
    }
  }
  parameters_.round_all();
}

void Model::size_activations(std::int64_t rows) {
  if (rows == rows_) return;
  rows_ = rows;
  const auto of_width = [rows](std::int64_t width) { return static_cast<std::size_t>(rows * width); };
  const std::int64_t d = config_.width;
  for (Kept& kept : kept_) {
    for (auto* narrow : {&kept.input, &kept.normed1, &kept.attended, &kept.middle, &kept.normed2}) {
      narrow->resize(of_width(d));
    }
    for (auto* moments : {&kept.moments1, &kept.moments2}) moments->resize(of_width(2));
    for (auto* wide : {&kept.up, &kept.active}) wide->resize(of_width(4 * d));
    kept.qkv.resize(of_width(3 * d));
    kept.weights.resize(of_width(config_.heads * config_.context));
  }
  for (auto* narrow : {&last_, &normed_, &dx_, &dnarrow_}) narrow->resize(of_width(d));
  last_moments_.resize(of_width(2));
  dwide_.resize(of_width(4 * d));
  logits_.resize(of_width(config_.vocabulary));
}

void Model::forward(const Block& block, Kept& kept, std::vector<float>& output) {
  const AttentionShape shape{rows_ / config_.context, config_.context, config_.heads, config_.width / config_.heads};
  norm(compute_, block.norm1, kept.input.data(), kept.normed1.data(), kept.moments1.data(), rows_);
  linear(compute_, block.qkv, kept.normed1.data(), kept.qkv.data(), rows_);
  attention(compute_, shape, kept.qkv.data(), kept.weights.data(), kept.attended.data());
  kept.middle = kept.input;
  linear(compute_, block.out, kept.attended.data(), kept.middle.data(), rows_, /*add=*/true);

  norm(compute_, block.norm2, kept.middle.data(), kept.normed2.data(), kept.moments2.data(), rows_);
  linear(compute_, block.up, kept.normed2.data(), kept.up.data(), rows_);
  gelu_all(compute_, kept.up.data(), kept.active.data(), std::ssize(kept.up));
  output = kept.middle;
  linear(compute_, block.down, kept.active.data(), output.data(), rows_, /*add=*/true);
}

void Model::backward(const Block& block, const Kept& kept) {
  const AttentionShape shape{rows_ / config_.context, config_.context, config_.heads, config_.width / config_.heads};
  linear_backward(compute_, block.down, kept.active.data(), dx_.data(), dwide_.data(), rows_);
  gelu_backward_all(compute_, kept.up.data(), dwide_.data(), std::ssize(kept.up));
  linear_backward(compute_, block.up, kept.normed2.data(), dwide_.data(), dnarrow_.data(), rows_);
  norm_backward(compute_, block.norm2, kept.middle.data(), kept.moments2.data(), dnarrow_.data(), dx_.data(), rows_);

  linear_backward(compute_, block.out, kept.attended.data(), dx_.data(), dnarrow_.data(), rows_);
  attention_backward(compute_, shape, kept.qkv.data(), kept.weights.data(), dnarrow_.data(), dwide_.data());
  linear_backward(compute_, block.qkv, kept.normed1.data(), dwide_.data(), dnarrow_.data(), rows_);
  norm_backward(compute_, block.norm1, kept.input.data(), kept.moments1.data(), dnarrow_.data(), dx_.data(), rows_);
}

double Model::loss(const Batch& batch) {
  assert(std::ssize(batch.inputs) % config_.context == 0 && batch.inputs.size() == batch.targets.size());
  size_activations(std::ssize(batch.inputs));

  embed(compute_, *token_, *position_, batch.inputs, blocks_.empty() ? last_.data() : kept_.front().input.data());
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    forward(blocks_[i], kept_[i], i + 1 < blocks_.size() ? kept_[i + 1].input : last_);
  }
  norm(compute_, norm_, last_.data(), normed_.data(), last_moments_.data(), rows_);
  linear(compute_, head_, normed_.data(), logits_.data(), rows_);
  return cross_entropy(compute_, batch.targets, config_.vocabulary, logits_.data());
}

double Model::forward_backward(const Batch& batch) {
  const double result = loss(batch);
  linear_backward(compute_, head_, normed_.data(), logits_.data(), dnarrow_.data(), rows_);
  std::fill(dx_.begin(), dx_.end(), 0.0f);
  norm_backward(compute_, norm_, last_.data(), last_moments_.data(), dnarrow_.data(), dx_.data(), rows_);
  for (std::size_t i = blocks_.size(); i-- > 0;) backward(blocks_[i], kept_[i]);
  embed_backward(compute_, *token_, *position_, batch.inputs, dx_.data());
  return result;
}

}  // namespace gpt
