// Writes the checkpoints that milepost_command_test.py looks into: make_checkpoints DIRECTORY [PREFIX]
// Values are formulas that the test computes again.
#include "milepost/milepost.h"

#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

namespace mp = milepost;

namespace {

template <class T, class F> std::vector<T> filled(std::size_t count, F&& value_at) {
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<T>(value_at(i));
  return values;
}

void make(const std::string& directory, const std::string& prefix) {
  // Larger than two chunks.
  const auto big = filled<std::uint8_t>(std::size_t{9} << 20, [](std::size_t i) { return i * 7 % 251; });
  const auto weights = filled<float>(64 * 128, [](std::size_t i) { return static_cast<float>(i) * 0.25F; });
  const auto cube = filled<std::int64_t>(3 * 4 * 5, [](std::size_t i) { return static_cast<std::int64_t>(i) - 30; });
  const auto halves = filled<std::uint16_t>(1000, [](std::size_t i) { return 0x3f80 + i % 16; });  // bf16 from 1.0 up
  auto moments = filled<float>(100, [](std::size_t i) { return i < 50 ? 0.0F : 1.0F; });
  moments[3] = std::numeric_limits<float>::quiet_NaN();
  moments[4] = -std::numeric_limits<float>::infinity();

  mp::Tree model;
  for (int layer = 0; layer < 2; ++layer) {
    mp::Tree weight = mp::Tree::map();
    weight["w"] = mp::Tensor::of(weights.data(), {64, 128});
    if (layer == 0) model["layers"] = mp::Tree::list();
    model["layers"].get_if<mp::Tree::List>()->push_back(std::move(weight));
  }
  model["big"] = mp::Tensor::of(big.data(), {9, 1024, 1024});
  model["cube"] = mp::Tensor::of(cube.data(), {3, 4, 5});
  model["embedding"] = mp::Tensor::view(static_cast<const void*>(halves.data()), mp::DType::bf16, {10, 100});
  model["scalar"] = mp::Tensor::of(weights.data() + 1, {});
  model["none"] = mp::Tensor::of(weights.data(), {0, 3});
  model["config"]["name"] = "tiny\x1b[31m";
  model["config"]["dropout"] = 0.1;
  model["config"]["heads"] = 8;
  model["config"]["tied"] = true;
  model["config"]["nothing"] = nullptr;
  model["config"]["text"] = std::string(10'000, 'x');
  model["config"]["blob"] = mp::Tree::Bytes{std::byte{0xde}, std::byte{0xad}, std::byte{0x00}};

  mp::Tree optimizer;
  optimizer["m"] = mp::Tensor::of(moments.data(), {100});
  optimizer["cube"] = mp::Tensor::of(cube.data(), {60});

  auto manager = mp::CheckpointManager::open(directory, {.step_prefix = prefix}).value();
  const auto save = [&](std::int64_t step, mp::Codec codec, double loss) {
    manager
        .save(step, {{"model", model}, {"optimizer", optimizer}},
              {.metrics = {{"accuracy", 0.5}, {"loss", loss}},
               .custom_metadata_json = R"({"run": "test"})",
               .codec = codec})
        .value();
    manager.wait_until_finished().value();
  };
  save(10, mp::Codec::none(), 3.25);
  save(20, mp::Codec::fast(), std::numeric_limits<double>::quiet_NaN());
  save(30, mp::Codec::zstd(1), 1.5);
  manager.close().value();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  make(argv[1], argc > 2 ? argv[2] : "");
}
