#include "examples/federated/classifier.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace federated {
namespace {

// Uniform in [-limit, limit]; the distributions of the standard library differ from one to another.
Classifier::Layer draw(std::size_t count, double limit, std::mt19937_64& random) {
  Classifier::Layer layer(count);
  for (float& weight : layer) {
    const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
    weight = static_cast<float>((2 * unit - 1) * limit);
  }
  return layer;
}

void subtract(Classifier::Layer& from, const Classifier::Layer& gradient, float scale) {
  for (std::size_t i = 0; i < from.size(); ++i) from[i] -= scale * gradient[i];
}

}  // namespace

Classifier::Classifier(std::uint64_t seed) : hidden_bias(hidden_count), output_bias(class_count) {
  std::mt19937_64 random(seed);
  hidden_weights = draw(hidden_count * pixel_count, std::sqrt(6.0 / pixel_count), random);
  output_weights = draw(class_count * hidden_count, std::sqrt(6.0 / hidden_count), random);
}

Classifier::Activations Classifier::forward(const Digit& digit) const {
  Activations a;
  for (std::size_t h = 0; h < hidden_count; ++h) {
    float sum = hidden_bias[h];
    for (std::size_t p = 0; p < pixel_count; ++p) sum += hidden_weights[h * pixel_count + p] * digit.pixels[p];
    a.hidden[h] = std::max(sum, 0.0f);
  }
  for (std::size_t c = 0; c < class_count; ++c) {
    a.probabilities[c] = output_bias[c];
    for (std::size_t h = 0; h < hidden_count; ++h) {
      a.probabilities[c] += output_weights[c * hidden_count + h] * a.hidden[h];
    }
  }
  const float largest = *std::max_element(a.probabilities.begin(), a.probabilities.end());
  float sum = 0;
  for (float& p : a.probabilities) sum += p = std::exp(p - largest);
  for (float& p : a.probabilities) p /= sum;
  return a;
}

double Classifier::descend(std::span<const Digit* const> batch, float learning_rate) {
  Layer hidden_weights_gradient(hidden_weights.size());
  Layer hidden_bias_gradient(hidden_count);
  Layer output_weights_gradient(output_weights.size());
  Layer output_bias_gradient(class_count);
  double loss = 0;
  for (const Digit* digit : batch) {
    const Activations a = forward(*digit);
    loss -= std::log(std::max(a.probabilities[digit->label], 1e-30f));
    std::array<float, hidden_count> hidden_error{};
    for (std::size_t c = 0; c < class_count; ++c) {
      const float error = a.probabilities[c] - (c == digit->label ? 1.0f : 0.0f);
      output_bias_gradient[c] += error;
      for (std::size_t h = 0; h < hidden_count; ++h) {
        output_weights_gradient[c * hidden_count + h] += error * a.hidden[h];
        hidden_error[h] += error * output_weights[c * hidden_count + h];
      }
    }
    for (std::size_t h = 0; h < hidden_count; ++h) {
      if (a.hidden[h] <= 0) continue;
      hidden_bias_gradient[h] += hidden_error[h];
      for (std::size_t p = 0; p < pixel_count; ++p) {
        hidden_weights_gradient[h * pixel_count + p] += hidden_error[h] * digit->pixels[p];
      }
    }
  }
  const float scale = learning_rate / static_cast<float>(batch.size());
  subtract(hidden_weights, hidden_weights_gradient, scale);
  subtract(hidden_bias, hidden_bias_gradient, scale);
  subtract(output_weights, output_weights_gradient, scale);
  subtract(output_bias, output_bias_gradient, scale);
  return loss / static_cast<double>(batch.size());
}

Classifier::Score Classifier::evaluate(std::span<const Digit> digits) const {
  Score score;
  for (const Digit& digit : digits) {
    const Activations a = forward(digit);
    score.loss -= std::log(std::max(a.probabilities[digit.label], 1e-30f));
    const auto guess = std::max_element(a.probabilities.begin(), a.probabilities.end()) - a.probabilities.begin();
    score.accuracy += static_cast<std::size_t>(guess) == digit.label;
  }
  score.loss /= static_cast<double>(digits.size());
  score.accuracy /= static_cast<double>(digits.size());
  return score;
}

}  // namespace federated
