// Trains a Model on a Text, deterministically: the same text, configuration and state give the same
// bits after every step, on any number of threads. The state of training is tensors() and progress(),
// whole: copy both away and back, and it continues as if nothing had happened.
#pragma once

#include "examples/gpt/model.h"
#include "examples/gpt/text.h"

#include "milepost/io/digest.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace gpt {

// The scalars of the state.
struct Progress {
  std::int64_t step = 0;  // updates made
  std::int64_t tokens_seen = 0;
  CounterRandom random;  // draws the batches
};

struct TrainerConfig {
  ModelConfig model;  // its vocabulary follows from the text
  OptimizerConfig optimizer;
  std::int64_t batch = 16;
  std::uint64_t seed = 1;
  int threads = 1;
};

// Owns the model and the threads; borrows the text. One thread at a time.
class Trainer {
 public:
  Trainer(const Text& text, const TrainerConfig& config);

  // One step of training: draws a batch, computes the gradient, updates the parameters. Returns the
  // loss on the batch before the update.
  float train_step();

  // Called in every step after the gradient is computed, before anything of the state is written. A
  // checkpoint that still reads the tensors must have its copy when this returns.
  void before_update(std::function<void()> hook) { before_update_ = std::move(hook); }

  // In the order in which a step writes them. They may be written from outside between steps (restored).
  const std::vector<NamedTensor>& tensors() const { return model_.parameters().tensors(); }
  Progress& progress() { return progress_; }
  const Progress& progress() const { return progress_; }
  // Of tensors() and progress().
  milepost::Digest state_digest() const;
  std::int64_t state_bytes() const;

  Model& model() { return model_; }

 private:
  const Text& text_;
  const TrainerConfig config_;
  ThreadPool pool_;
  Model model_;
  Progress progress_;
  std::function<void()> before_update_;
};

}  // namespace gpt
