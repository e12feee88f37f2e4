#include "bench/real_state.h"

#include "milepost/engine/checkpoint_manager.h"
#include "milepost/engine/format/safetensors.h"
#include "milepost/io/try.h"
#include "bench/entropy.h"

#ifdef MILEPOST_BENCH_TEXT
#include "examples/gpt/trainer.h"
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

namespace milepost::bench {
namespace {

Result<Tree> from_checkpoint(const std::string& directory) {
  MILEPOST_ASSIGN(auto manager, CheckpointManager::open(directory, {.create = false, .read_only = true}));
  MILEPOST_ASSIGN(Restored restored, manager.restore());
  Tree state;
  for (Item& item : restored.items) state[item.name] = std::move(item.tree);
  return state;
}

#ifdef MILEPOST_BENCH_TEXT
Result<Tree> from_training() {
  constexpr int steps = 20;
  MILEPOST_ASSIGN(const gpt::Text text, gpt::Text::read(MILEPOST_BENCH_TEXT));
  gpt::TrainerConfig config;
  config.batch = 4;
  config.threads = 2;
  gpt::Trainer trainer(text, config);
  for (int i = 0; i < steps; ++i) trainer.train_step();
  Tree state;
  for (const gpt::NamedTensor& named : trainer.tensors()) {
    const DType dtype = named.kind == gpt::NamedTensor::Kind::f32 ? DType::f32 : DType::bf16;
    MILEPOST_ASSIGN(const Tensor tensor, Tensor::allocate(dtype, named.shape));
    std::memcpy(tensor.data(), named.data, tensor.byte_count());
    state[named.path] = tensor;
  }
  return state;
}
#else
Result<Tree> from_training() { return Error(ErrorCode::not_found, "the GPT example was not built, or has no text"); }
#endif

}  // namespace

Result<Tree> trained_state() {
  if (const char* directory = std::getenv("MILEPOST_BENCH_CHECKPOINT")) return from_checkpoint(directory);
  return from_training();
}

Result<Tree> published_weights() {
  const char* path = std::getenv("MILEPOST_BENCH_WEIGHTS");
  if (!path) return Error(ErrorCode::not_found, "MILEPOST_BENCH_WEIGHTS names no file");
  return read_safetensors(path);
}

Result<Tree> read_safetensors(const std::string& path) {
  const Error unreadable(ErrorCode::not_found, path + " cannot be read");
  std::error_code failure;
  const auto file_bytes = std::filesystem::file_size(path, failure);
  std::ifstream file(path, std::ios::binary);
  std::uint64_t header_bytes = 0;
  if (failure || !file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes)) return unreadable;
  std::vector<std::byte> beginning(std::min<std::uint64_t>(file_bytes, sizeof header_bytes + header_bytes));
  file.seekg(0);
  const auto read = [&file](std::byte* into, std::uint64_t bytes) {
    return static_cast<bool>(file.read(reinterpret_cast<char*>(into), static_cast<std::streamsize>(bytes)));
  };
  if (!read(beginning.data(), beginning.size())) return unreadable;
  MILEPOST_ASSIGN(const SafetensorsHeader header, decode_safetensors_header(beginning, file_bytes));
  Tree state;
  for (const SafetensorsEntry& entry : header.entries) {
    MILEPOST_ASSIGN(const Tensor tensor, Tensor::allocate(entry.dtype, entry.shape));
    if (!read(tensor.data(), tensor.byte_count())) return unreadable;
    state[entry.name] = tensor;
  }
  return state;
}

Tree repeat(const Tree& tree, std::uint64_t bytes) {
  Tree::List copies;
  const std::uint64_t once = byte_count(tree);
  for (std::uint64_t total = 0; total < bytes && once > 0; total += once) copies.push_back(tree);
  return Tree::list(std::move(copies));
}

Tree only(const Tree& tree, DType dtype) {
  Tree result = Tree::map();
  for_each_leaf(tree, [&](const std::string& path, const Tree& leaf) {
    const auto* tensor = leaf.get_if<Tensor>();
    if (tensor && tensor->dtype() == dtype) result[path] = *tensor;
  });
  return result;
}

double order0_bytes(const Tree& tree) {
  double total = 0;
  for_each_leaf(tree, [&](const std::string&, const Tree& leaf) {
    const auto* tensor = leaf.get_if<Tensor>();
    if (tensor) total += order0_bytes({tensor->data(), tensor->byte_count()}, element_kind_of(tensor->dtype()));
  });
  return total;
}

std::uint64_t byte_count(const Tree& tree) {
  std::uint64_t total = 0;
  for_each_leaf(tree, [&](const std::string&, const Tree& leaf) {
    if (const auto* tensor = leaf.get_if<Tensor>()) total += tensor->byte_count();
  });
  return total;
}

}  // namespace milepost::bench
