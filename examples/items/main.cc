// Saves a model beside its configuration, its tokenizer and the place of its data loader, and brings them back.
//
//   milepost_items DIR TOKENIZER   the checkpoints go to DIR; TOKENIZER is any file or directory
#include "milepost/milepost.h"

#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace mp = milepost;

// A type of the program's own. Its handler is all it takes to make it an item.
struct DataLoader {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  std::int64_t position = 0;
  bool operator==(const DataLoader&) const = default;
};

template <> struct milepost::ItemHandler<DataLoader> {
  static constexpr std::string_view name = "example.data_loader";

  static Result<Tree> to_tree(const DataLoader& loader) {
    return Tree::map({{"seed", loader.seed}, {"epoch", loader.epoch}, {"position", loader.position}});
  }

  static Result<DataLoader> from_tree(Tree tree) {
    // What is read from a file may be anything: find() looks, where operator[] would insist.
    const auto read = [&tree]<class T>(std::string_view field, T& value) {
      const Tree* node = tree.find(field);
      const T* found = node ? node->get_if<T>() : nullptr;
      if (found) value = *found;
      return found != nullptr;
    };
    DataLoader loader;
    if (read("seed", loader.seed) && read("epoch", loader.epoch) && read("position", loader.position)) return loader;
    return Error(ErrorCode::corruption, "not the place of a data loader");
  }
};

void run(const std::string& directory, const std::string& tokenizer) {
  auto manager = mp::CheckpointManager::open(directory, {.max_to_keep = 2}).value();
  const std::int64_t step = manager.latest_step().value_or(0) + 1;

  std::vector<float> weights(1000, 0.5f);
  mp::Tree model;
  model["weights"] = mp::Tensor::of(weights.data(), {1000});
  const DataLoader loader{42, 3, 1000 * step};
  manager
      .save(step, {{"model", model},
                   mp::make_item("config", mp::JsonText{R"({"layers": 12, "heads": 8})"}).value(),
                   mp::make_item("loader", loader).value(),
                   mp::make_item("tokenizer", mp::Files::read(tokenizer).value()).value()})
      .value();
  manager.wait_until_finished().value();

  // Only these two are read from the disk.
  const mp::Restored restored = manager.restore(step, {.items = {{.name = "config"}, {.name = "loader"}}}).value();
  const auto config = restored.get<mp::JsonText>("config").value();
  if (restored.get<DataLoader>("loader").value() != loader) throw std::runtime_error("another data loader came back");
  std::printf("step %lld: config %s, loader at %lld\n", static_cast<long long>(step), config.text.c_str(),
              static_cast<long long>(loader.position));

  for (const auto& [name, item] : manager.metadata(step).value().items) {
    std::printf("  %-10s %-20s %llu bytes on disk\n", name.c_str(),
                item.handler.empty() ? "tree" : item.handler.c_str(),
                static_cast<unsigned long long>(item.stored_bytes));
  }
  manager.close().value();
}

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: milepost_items DIR TOKENIZER\n");
    return 2;
  }
  run(argv[1], argv[2]);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "milepost_items: %s\n", error.what());
  return 1;
}
