// Federated averaging on handwritten digits: a model learns from clients that keep their digits to themselves. After
// each round the metrics are released to a CSV file, and the state of the program is saved; run again after it was
// stopped or killed at any moment, it goes on where it was, bit for bit.
//
//   milepost_federated DIR [ROUNDS [DIGITS]]   DIR gets program_state_* and metrics.csv
//
// McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, 2017; the server's
// momentum: Hsu et al., Measuring the Effects of Non-Identical Data Distribution for Federated Visual
// Classification, 2019.
#include "milepost/milepost.h"

#include "milepost/io/digest.h"
#include "examples/federated/classifier.h"
#include "examples/federated/digits.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <future>
#include <numeric>
#include <random>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace mp = milepost;
using namespace federated;

namespace {

constexpr std::size_t client_count = 20;
constexpr std::size_t clients_each_round = 5;
constexpr int local_epochs = 2;
constexpr std::size_t batch_size = 8;
constexpr float learning_rate = 0.1f;
constexpr float server_momentum = 0.5f;

// Draws the clients of each round. Serializable: it is saved with the state, and draws on after a restart.
class ClientSampler {
 public:
  std::vector<std::int64_t> draw() {
    std::vector<std::int64_t> clients(client_count);
    std::iota(clients.begin(), clients.end(), 0);
    for (std::size_t i = 0; i < clients_each_round; ++i) {
      std::swap(clients[i], clients[i + random_() % (client_count - i)]);
    }
    clients.resize(clients_each_round);
    return clients;
  }

  mp::Tree::Bytes to_bytes() const {
    std::ostringstream text;
    text << random_;
    const std::string written = text.str();
    const auto bytes = std::as_bytes(std::span(written));
    return {bytes.begin(), bytes.end()};
  }
  static mp::Result<ClientSampler> from_bytes(std::span<const std::byte> bytes) {
    std::istringstream text(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    ClientSampler sampler;
    if (text >> sampler.random_) return sampler;
    return mp::Error(mp::ErrorCode::corruption, "not the state of a random number generator");
  }

 private:
  std::mt19937_64 random_{7};
};

// Four fifths of the digits are the clients', each of whom has digits of few classes; the rest is for the test.
struct Data {
  std::vector<Digit> digits;
  std::vector<std::vector<const Digit*>> clients;
  std::span<const Digit> test;
};

Data distribute(std::vector<Digit> digits) {
  Data data{std::move(digits), std::vector<std::vector<const Digit*>>(client_count), {}};
  const std::size_t train_count = data.digits.size() / 5 * 4;
  data.test = std::span(data.digits).subspan(train_count);
  std::vector<const Digit*> sorted;
  for (std::size_t i = 0; i < train_count; ++i) sorted.push_back(&data.digits[i]);
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->label < b->label; });
  // Two shards of neighbours for each client.
  const std::size_t shard = (train_count + 2 * client_count - 1) / (2 * client_count);
  for (std::size_t i = 0; i < train_count; ++i) data.clients[i / shard % client_count].push_back(sorted[i]);
  return data;
}

class Program {
 public:
  // What is saved, and what is loaded into: views of the layers, and the sampler.
  mp::ProgramValue state() {
    mp::ProgramValue state;
    for_each_layer([&](const char* kind, const char* name, Classifier::Layer& layer) {
      state[kind][name] = mp::Tensor::of(layer.data(), {static_cast<std::int64_t>(layer.size())});
    });
    state["sampler"] = sampler_;
    return state;
  }

  void take(mp::ProgramValue state) {
    for_each_layer([&](const char* kind, const char* name, Classifier::Layer& layer) {
      std::memcpy(layer.data(), state[kind][name].get_if<mp::Tensor>()->data(), layer.size() * sizeof(float));
    });
    sampler_ = *state["sampler"].get_if<ClientSampler>();
  }

