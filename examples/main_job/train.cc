#include "examples/main_job/train.h"

#include "examples/gpt/trainer.h"
#include "examples/main_job/run_log.h"

#include "milepost/io/try.h"
#include "milepost/milepost.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>

namespace main_job {
namespace {

using milepost::Tree;

using Clock = std::chrono::steady_clock;

double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

class Stopwatch {
 public:
  double ms() const { return ms_between(start_, Clock::now()); }

 private:
  Clock::time_point start_ = Clock::now();
};

// The whole state as a tree of views: nothing is copied.
Tree tree_of(const gpt::Trainer& trainer) {
  Tree tree;
  for (const gpt::NamedTensor& tensor : trainer.tensors()) {
    Tree* node = &tree;
    for (std::size_t begin = 0; begin != std::string::npos;) {
      const std::size_t end = tensor.path.find('/', begin);
      node = &(*node)[tensor.path.substr(begin, end - begin)];
      begin = end == std::string::npos ? end : end + 1;
    }
    const auto dtype = tensor.kind == gpt::NamedTensor::Kind::f32 ? milepost::DType::f32 : milepost::DType::bf16;
    *node = milepost::Tensor::view(tensor.data, dtype, tensor.shape);
  }
  const gpt::Progress& progress = trainer.progress();
  tree["step"] = progress.step;
  tree["tokens_seen"] = progress.tokens_seen;
  tree["random"]["seed"] = progress.random.seed;
  tree["random"]["counter"] = progress.random.counter;
  return tree;
}

// The tensors were restored in place; the scalars come back in the tree.
void take_scalars(const Tree& tree, gpt::Progress& progress) {
  progress.step = *tree.find("step")->get_if<std::int64_t>();
  progress.tokens_seen = *tree.find("tokens_seen")->get_if<std::int64_t>();
  progress.random.seed = *tree.find("random/seed")->get_if<std::uint64_t>();
  progress.random.counter = *tree.find("random/counter")->get_if<std::uint64_t>();
}

// Empty for none: the manager's interval.
milepost::Result<milepost::SaveDecisionPolicy> parse_policy(const std::string& text) {
  if (text.empty()) return milepost::SaveDecisionPolicy();
  const std::size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  double value = 0;
  const char* const begin = text.data() + std::min(colon + 1, text.size());
  const auto [end, failed] = std::from_chars(begin, text.data() + text.size(), value);
  const bool is_number = colon != std::string::npos && failed == std::errc() && end == text.data() + text.size();
  if (is_number && value > 0) {
    if (name == "continuous") return milepost::SaveDecisionPolicy(milepost::ContinuousCheckpointingPolicy{value});
    if (name == "overhead") return milepost::SaveDecisionPolicy(milepost::OverheadSharePolicy{value});
    if (name == "young-daly") return milepost::SaveDecisionPolicy(milepost::YoungDalyPolicy{value});
  }
  return milepost::Error(milepost::ErrorCode::invalid_argument,
                         "policy " + text + ": expected continuous:SECONDS, overhead:SHARE or young-daly:SECONDS");
}

milepost::Result<milepost::CheckpointManager> open_manager(const TrainOptions& options,
                                                           std::shared_ptr<milepost::PreemptionWatcher> watcher) {
  MILEPOST_ASSIGN(const auto codec, milepost::Codec::parse(options.codec));
  MILEPOST_ASSIGN(auto policy, parse_policy(options.policy));
  return milepost::CheckpointManager::open(options.checkpoints,
                                           {.save_interval_steps = options.save_every,
                                            .save_decision_policy = std::move(policy),
                                            .max_to_keep = 3,
                                            .mode = milepost::parse_snapshot_mode(options.mode).value(),
                                            .codec = codec,
                                            .preemption = std::move(watcher)});
}

// Tells of the last save once it is committed.
void log_last_save(const milepost::CheckpointManager& manager, std::int64_t& logged) {
  const auto report = manager.last_save();
  if (!report || report->step == logged) return;
  logged = report->step;
  log_saved({report->step, report->stall_s * 1e3, report->durable_s * 1e3, report->committed_s * 1e3, report->raw_bytes,
             report->stored_bytes});
}

}  // namespace

milepost::Result<void> train(const TrainOptions& options) {
  MILEPOST_ASSIGN(const gpt::Text text, gpt::Text::read(options.corpus));
  gpt::TrainerConfig config;
  config.threads = options.threads;
  gpt::Trainer trainer(text, config);

  // SIGTERM means: save, and leave.
  MILEPOST_ASSIGN(const auto watcher, milepost::PreemptionWatcher::start());
  std::optional<milepost::CheckpointManager> manager;
  if (!options.checkpoints.empty()) {
    MILEPOST_ASSIGN(manager, open_manager(options, watcher));
    Tree tree = tree_of(trainer);
    const Stopwatch restore;
    MILEPOST_ASSIGN(const auto restored, manager->restore_latest(tree));
    if (restored) {
      take_scalars(tree, trainer.progress());
      log_resumed(*restored, restore.ms());
    }
    const Stopwatch warm_up;
    MILEPOST_TRY(manager->warm_up({{"state", tree_of(trainer)}}));
    log_warm_up(warm_up.ms());
    // In lazy mode the state is copied while the next step computes, up to here.
    if (options.mode == "lazy") trainer.before_update([&] { manager->fence(); });
  }

  bool stopping = false;
  Clock::time_point last_save_called;
  std::int64_t logged_save = -1;
  while (!stopping && trainer.progress().step < options.steps) {
    StepEvent event;
    const Stopwatch compute;
    event.loss = trainer.train_step();
    event.compute_ms = compute.ms();
    event.step = trainer.progress().step;
    if (manager) {
      log_last_save(*manager, logged_save);
      last_save_called = Clock::now();
      MILEPOST_ASSIGN(const bool saving,
                      manager->save(event.step, {{"state", tree_of(trainer)}}, {.metrics = {{"loss", event.loss}}}));
      stopping = manager->reached_preemption(event.step);
      event.stall_ms = ms_between(last_save_called, Clock::now());
      if (saving) log_save_begun(event.step);
    }
    log_step(event);
  }
  if (manager) {
    MILEPOST_TRY(manager->close());
    log_last_save(*manager, logged_save);
  }
  if (stopping) {
    const auto notice = *watcher->notice();
    const auto now = Clock::now();
    log_preempted({trainer.progress().step, ms_between(notice.when, last_save_called),
                   ms_between(last_save_called, now), ms_between(now, notice.deadline) / 1e3, notice.reason});
  } else {
    log_final(trainer.state_digest().hex());
  }
  return {};
}

}  // namespace main_job
