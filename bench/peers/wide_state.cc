#include "bench/peers/wide_state.h"

#include "milepost/io/try.h"
#include "bench/real_state.h"
#include "examples/gpt/model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace milepost::bench {
namespace {

const std::int64_t trained_width = gpt::ModelConfig{}.width;

struct Leaf {
  std::string name;
  std::string kind;
  Tensor trained;
  std::uint64_t begin = 0;  // in the bytes of its kind
};

// From the path of a leaf, in whatever way it is nested: "params.head.w" of kind "params".
Result<std::pair<std::string, std::string>> name_and_kind(std::string path) {
  for (std::size_t at; (at = path.find("~1")) != std::string::npos;) path.replace(at, 2, "/");
  for (const std::string_view kind : {"params/", "opt/m/", "opt/v/", "bf16/"}) {
    const std::size_t at = path.find(kind);
    if (at == std::string::npos) continue;
    std::string name = path.substr(at);
    std::replace(name.begin(), name.end(), '/', '.');
    return std::pair(name, std::string(kind));
  }
  return Error(ErrorCode::invalid_argument, "leaf " + path + " is none of a GPT's");
}

Shape widened(Shape shape, std::int64_t width) {
  for (std::int64_t& extent : shape) {
    if (extent % trained_width == 0) extent = extent / trained_width * width;
  }
  return shape;
}

std::uint64_t bytes_at(const std::vector<Leaf>& leaves, std::int64_t width) {
  std::uint64_t total = 0;
  for (const Leaf& leaf : leaves)
    total += packed_bytes(leaf.trained.dtype(), widened(leaf.trained.shape(), width)).value();
  return total;
}

}  // namespace

Result<Tree> wide_state(std::uint64_t bytes) {
  MILEPOST_ASSIGN(const Tree trained, trained_state());
  std::vector<Leaf> leaves;
  std::map<std::string, std::vector<std::byte>> kinds;
  std::optional<Error> error;
  for_each_leaf(trained, [&](const std::string& path, const Tree& node) {
    const auto* tensor = node.get_if<Tensor>();
    if (tensor == nullptr) return;
    auto named = name_and_kind(path);
    if (named.has_error()) {
      error = named.error();
      return;
    }
    std::vector<std::byte>& all = kinds[named->second];
    leaves.push_back({named->first, named->second, *tensor, all.size()});
    all.insert(all.end(), tensor->data(), tensor->data() + tensor->byte_count());
  });
  if (error) return *error;

  // As models have them: a multiple of 64, the one that gives the nearest size.
  constexpr std::int64_t step = 64;
  std::int64_t width = step;
  while (bytes_at(leaves, width) + bytes_at(leaves, width + step) <= 2 * bytes) width += step;
  Tree wide = Tree::map();
  for (const Leaf& leaf : leaves) {
    MILEPOST_ASSIGN(const Tensor tensor, Tensor::allocate(leaf.trained.dtype(), widened(leaf.trained.shape(), width)));
    const std::vector<std::byte>& all = kinds.at(leaf.kind);
    std::uint64_t from = leaf.begin;
    for (std::uint64_t at = 0; at < tensor.byte_count();) {
      const std::uint64_t piece = std::min(tensor.byte_count() - at, all.size() - from);
      std::memcpy(tensor.data() + at, all.data() + from, piece);
      at += piece;
      from = (from + piece) % all.size();
    }
    wide[leaf.name] = tensor;
  }
  return wide;
}

Tree small_leaves(const Tree& state, int count) {
  constexpr std::int64_t values = 256;
  Tree leaves = Tree::map();
  int made = 0;
  for_each_leaf(state, [&](const std::string&, const Tree& node) {
    const auto& tensor = *node.get_if<Tensor>();
    if (tensor.dtype() != DType::f32) return;
    for (std::int64_t at = 0; made < count && at + values <= tensor.element_count(); at += values, ++made) {
      leaves["block" + std::to_string(made / 100) + ".w" + std::to_string(made % 100)] =
          Tensor::of(tensor.as<float>() + at, {values});
    }
  });
  return leaves;
}

}  // namespace milepost::bench
