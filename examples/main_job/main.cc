// The main job: trains a small GPT without interruption; trains the same again, saving asynchronously,
// killed (SIGKILL) in the middle of a save, or told to stop (SIGTERM) at a random time, and resumed; and
// shows that not a bit differs, and what the saving cost. See README.md.
#include "examples/main_job/child.h"
#include "examples/main_job/disk.h"
#include "examples/main_job/report.h"
#include "examples/main_job/train.h"

#include "milepost/io/posix_store.h"
#include "milepost/io/try.h"

#include <CLI/CLI.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace main_job {
namespace {

using milepost::Error;
using milepost::ErrorCode;
using milepost::Result;

// One line that is rewritten in place, on a terminal only.
class StatusLine {
 public:
  void show(const std::string& what, const StepEvent& event, std::int64_t steps) const {
    if (!tty_) return;
    std::printf("\r  %-34s step %3lld of %lld   loss %.4f   %4.0f ms ", what.c_str(),
                static_cast<long long>(event.step), static_cast<long long>(steps), static_cast<double>(event.loss),
                event.compute_ms);
    std::fflush(stdout);
  }
  void clear() const {
    if (tty_) std::printf("\r%80s\r", "");
  }

 private:
  const bool tty_ = isatty(STDOUT_FILENO) != 0;
};

std::vector<std::string> child_arguments(const TrainOptions& options) {
  std::vector<std::string> arguments = {"milepost_main_job",
                                        "--train-only",
                                        "--corpus",
                                        options.corpus,
                                        "--steps",
                                        std::to_string(options.steps),
                                        "--threads",
                                        std::to_string(options.threads),
                                        "--save-every",
                                        std::to_string(options.save_every),
                                        "--mode",
                                        options.mode,
                                        "--codec",
                                        options.codec};
  if (!options.policy.empty()) arguments.insert(arguments.end(), {"--policy", options.policy});
  if (!options.checkpoints.empty()) arguments.push_back(options.checkpoints);
  return arguments;
}

// Whether an attempt lies there that was never committed: the kill struck during a save.
Result<std::string> find_torn_attempt(const std::string& directory) {
  MILEPOST_ASSIGN(const auto store, milepost::PosixStore::open(directory, {.create = false, .read_only = true}));
  MILEPOST_ASSIGN(const auto entries, store->list_directory(""));
  for (const auto& entry : entries) {
    if (entry.type == milepost::EntryType::directory && entry.name.starts_with(".tmp-")) return entry.name;
  }
  return std::string();
}

class MainJob {
 public:
  MainJob(TrainOptions options, std::string directory, unsigned seed, bool preempt)
      : options_(std::move(options)), directory_(std::move(directory)), random_(seed), preempt_(preempt) {}

  Result<bool> run() {
    std::error_code failure;
    std::filesystem::create_directories(directory_, failure);
    if (failure) return Error::from_errno(failure.value(), "create " + directory_);
    directory_ = std::filesystem::canonical(directory_).string();
    std::printf("Checkpoints go to %s\n", directory_.c_str());
    std::fflush(stdout);

    MILEPOST_ASSIGN(outcome_.disk_gb_per_s, measure_write_rate(directory_, std::uint64_t{1} << 30));
    MILEPOST_TRY(run_uninterrupted());
    MILEPOST_ASSIGN(options_.checkpoints, fresh_directory());
    MILEPOST_TRY(preempt_ ? run_preempted() : run_killed());
    MILEPOST_TRY(run_resumed());
    outcome_.directory = options_.checkpoints;
    outcome_.when =
        options_.policy.empty() ? "every " + std::to_string(options_.save_every) + " steps" : options_.policy;
    outcome_.mode = options_.mode;
    outcome_.codec = options_.codec;
    return print_report(outcome_);
  }

 private:
  Result<void> run_uninterrupted() {
    TrainOptions plain = options_;
    plain.checkpoints.clear();
    MILEPOST_ASSIGN(Child child, Child::start(child_arguments(plain)));
    MILEPOST_ASSIGN(const bool finished, follow(child, outcome_.uninterrupted, "uninterrupted, without saving"));
    if (!finished) return Error(ErrorCode::internal, "the uninterrupted run failed");
    return {};
  }

  // Kills the run in a random save, at a random moment of it, until a kill has left an attempt
  // behind that was not committed.
  Result<void> run_killed() {
    const std::int64_t saves = options_.steps / options_.save_every;
    std::int64_t victim =
        options_.save_every * std::uniform_int_distribution<std::int64_t>(saves / 3, saves / 2)(random_);
    while (outcome_.torn_attempt.empty()) {
      RunLog& log = outcome_.interrupted.emplace_back();
      MILEPOST_ASSIGN(Child child, Child::start(child_arguments(options_)));
      double save_ms = 100;
      const auto kill_after = [&](std::int64_t step) -> Child::SendAfterMs {
        if (!log.saves.empty()) save_ms = log.saves.back().durable_ms;
        if (step < victim) return std::nullopt;
        return std::uniform_int_distribution<int>(0, static_cast<int>(save_ms))(random_);
      };
      MILEPOST_ASSIGN(const bool finished, follow(child, log, "saving, to be killed during a save",
                                                  {.signal = SIGKILL, .save_begun = kill_after}));
      if (finished) return Error(ErrorCode::internal, "the run ended before it could be killed during a save");
      if (log.steps.empty()) return Error(ErrorCode::internal, "the run that saves failed");
      MILEPOST_ASSIGN(outcome_.torn_attempt, find_torn_attempt(options_.checkpoints));
      victim = log.steps.back().step + options_.save_every;
    }
    return {};
  }