  // The metrics of one round. The test runs on while the program does: its result is awaited by the release.
  mp::ProgramValue run_round(const Data& data) {
    const std::vector<std::int64_t> drawn = sampler_.draw();
    std::array<Classifier::Layer, 4> mean_change;
    for (std::size_t i = 0; i < 4; ++i) mean_change[i].resize(model_.layers()[i]->size());
    std::size_t digit_count = 0;
    for (const std::int64_t client : drawn) digit_count += data.clients[static_cast<std::size_t>(client)].size();
    double loss = 0;
    for (const std::int64_t client : drawn) {
      const auto& digits = data.clients[static_cast<std::size_t>(client)];
      const double weight = static_cast<double>(digits.size()) / static_cast<double>(digit_count);
      Classifier local = model_;
      loss += weight * train(local, digits);
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t k = 0; k < mean_change[i].size(); ++k) {
          mean_change[i][k] += static_cast<float>(weight) * ((*local.layers()[i])[k] - (*model_.layers()[i])[k]);
        }
      }
    }
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t k = 0; k < mean_change[i].size(); ++k) {
        velocity_[i][k] = server_momentum * velocity_[i][k] + mean_change[i][k];
        (*model_.layers()[i])[k] += velocity_[i][k];
      }
    }
    mp::ProgramValue metrics;
    mp::Tensor clients = mp::Tensor::allocate(mp::DType::i64, {static_cast<std::int64_t>(drawn.size())}).value();
    std::copy(drawn.begin(), drawn.end(), clients.as<std::int64_t>());
    metrics["clients"] = clients;
    metrics["train"]["loss"] = loss;
    metrics["test"] = mp::make_value_reference(std::async(std::launch::async, [model = model_, test = data.test] {
      const Classifier::Score score = model.evaluate(test);
      return mp::Tree::map({{"accuracy", score.accuracy}, {"loss", score.loss}});
    }));
    return metrics;
  }

  std::string digest() {
    std::string all;
    for_each_layer([&](const char*, const char*, const Classifier::Layer& layer) {
      all += mp::Digest::of(std::as_bytes(std::span(layer))).hex();
    });
    return mp::Digest::of(all).hex();
  }

 private:
  // The mean loss over the last epoch.
  static double train(Classifier& model, const std::vector<const Digit*>& digits) {
    double loss = 0;
    for (int epoch = 0; epoch < local_epochs; ++epoch) {
      loss = 0;
      for (std::size_t at = 0; at < digits.size(); at += batch_size) {
        const auto batch = std::span(digits).subspan(at, std::min(batch_size, digits.size() - at));
        loss += model.descend(batch, learning_rate) * static_cast<double>(batch.size());
      }
    }
    return loss / static_cast<double>(digits.size());
  }

  template <class Function> void for_each_layer(const Function& fn) {
    constexpr std::array<const char*, 4> names = {"hidden_weights", "hidden_bias", "output_weights", "output_bias"};
    for (std::size_t i = 0; i < 4; ++i) {
      fn("model", names[i], *model_.layers()[i]);
      fn("velocity", names[i], velocity_[i]);
    }
  }

  Classifier model_{1};
  std::array<Classifier::Layer, 4> velocity_ = [this] {
    std::array<Classifier::Layer, 4> zeros;
    for (std::size_t i = 0; i < 4; ++i) zeros[i].resize(model_.layers()[i]->size());
    return zeros;
  }();
  ClientSampler sampler_;
};

void run(const std::string& directory, std::int64_t rounds, const std::string& digits) {
  const Data data = distribute(read_digits(digits).value());
  auto states = mp::FileProgramStateManager::open(directory, {.keep_total = 3}).value();
  auto metrics = mp::CsvFileReleaseManager::open(directory + "/metrics.csv", {.key_fieldname = "round"}).value();

  Program program;
  auto [state, last_round, skipped] = states.load_latest(program.state()).value();
  if (state) program.take(*state);
  std::printf(state ? "resuming after round %lld\n" : "starting\n", static_cast<long long>(last_round));

  for (std::int64_t round = last_round + 1; round <= rounds; ++round) {
    // Killed between the two, the program does the round again, and its row takes the place of this one.
    metrics.release(program.run_round(data), round).value();
    states.save(program.state(), round).value();
    std::printf("round %lld\n", static_cast<long long>(round));
    std::fflush(stdout);
  }
  std::printf("model %s\n", program.digest().c_str());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2 || argc > 4) {
    std::fprintf(stderr, "usage: milepost_federated DIR [ROUNDS [DIGITS]]\n");
    return 2;
  }
  run(argv[1], argc > 2 ? std::stoll(argv[2]) : 60, argc > 3 ? argv[3] : FEDERATED_DIGITS);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "milepost_federated: %s\n", error.what());
  return 1;
}
