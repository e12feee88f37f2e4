// The evaluator: follows the checkpoints of the main job from a process of its own, and prints the loss of each on text
// that training has not seen. See README.md.
#include "examples/evaluator/evaluate.h"

#include "milepost/io/try.h"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

namespace evaluator {
namespace {

using milepost::CheckpointManager;
using milepost::Error;
using milepost::ErrorCode;
using milepost::Result;

struct Options {
  std::string directory;
  std::string corpus = MAIN_JOB_CORPUS;
  int threads = 1;
  int batches = 4;
  bool every = false;
  double timeout_s = 600;
  std::optional<std::int64_t> last_step;
};

Result<void> follow(const Options& options) {
  MILEPOST_ASSIGN(const gpt::Text text, gpt::Text::read(options.corpus));
  Evaluator evaluator(text, options.threads, options.batches);
  std::optional<CheckpointManager> manager;

  milepost::FollowOptions following;
  following.every_step = options.every;
  following.timeout =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(options.timeout_s));
  for (const Result<std::int64_t>& step : milepost::checkpoints_iterator(options.directory, following)) {
    if (step.has_error()) return step.error();
    if (!manager) {  // now the directory is there
      MILEPOST_ASSIGN(manager, CheckpointManager::open(options.directory, {.create = false, .read_only = true}));
    }
    const auto evaluated = evaluator.evaluate(*manager, *step);
    if (evaluated.has_value()) {
      std::printf("step %6lld   held-out loss %.4f   training loss %.4f   %.1f s after its commit\n",
                  static_cast<long long>(*step), evaluated->loss, evaluated->training_loss, evaluated->age_s);
      std::fflush(stdout);
    } else if (evaluated.error().code() != ErrorCode::not_found) {
      return evaluated.error();
    }  // else the trainer has removed it, and there are newer ones
    if (options.last_step && *step >= *options.last_step) return {};
  }
  if (!options.last_step) return {};
  return Error(ErrorCode::deadline_exceeded,
               "step " + std::to_string(*options.last_step) + " was not reached: nothing new for a while");
}

}  // namespace
}  // namespace evaluator

int main(int argc, char** argv) {
  evaluator::Options options;
  CLI::App app(
      "Follows a directory of checkpoints that the main job writes, and prints the loss of each new one on text that\n"
      "training has not seen. The directory need not exist yet.");
  app.add_option("directory", options.directory, "The checkpoints, such as milepost-main-job/run-1")->required();
  app.add_flag("--every", options.every, "Every step that is still there, not only the newest");
  app.add_option("--last-step", options.last_step, "End after this step")->check(CLI::NonNegativeNumber);
  app.add_option("--timeout", options.timeout_s, "Seconds without a new checkpoint after which to end")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e9));
  app.add_option("--threads", options.threads, "Threads that evaluate")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app.add_option("--batches", options.batches, "Batches of 16 sequences to evaluate on")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--corpus", options.corpus, "The text that is trained on")
      ->capture_default_str()
      ->check(CLI::ExistingFile);
  CLI11_PARSE(app, argc, argv);

  const auto followed = evaluator::follow(options);
  if (followed.has_value()) return 0;
  std::fprintf(stderr, "milepost_evaluator: %s\n", followed.error().to_string().c_str());
  return 1;
}
