// A network of one hidden layer that tells digits apart, and its training by plain gradient descent. All of it is
// deterministic: the same calls give the same bits.
#pragma once

#include "examples/federated/digits.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace federated {

inline constexpr std::size_t hidden_count = 32;

struct Classifier {
  using Layer = std::vector<float>;

  // Drawn by `seed`.
  explicit Classifier(std::uint64_t seed);

  // One step of gradient descent on a batch; the mean loss (cross entropy, in nats) before it.
  double descend(std::span<const Digit* const> batch, float learning_rate);

  struct Score {
    double loss = 0;      // mean cross entropy, in nats
    double accuracy = 0;  // share of digits that are told right
  };
  Score evaluate(std::span<const Digit> digits) const;

  // In a fixed order, for those who average or save them.
  std::array<Layer*, 4> layers() { return {&hidden_weights, &hidden_bias, &output_weights, &output_bias}; }

  Layer hidden_weights;  // [hidden_count, pixel_count]
  Layer hidden_bias;     // [hidden_count]
  Layer output_weights;  // [class_count, hidden_count]
  Layer output_bias;     // [class_count]

 private:
  struct Activations {
    std::array<float, hidden_count> hidden;
    std::array<float, class_count> probabilities;
  };
  Activations forward(const Digit& digit) const;
};

}  // namespace federated
