// A training state of the shapes that a GPT has: weights and both moments of Adam, fp32, 156 leaves in
// memory of their own, filled with values that code like real ones.
#pragma once

#include "milepost/engine/items.h"
#include "milepost/engine/state/tree.h"
#include "bench/measure.h"
#include "bench/sample_data.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace milepost::bench {

// One parameter with what Adam keeps beside it.
struct GptParameter {
  std::string name;
  Shape shape;
  std::array<Tensor, 3> values;  // p, m, v
};

class GptState {
 public:
  // About that many bytes; never more.
  explicit GptState(std::uint64_t bytes_max) {
    std::int64_t width = 8;
    while (3 * sizeof(float) * count_of(shapes(width + 8)) <= bytes_max) width += 8;
    static const std::array<std::vector<float>, 3> tiles = {sample::weights(tile), sample::first_moment(tile),
                                                            sample::second_moment(tile)};
    for (auto& [name, shape] : shapes(width)) {
      GptParameter parameter{name, shape, {}};
      for (std::size_t k = 0; k < 3; ++k) {
        parameter.values[k] = checked(Tensor::allocate(DType::f32, shape));
        fill(parameter.values[k], tiles[k]);
        bytes_ += parameter.values[k].byte_count();
      }
      parameters_.push_back(std::move(parameter));
    }
  }

  std::uint64_t bytes() const { return bytes_; }
  const std::vector<GptParameter>& parameters() const { return parameters_; }

  // Of views: the memory is the training loop's, as in every example.
  Tree tree() const {
    Tree tree = Tree::map();
    for (const GptParameter& parameter : parameters_) {
      for (std::size_t k = 0; k < 3; ++k) {
        tree[kinds[k]][parameter.name] = Tensor::of(parameter.values[k].as<float>(), parameter.shape);
      }
    }
    tree["step"] = std::int64_t{1};
    return tree;
  }
  Items items() const { return {{"state", tree()}}; }

  std::vector<Tensor> tensors() const {
    std::vector<Tensor> all;
    for (const GptParameter& parameter : parameters_)
      all.insert(all.end(), parameter.values.begin(), parameter.values.end());
    return all;
  }

 private:
  using Named = std::vector<std::pair<std::string, Shape>>;
  static constexpr std::array<const char*, 3> kinds = {"params", "m", "v"};
  static constexpr std::size_t tile = 2 * mib;  // values; more than a chunk, so that no chunk repeats itself

  static Named shapes(std::int64_t width) {
    Named all = {{"wte", {8192, width}}, {"wpe", {1024, width}}, {"norm.g", {width}}, {"norm.b", {width}}};
    for (int layer = 0; layer < 4; ++layer) {
      const std::string prefix = "h" + std::to_string(layer) + ".";
      const auto add = [&](const char* name, Shape shape) { all.emplace_back(prefix + name, std::move(shape)); };
      add("norm1.g", {width});
      add("norm1.b", {width});
      add("qkv.w", {width, 3 * width});
      add("qkv.b", {3 * width});
      add("out.w", {width, width});
      add("out.b", {width});
      add("norm2.g", {width});
      add("norm2.b", {width});
      add("up.w", {width, 4 * width});
      add("up.b", {4 * width});
      add("down.w", {4 * width, width});
      add("down.b", {width});
    }
    return all;
  }
  static std::uint64_t count_of(const Named& shapes) {
    std::uint64_t count = 0;
    for (const auto& [name, shape] : shapes) count += static_cast<std::uint64_t>(*element_count(shape));
    return count;
  }
  static void fill(const Tensor& tensor, const std::vector<float>& values) {
    const std::uint64_t tile_bytes = values.size() * sizeof(float);
    for (std::uint64_t at = 0; at < tensor.byte_count(); at += tile_bytes) {
      std::memcpy(tensor.data() + at, values.data(), std::min(tile_bytes, tensor.byte_count() - at));
    }
  }

  std::vector<GptParameter> parameters_;
  std::uint64_t bytes_ = 0;
};

// The state of about that many bytes. One is kept: ask for the sizes one after the other.
inline const GptState& gpt_state(std::uint64_t bytes) {
  static std::uint64_t size = 0;
  static std::unique_ptr<GptState> state;
  if (size != bytes) {
    state.reset();
    state = std::make_unique<GptState>(bytes);
    size = bytes;
  }
  return *state;
}

}  // namespace milepost::bench
