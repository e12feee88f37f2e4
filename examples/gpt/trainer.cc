#include "examples/gpt/trainer.h"

#include <array>
#include <span>

namespace gpt {
namespace {

ModelConfig for_text(ModelConfig config, const Text& text) {
  config.vocabulary = text.vocabulary();
  return config;
}

}  // namespace

Trainer::Trainer(const Text& text, const TrainerConfig& config)
    : text_(text), config_(config), pool_(config.threads), model_(for_text(config.model, text), pool_) {
  // Weights and batches come from streams of their own.
  model_.initialise({.seed = ~config.seed});
  progress_.random.seed = config.seed;
}

float Trainer::train_step() {
  CounterRandom random = progress_.random;
  const Batch batch = text_.draw(random, config_.batch, config_.model.context);
  const double loss = model_.forward_backward(batch);
  if (before_update_) before_update_();
  progress_.random = random;
  progress_.step += 1;
  progress_.tokens_seen += std::ssize(batch.inputs);
  model_.parameters().update(pool_, config_.optimizer, progress_.step);
  return static_cast<float>(loss);
}

milepost::Digest Trainer::state_digest() const {
  milepost::DigestStream stream;
  for (const NamedTensor& tensor : tensors()) {
    stream.update(std::as_bytes(std::span(tensor.path)));
    stream.update({static_cast<const std::byte*>(tensor.data), static_cast<std::size_t>(tensor.byte_count())});
  }
  const std::array<std::uint64_t, 4> scalars{static_cast<std::uint64_t>(progress_.step),
                                             static_cast<std::uint64_t>(progress_.tokens_seen), progress_.random.seed,
                                             progress_.random.counter};
  stream.update(std::as_bytes(std::span(scalars)));
  return stream.finish();
}

std::int64_t Trainer::state_bytes() const {
  std::int64_t bytes = 0;
  for (const NamedTensor& tensor : tensors()) bytes += tensor.byte_count();
  return bytes;
}

}  // namespace gpt
