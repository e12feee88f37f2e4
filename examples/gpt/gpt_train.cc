// gpt_train: trains a small GPT on a text file, without checkpoints. Prints step, loss and time of
// each step, and at the end the digest of the state, which two runs can be compared by.
#include "examples/gpt/trainer.h"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  std::string corpus;
  std::int64_t steps = 100;
  gpt::TrainerConfig config;
  config.threads = 2;

  CLI::App app("Trains a small GPT on a text file; the result does not depend on the number of threads.");
  app.add_option("--corpus", corpus, "The text")->required()->check(CLI::ExistingFile);
  app.add_option("--steps", steps, "Steps to train")->capture_default_str();
  app.add_option("--threads", config.threads, "Threads to compute on")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app.add_option("--seed", config.seed, "Of the weights and the batches")->capture_default_str();
  app.add_option("--batch", config.batch, "Sequences a step")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--context", config.model.context, "Tokens of a sequence")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--layers", config.model.layers, "Blocks")->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--heads", config.model.heads, "Attention heads; must divide the width")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--width", config.model.width, "Of the residual stream")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--learning-rate", config.optimizer.learning_rate, "After the warm-up")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  auto text = gpt::Text::read(corpus);
  if (text.has_error()) {
    std::fprintf(stderr, "gpt_train: %s\n", text.error().to_string().c_str());
    return 1;
  }
  if (text->training_size() <= config.model.context || config.model.width % config.model.heads != 0) {
    std::fprintf(stderr, "gpt_train: the text is too short, or --heads does not divide --width\n");
    return 1;
  }

  gpt::Trainer trainer(*text, config);
  std::printf("%lld characters, %lld distinct; %lld parameters, state of %lld bytes\n",
              static_cast<long long>(text->size()), static_cast<long long>(text->vocabulary()),
              static_cast<long long>(trainer.model().parameters().count()),
              static_cast<long long>(trainer.state_bytes()));
  while (trainer.progress().step < steps) {
    const auto start = std::chrono::steady_clock::now();
    const float loss = trainer.train_step();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    std::printf("step %lld  loss %.6f  %.1f ms\n", static_cast<long long>(trainer.progress().step),
                static_cast<double>(loss), took.count());
    std::fflush(stdout);
  }
  std::printf("state %s\n", trainer.state_digest().hex().c_str());
}
