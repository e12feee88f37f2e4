// The text, one token a distinct byte, and the batches drawn from it. Training never sees the last twentieth, which is
// held out to evaluate on.
#pragma once

#include "milepost/io/digest.h"
#include "milepost/io/error.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gpt {

// A counter-based generator: draw n of a seed is a function of (seed, n) alone (SplitMix64), so two
// integers are its whole state, and any draw can be repeated.
struct CounterRandom {
  std::uint64_t seed = 0;
  std::uint64_t counter = 0;  // draws made so far

  std::uint64_t next();
  // In [0, 1), by 2^-53.
  double next_uniform();
};

// Sequences to predict from, and the token after each token of them; both batch x context, row-major.
struct Batch {
  std::vector<std::int32_t> inputs;
  std::vector<std::int32_t> targets;
};

// Immutable; any thread may use it.
class Text {
 public:
  static milepost::Result<Text> read(const std::string& path);
  explicit Text(std::string_view bytes);

  // Distinct bytes; token t stands for the t-th smallest.
  std::int64_t vocabulary() const { return static_cast<std::int64_t>(alphabet_.size()); }
  std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }
  // Of the bytes: a resumed run must see the same text.
  const milepost::Digest& digest() const { return digest_; }

  // Sequences from random places, one draw each, to train on. The part of the text that they come from must be longer
  // than `context`.
  Batch draw(CounterRandom& random, std::int64_t batch, std::int64_t context) const {
    return draw(0, training_size(), random, batch, context);
  }
  // The same from what is held out.
  Batch draw_held_out(CounterRandom& random, std::int64_t batch, std::int64_t context) const {
    return draw(training_size(), size(), random, batch, context);
  }
  std::int64_t training_size() const { return size() - held_out_size(); }
  std::int64_t held_out_size() const { return size() / 20; }

 private:
  Batch draw(std::int64_t begin, std::int64_t end, CounterRandom& random, std::int64_t batch,
             std::int64_t context) const;

  std::string alphabet_;
  std::vector<std::uint8_t> tokens_;
  milepost::Digest digest_;
};

}  // namespace gpt