  // Tells the run to stop at a random time, as a cluster does that wants its machine back.
  Result<void> run_preempted() {
    RunLog& log = outcome_.interrupted.emplace_back();
    MILEPOST_ASSIGN(Child child, Child::start(child_arguments(options_)));
    const auto victim = std::uniform_int_distribution<std::int64_t>(options_.steps / 3, options_.steps / 2)(random_);
    const auto stop_after = [&](const StepEvent& event) -> Child::SendAfterMs {
      if (event.step < victim) return std::nullopt;
      return std::uniform_int_distribution<int>(0, static_cast<int>(event.compute_ms))(random_);
    };
    MILEPOST_ASSIGN(const bool left, follow(child, log, "saving, to be told to stop (SIGTERM)",
                                            {.signal = SIGTERM, .step_done = stop_after}));
    if (!left || !log.preempted) return Error(ErrorCode::internal, "the run did not save and leave when told to stop");
    return {};
  }

  Result<void> run_resumed() {
    MILEPOST_ASSIGN(Child child, Child::start(child_arguments(options_)));
    MILEPOST_ASSIGN(const bool finished, follow(child, outcome_.interrupted.emplace_back(), "saving, resumed"));
    if (!finished) return Error(ErrorCode::internal, "the resumed run failed");
    return {};
  }

  Result<bool> follow(Child& child, RunLog& log, const std::string& what, const Child::Reaction& reaction = {}) {
    const StatusLine status;
    Child::Reaction shown = reaction;
    shown.step_done = [&](const StepEvent& event) {
      status.show(what, event, options_.steps);
      return reaction.step_done ? reaction.step_done(event) : std::nullopt;
    };
    const auto result = child.follow(log, shown);
    status.clear();
    return result;
  }

  // run-1, run-2, ...: nothing of an earlier job is touched.
  Result<std::string> fresh_directory() const {
    for (int n = 1;; ++n) {
      const std::string path = directory_ + "/run-" + std::to_string(n);
      if (mkdir(path.c_str(), 0777) == 0) return path;
      if (errno != EEXIST) return Error::from_errno(errno, "mkdir " + path);
    }
  }

  TrainOptions options_;
  std::string directory_;
  std::mt19937 random_;
  const bool preempt_;
  Outcome outcome_;
};

}  // namespace
}  // namespace main_job

int main(int argc, char** argv) {
  main_job::TrainOptions options;
  options.steps = 60;
  options.save_every = 3;
  options.corpus = MAIN_JOB_CORPUS;
  std::string directory = "milepost-main-job";
  unsigned seed = std::random_device{}();
  bool preempt = false;
  bool train_only = false;

  CLI::App app(
      "Trains a small GPT without interruption; then again, saving asynchronously, killed in the middle of a\n"
      "save (or told to stop, with --preempt) and resumed; shows that both give the same bits, and what the\n"
      "saving cost.");
  app.add_option("directory", directory, "Where checkpoints go; a new directory run-N is made in it")
      ->capture_default_str();
  app.add_option("--steps", options.steps, "Steps to train")->capture_default_str()->check(CLI::Range(12, 1'000'000));
  app.add_option("--save-every", options.save_every, "Steps between two saves")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--policy", options.policy,
                 "When to save instead: continuous:SECONDS, overhead:SHARE (such as 0.01) or young-daly:SECONDS\n"
                 "(the mean time between failures)");
  app.add_option("--threads", options.threads, "Threads that train")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_option("--mode", options.mode, "How the state is frozen")
      ->capture_default_str()
      ->check(CLI::IsMember({"copy", "lazy", "cow"}));
  app.add_option("--codec", options.codec, "none, fast, zstd or zstd:LEVEL")->capture_default_str();
  app.add_option("--corpus", options.corpus, "The text to train on")->capture_default_str()->check(CLI::ExistingFile);
  app.add_option("--seed", seed, "Decides when the signal strikes; random unless given");
  app.add_flag("--preempt", preempt, "SIGTERM at a random time in place of SIGKILL during a save: save, leave, resume");
  app.add_flag("--train-only", train_only,
               "Only the training process, saving if a directory is given; prints its events");
  CLI11_PARSE(app, argc, argv);

  if (train_only) {
    options.checkpoints = app.count("directory") ? directory : "";
    const auto trained = main_job::train(options);
    if (trained.has_value()) return 0;
    std::fprintf(stderr, "milepost_main_job: %s\n", trained.error().to_string().c_str());
    return 1;
  }
  if (options.steps / options.save_every < 4) {
    std::fprintf(stderr, "milepost_main_job: --steps must be at least four times --save-every\n");
    return 2;
  }
  const auto same = main_job::MainJob(options, directory, seed, preempt).run();
  if (same.has_error()) {
    std::fprintf(stderr, "milepost_main_job: %s\n", same.error().to_string().c_str());
    return 1;
  }
  return *same ? 0 : 1;
}
