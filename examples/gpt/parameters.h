// The parameters of the model and what AdamW keeps beside them: the whole state of training that is
// not a scalar. For each parameter: a float master value, both moments, a bfloat16 copy of the value
// (which the model computes with), 14 bytes in all; and a gradient, which is no state.
#pragma once

#include "examples/gpt/kernels.h"
#include "examples/gpt/parallel.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gpt {

// A tensor of the state, as a checkpoint sees it: packed, row-major, borrowed from its owner.
struct NamedTensor {
  enum class Kind { f32, bf16 };

  std::string path;  // "params/blocks/3/attn/qkv/w", "opt/m/...", "opt/v/...", "bf16/..."
  Kind kind;
  void* data;
  std::vector<std::int64_t> shape;

  std::int64_t byte_count() const;
};

struct Parameter {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t count = 0;
  // All 64-byte aligned.
  float* value = nullptr;
  float* gradient = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  Bf16* bf16 = nullptr;
};

struct OptimizerConfig {
  float learning_rate = 5e-4f;
  std::int64_t warmup_steps = 10;
  float beta1 = 0.9f;
  float beta2 = 0.99f;
  float epsilon = 1e-8f;
  float decay = 0.1f;  // of matrices only
};

// Owns the memory of the tensors. Not thread-safe; its tensors do not move once allocated.
class ParameterSet {
 public:
  // Names a parameter; returns its index. Before allocate().
  std::size_t add(std::string name, std::vector<std::int64_t> shape);
  // All zeros.
  void allocate();

  const std::vector<Parameter>& all() const { return parameters_; }
  const Parameter& operator[](std::size_t index) const { return parameters_[index]; }
  std::int64_t count() const;

  // In the order in which update() writes them.
  const std::vector<NamedTensor>& tensors() const { return tensors_; }

  // Makes the bfloat16 copies follow from the values.
  void round_all();
  // AdamW on all parameters, one after the other, in order. `step` counts from 1.
  void update(ThreadPool& pool, const OptimizerConfig& config, std::int64_t step);

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };

  std::vector<Parameter> parameters_;
  std::vector<NamedTensor> tensors_;
  std::unique_ptr<std::byte[], Free> memory_;
};

}  // namespace gpt
