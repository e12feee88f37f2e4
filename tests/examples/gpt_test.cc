// The model's gradient, and what a checkpoint of the trainer relies on: same bits on any number of
// threads, and the whole state in tensors() and progress().
#include "examples/gpt/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace gpt {
namespace {

// Text with something to learn: words of a small vocabulary, in random order.
Text some_text() {
  const char* const words[] = {"checkpoint", "of", "the", "tensor", "and", "shard", "is", "written", "before", "step"};
  CounterRandom random{.seed = 42};
  std::string bytes;
  for (int i = 0; i < 3000; ++i) {
    bytes += words[random.next() % std::size(words)];
    bytes += i % 9 == 8 ? ".\n" : " ";
  }
  return Text(bytes);
}

TrainerConfig tiny(int threads) {
  return {.model = {.context = 24, .width = 48, .layers = 2, .heads = 3},
          .optimizer = {.learning_rate = 3e-3f},
          .batch = 4,
          .threads = threads};
}

using Copy = std::vector<std::vector<std::byte>>;

Copy copy_of(const std::vector<NamedTensor>& tensors) {
  Copy copy;
  for (const NamedTensor& tensor : tensors) {
    const auto* bytes = static_cast<const std::byte*>(tensor.data);
    copy.emplace_back(bytes, bytes + tensor.byte_count());
  }
  return copy;
}

void put_back(const Copy& copy, const std::vector<NamedTensor>& tensors) {
  ASSERT_EQ(copy.size(), tensors.size());
  for (std::size_t i = 0; i < copy.size(); ++i) std::memcpy(tensors[i].data, copy[i].data(), copy[i].size());
}

// Along the gradient and along a random direction, for each parameter by itself. The steps are made in
// the bfloat16 weights, since the model computes with those; what rounding left of them is what counts.
TEST(Model, GradientAgreesWithFiniteDifferences) {
  const Text text = some_text();
  ThreadPool pool(1);
  Model model({.vocabulary = text.vocabulary(), .context = 10, .width = 12, .layers = 2, .heads = 3}, pool);
  // Small everywhere, gains too: where a bfloat16 is large, a small step would round to none.
  CounterRandom random{.seed = 4};
  for (const Parameter& p : model.parameters().all()) {
    for (std::int64_t i = 0; i < p.count; ++i) {
      p.value[i] = static_cast<float>(1.6 * (random.next_uniform() - 0.5));
    }
  }
  model.parameters().round_all();
  const Batch batch = text.draw(random, 3, 10);
  EXPECT_EQ(model.forward_backward(batch), model.loss(batch));
  std::vector<std::vector<float>> gradients;
  for (const Parameter& p : model.parameters().all()) gradients.emplace_back(p.gradient, p.gradient + p.count);

  for (std::size_t index = 0; index < gradients.size(); ++index) {
    const Parameter& p = model.parameters()[index];
    const std::vector<float>& gradient = gradients[index];
    double norm = 0;
    for (const float g : gradient) norm += static_cast<double>(g) * static_cast<double>(g);
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 1e-4) << p.name;
    for (const bool along_gradient : {true, false}) {
      std::vector<double> direction;
      for (const float g : gradient) {
        direction.push_back(along_gradient ? static_cast<double>(g) / norm
                                           : (random.next_uniform() - 0.5) / std::sqrt(static_cast<double>(p.count)));
      }
      const std::vector<Bf16> before(p.bf16, p.bf16 + p.count);
      auto loss_at = [&](double signed_distance, std::vector<float>& point) {
        for (std::size_t i = 0; i < before.size(); ++i) {
          p.bf16[i] =
              to_bf16(static_cast<float>(static_cast<double>(to_float(before[i])) + signed_distance * direction[i]));
          point.push_back(to_float(p.bf16[i]));
        }
        const double loss = model.forward_backward(batch);
        std::copy(before.begin(), before.end(), p.bf16);
        return loss;
      };
      std::vector<float> ahead, behind;
      constexpr double distance = 0.02;
      const double difference = loss_at(distance, ahead) - loss_at(-distance, behind);
      double expected = 0;
      for (std::size_t i = 0; i < before.size(); ++i) {
        expected += static_cast<double>(gradient[i]) * static_cast<double>(ahead[i] - behind[i]);
      }
      if (along_gradient) {
        ASSERT_GT(expected, distance * norm) << p.name << ": most of the step was rounded away";
      }
      EXPECT_NEAR(difference, expected, 0.01 * 2 * distance * norm + 1e-6)
          << p.name << (along_gradient ? ", along it" : "");
    }
  }
}

TEST(Trainer, SameBitsOnAnyNumberOfThreads) {
  const Text text = some_text();
  std::vector<std::vector<float>> losses;
  std::set<milepost::Digest> digests;
  for (const int threads : {1, 2, 3}) {
    Trainer trainer(text, tiny(threads));
    std::vector<float>& losses_here = losses.emplace_back();
    for (int i = 0; i < 8; ++i) losses_here.push_back(trainer.train_step());
    digests.insert(trainer.state_digest());
  }
  EXPECT_EQ(losses[0], losses[1]);
  EXPECT_EQ(losses[0], losses[2]);
  EXPECT_EQ(digests.size(), 1u);
}

