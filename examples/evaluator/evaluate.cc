#include "examples/evaluator/evaluate.h"

#include "milepost/io/try.h"

#include <chrono>
#include <limits>
#include <string>

namespace evaluator {
namespace {

constexpr std::int64_t batch_size = 16;

gpt::ModelConfig config_for(const gpt::Text& text) {
  gpt::ModelConfig config;
  config.vocabulary = text.vocabulary();
  return config;
}

milepost::Tree& node_at(milepost::Tree& tree, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? tree[path] : node_at(tree, path.substr(0, slash))[path.substr(slash + 1)];
}

double age_s(const milepost::StepRecord& record) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now - std::chrono::nanoseconds(record.commit_unix_ns)).count();
}

}  // namespace

Evaluator::Evaluator(const gpt::Text& text, int threads, int batches)
    : pool_(threads), model_(config_for(text), pool_) {
  for (const gpt::Parameter& p : model_.parameters().all()) {
    node_at(weights_, "bf16/" + p.name) = milepost::Tensor::view(p.bf16, milepost::DType::bf16, p.shape);
  }
  gpt::CounterRandom random;  // the same batches for every checkpoint
  for (int i = 0; i < batches; ++i) {
    batches_.push_back(text.draw_held_out(random, batch_size, model_.config().context));
  }
}

milepost::Result<Evaluation> Evaluator::evaluate(milepost::CheckpointManager& manager, std::int64_t step) {
  MILEPOST_ASSIGN(const milepost::StepReader reader, manager.open_step(step));
  MILEPOST_TRY(manager.restore(step, {.items = {{.name = "state", .target = weights_, .select = {"bf16"}}}}));

  Evaluation evaluation;
  for (const gpt::Batch& batch : batches_) evaluation.loss += model_.loss(batch) / static_cast<double>(batches_.size());
  const auto& metrics = reader.record().metrics;
  const auto recorded = metrics.find("loss");
  evaluation.training_loss = recorded == metrics.end() ? std::numeric_limits<double>::quiet_NaN() : recorded->second;
  evaluation.age_s = age_s(reader.record());
  return evaluation;
}

}  // namespace evaluator
