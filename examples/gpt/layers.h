// The layers of the model, forward and backward, over rows of activations (a row is a token of the
// batch). A backward function overwrites the gradients of its parameters, and overwrites the
// gradient of its input unless it says that it adds to it.
#pragma once

#include "examples/gpt/matmul.h"
#include "examples/gpt/parameters.h"

#include <cstdint>
#include <span>
#include <vector>

namespace gpt {

// What the layers compute with.
struct Compute {
  ThreadPool& pool;
  PackedOperands& scratch;
};

// y = x w + b; b may be null.
struct Linear {
  const Parameter* w;
  const Parameter* b;
};
// Adds to y instead of overwriting it, if asked: a residual connection.
void linear(Compute compute, const Linear& layer, const float* x, float* y, std::int64_t rows, bool add = false);
void linear_backward(Compute compute, const Linear& layer, const float* x, const float* dy, float* dx,
                     std::int64_t rows);

// Each row shifted and scaled to mean 0 and variance 1, then by the learned gain and bias.
struct Norm {
  const Parameter* gain;
  const Parameter* bias;
};
// Keeps the mean and 1 / deviation of each row for the way back: 2 values a row.
void norm(Compute compute, const Norm& layer, const float* x, float* y, float* moments, std::int64_t rows);
// Adds to dx.
void norm_backward(Compute compute, const Norm& layer, const float* x, const float* moments, const float* dy, float* dx,
                   std::int64_t rows);

struct AttentionShape {
  std::int64_t batch, context, heads, head_width;
  std::int64_t width() const { return heads * head_width; }
};
// Causal self-attention. A row of qkv holds query, key and value. `weights` keeps the attention
// weights for the way back: batch x heads x context x context.
void attention(Compute compute, const AttentionShape& shape, const float* qkv, float* weights, float* y);
void attention_backward(Compute compute, const AttentionShape& shape, const float* qkv, const float* weights,
                        const float* dy, float* dqkv);

void gelu_all(Compute compute, const float* x, float* y, std::int64_t count);
// dy becomes dx.
void gelu_backward_all(Compute compute, const float* x, float* dy, std::int64_t count);

// Row i of y = token[tokens[i]] + position[i mod context].
void embed(Compute compute, const Parameter& token, const Parameter& position, std::span<const std::int32_t> tokens,
           float* y);
void embed_backward(Compute compute, const Parameter& token, const Parameter& position,
                    std::span<const std::int32_t> tokens, const float* dy);

// Mean cross-entropy of the targets; the logits become its gradient.
double cross_entropy(Compute compute, std::span<const std::int32_t> targets, std::int64_t vocabulary, float* logits);

}  // namespace gpt