TEST(Trainer, ContinuesFromACopyOfItsStateAsIfNothingHadHappened) {
  const Text text = some_text();
  Trainer trainer(text, tiny(2));
  for (int i = 0; i < 5; ++i) trainer.train_step();
  const Copy copy = copy_of(trainer.tensors());
  const Progress progress = trainer.progress();
  const milepost::Digest digest = trainer.state_digest();
  std::vector<float> losses;
  for (int i = 0; i < 5; ++i) losses.push_back(trainer.train_step());
  ASSERT_NE(trainer.state_digest(), digest);

  TrainerConfig config = tiny(1);
  config.seed = 99;  // other weights and batches, had the state not been replaced
  Trainer resumed(text, config);
  put_back(copy, resumed.tensors());
  resumed.progress() = progress;
  EXPECT_EQ(resumed.state_digest(), digest);
  for (const float loss : losses) EXPECT_EQ(resumed.train_step(), loss);
  EXPECT_EQ(resumed.state_digest(), trainer.state_digest());
}

TEST(Trainer, LearnsAndFillsItsState) {
  const Text text = some_text();
  Trainer trainer(text, tiny(2));
  const float first = trainer.train_step();
  EXPECT_NEAR(first, std::log(static_cast<double>(text.vocabulary())), 0.3);
  float last = 0;
  for (int i = 0; i < 60; ++i) last = trainer.train_step();
  EXPECT_LT(last, 0.75f * first);

  // A state that a codec is to be judged by must not be mostly zeros.
  for (const Parameter& p : trainer.model().parameters().all()) {
    EXPECT_LT(std::count(p.v, p.v + p.count, 0.0f), p.count / 20 + 1) << p.name;
    EXPECT_LT(std::count(p.m, p.m + p.count, 0.0f), p.count / 20 + 1) << p.name;
    for (std::int64_t i = 0; i < p.count; ++i) ASSERT_EQ(p.bf16[i], to_bf16(p.value[i])) << p.name;
  }
}

TEST(Trainer, TensorsAreNamedShapedAndWholeBytes) {
  const Text text = some_text();
  Trainer trainer(text, tiny(1));
  std::set<std::string> paths;
  std::int64_t bytes = 0;
  for (const NamedTensor& tensor : trainer.tensors()) {
    paths.insert(tensor.path);
    bytes += tensor.byte_count();
  }
  EXPECT_EQ(paths.size(), trainer.tensors().size());
  EXPECT_EQ(bytes, 14 * trainer.model().parameters().count());
  for (const char* path :
       {"params/blocks/1/attn/qkv/w", "opt/m/blocks/0/mlp/down/b", "opt/v/head/w", "bf16/embed/token"}) {
    EXPECT_TRUE(paths.contains(path)) << path;
  }
}

TEST(Trainer, HookRunsBeforeAnythingIsWritten) {
  const Text text = some_text();
  Trainer trainer(text, tiny(2));
  trainer.train_step();
  const milepost::Digest before = trainer.state_digest();
  int calls = 0;
  trainer.before_update([&] {
    ++calls;
    EXPECT_EQ(trainer.state_digest(), before);
  });
  trainer.train_step();
  EXPECT_EQ(calls, 1);
  EXPECT_NE(trainer.state_digest(), before);
}

TEST(Text, BatchesFollowFromSeedAndCounter) {
  const Text text("abcabdabe, and so on");
  CounterRandom random{.seed = 7};
  const Batch first = text.draw(random, 5, 4);
  EXPECT_EQ(random.counter, 5u);
  const Batch second = text.draw(random, 5, 4);
  EXPECT_NE(first.inputs, second.inputs);
  CounterRandom again{.seed = 7, .counter = 5};
  EXPECT_EQ(text.draw(again, 5, 4).inputs, second.inputs);
  for (std::size_t i = 0; i < first.inputs.size(); ++i) {
    if (i % 4 != 3) {
      EXPECT_EQ(first.targets[i], first.inputs[i + 1]);
    }
    EXPECT_LT(first.inputs[i], text.vocabulary());
  }
}

TEST(Text, TrainingNeverSeesWhatIsHeldOut) {
  const Text text(std::string(95 * 4, 'a') + std::string(5 * 4, 'b'));
  CounterRandom random{.seed = 3};
  const Batch training = text.draw(random, 500, 10);
  EXPECT_EQ(std::count(training.inputs.begin(), training.inputs.end(), 1), 0);
  EXPECT_EQ(std::count(training.targets.begin(), training.targets.end(), 1), 0);
  const Batch held_out = text.draw_held_out(random, 500, 10);
  EXPECT_EQ(std::count(held_out.inputs.begin(), held_out.inputs.end(), 0), 0);
  EXPECT_EQ(std::count(held_out.targets.begin(), held_out.targets.end(), 0), 0);
}

TEST(Text, MissingFileIsAnError) {
  const auto text = Text::read("/nonexistent/corpus.txt");
  ASSERT_TRUE(text.has_error());
  EXPECT_EQ(text.error().code(), milepost::ErrorCode::not_found);
}

}  // namespace
}  // namespace gpt
