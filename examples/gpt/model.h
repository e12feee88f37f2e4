// A GPT: token and position embeddings, pre-norm blocks of causal self-attention and an MLP with GELU,
// a final norm and a separate head. Forward and backward are written out by hand.
#pragma once

#include "examples/gpt/layers.h"
#include "examples/gpt/parameters.h"
#include "examples/gpt/text.h"

#include <cstdint>
#include <vector>

namespace gpt {

// The defaults make 7.5 million parameters, a state of 105 MB.
struct ModelConfig {
  std::int64_t vocabulary = 0;
  std::int64_t context = 128;
  std::int64_t width = 320;
  std::int64_t layers = 6;
  std::int64_t heads = 5;  // a divisor of width
};

// Owns the parameters and, between forward and backward, the activations. One thread at a time; the
// work is spread over the pool. A function of its parameters and the batch, bit for bit.
class Model {
 public:
  Model(const ModelConfig& config, ThreadPool& pool);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Random values, as usual for a GPT; moments of zero.
  void initialise(CounterRandom random);

  const ModelConfig& config() const { return config_; }
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }

  // Mean cross-entropy of the targets in nats.
  double loss(const Batch& batch);
  // The same; leaves the gradient of every parameter in parameters().
  double forward_backward(const Batch& batch);

 private:
  struct Block {
    Norm norm1, norm2;
    Linear qkv, out, up, down;
  };
  // What a block keeps from forward for backward, in the order in which forward makes it.
  struct Kept {
    std::vector<float> input, moments1, normed1, qkv, weights, attended, middle, moments2, normed2, up, active;
  };

  void size_activations(std::int64_t rows);
  void forward(const Block& block, Kept& kept, std::vector<float>& output);
  // The gradient of the block's output, in dx_, becomes that of its input.
  void backward(const Block& block, const Kept& kept);

  const ModelConfig config_;
  ThreadPool& pool_;
  PackedOperands scratch_;
  Compute compute_{pool_, scratch_};
  ParameterSet parameters_;

  // Into parameters_.
  const Parameter* token_ = nullptr;
  const Parameter* position_ = nullptr;
  std::vector<Block> blocks_;
  Norm norm_{};
  Linear head_{};

  std::int64_t rows_ = 0;
  std::vector<Kept> kept_;
  std::vector<float> last_, last_moments_, normed_, logits_;
  std::vector<float> dx_, dnarrow_, dwide_;  // gradients on the way back, reused by every block
};

}  // namespace gpt
