#include "tests/engine/restore/specimen.h"

#include "milepost/engine/item_files.h"
#include "milepost/io/posix_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/bytes.h"
#include "tests/support/simulated_store.h"

#include <algorithm>
#include <utility>

namespace milepost::testing {
namespace {

// A few bytes of everything, so that each can be changed.
Items items_of_every_kind(std::uint64_t seed) {
  Tree state;
  state["b"] = make_tensor(DType::bf16, {40}, Layout::packed, seed);
  state["n"] = make_tensor(DType::u8, {50}, Layout::packed, seed + 1);
  state["none"] = make_tensor(DType::f32, {0, 3}, Layout::packed, seed);
  state["step"] = static_cast<std::int64_t>(seed);
  state["text"] = std::string(inline_bytes_max + 100, static_cast<char>('a' + seed % 20));
  state["w"] = make_tensor(DType::f32, {9, 30}, Layout::packed, 3 * seed + 1);
  Files files;
  files.content = Tree::map({{"merges", make_tensor(DType::u8, {70}, Layout::packed, seed + 2)},
                             {"run", make_tensor(DType::u8, {20}, Layout::packed, seed + 3)}});
  files.executable = {"run"};
  const auto blob = pattern(inline_bytes_max + 10, seed);
  return {make_item("array", make_tensor(DType::f64, {33}, Layout::packed, seed)).value(),
          make_item("blob", Tree::Bytes(blob)).value(),
          make_item("loader", JsonText{"{\"epoch\":" + std::to_string(seed) + "}"}).value(),
          {"state", state},
          make_item("tokenizer", files).value()};
}

std::shared_ptr<Store> store_with_steps(const Codec& codec) {
  const auto store = std::make_shared<SimulatedStore>();
  CheckpointManager manager = open_manager(small_options(store));
  for (const std::int64_t step : {1, 2}) {
    manager.save(step, items_of_every_kind(static_cast<std::uint64_t>(step)), {.codec = codec}).value();
  }
  manager.wait_until_finished().value();
  return store;
}

std::shared_ptr<Store> store_of(const std::string& directory) {
  return PosixStore::open(directory, {.create = false, .read_only = true, .backend = IoBackend::threads}).value();
}

CheckpointManagerOptions reading(const std::shared_ptr<Store>& store, const std::string& prefix) {
  CheckpointManagerOptions options = small_options(store);
  options.read_only = true;
  options.step_prefix = prefix;
  return options;
}

std::string describe(const std::string& file, std::uint64_t offset, std::uint64_t bytes,
                     const std::vector<std::string>& leaves) {
  std::string text = file + '@' + std::to_string(offset) + '+' + std::to_string(bytes) + " of";
  for (const std::string& leaf : leaves) text += " [" + leaf + ']';
  return text;
}

}  // namespace

Specimen::Specimen(const Codec& codec)
    : step_(1),
      directory_(name(1)),
      store_(std::make_shared<DamagedStore>(store_with_steps(codec))),
      manager_(open_manager(reading(store_, prefix_))) {
  for (auto& [path, bytes] : read_files(*store_, name(2))) others_.emplace(directory_ + path.substr(1), bytes);
  look_at_good();
}

Specimen::Specimen(const std::string& directory, const std::string& prefix, std::int64_t step)
    : prefix_(prefix),
      step_(step),
      directory_(name(step)),
      store_(std::make_shared<DamagedStore>(store_of(directory))),
      manager_(open_manager(reading(store_, prefix_))) {
  look_at_good();
}

void Specimen::look_at_good() {
  files_ = read_files(*store_, directory_);
  good_ = manager_.restore(step_).value().items;
  StepReader reader = manager_.open_step(step_).value();
  for (const ItemRecord& item : reader.record().items) {
    Index& index = index_[item.name];
    index.manifest = *reader.manifest(item.name).value();
    for_each_leaf(index.manifest.tree, [&](const std::string& path, const Tree& leaf) {
      if (leaf.get_if<Tensor>()) index.paths.push_back(path);
    });
    for (std::size_t s = 0; s < index.manifest.streams.size(); ++s) {
      index.chunks.push_back(*reader.chunks(item.name, s).value());
    }
  }
}

void Specimen::add_data_places(const std::string& item, std::size_t s, const FileBytes& found,
                               std::vector<Place>& places) const {
  const Index& index = index_.at(item);
  const Stream& stream = index.manifest.streams[s];
  const std::string file = directory_ + '/' + item + '/' + stream.data_file;
  const FileBytes& good = files_.at(file);
  const auto differs = [&](std::uint64_t from, std::uint64_t to) {
    to = std::min<std::uint64_t>(to, good.size());
    return std::mismatch(good.begin() + from, good.begin() + to, found.begin() + from).first - good.begin();
  };
  const auto leaves_in = [&](std::uint64_t from, std::uint64_t to) {
    std::vector<std::string> leaves;
    for (std::size_t i = 0; i < index.manifest.leaves.size(); ++i) {
      const StoredLeaf& leaf = index.manifest.leaves[i];
      if (std::any_of(leaf.shards.begin(), leaf.shards.end(), [&](const Shard& shard) {
            return shard.stream == s && shard.offset < to && shard.offset + leaf.bytes_of(shard) > from;
          })) {
        leaves.push_back(item + ": " + index.paths[i]);
      }
    }
    return leaves;
  };
  if (const auto at = static_cast<std::uint64_t>(differs(0, stream.data_offset)); at < stream.data_offset) {
    places.push_back({file, at, 1, leaves_in(0, stream.raw_bytes)});
  }
  for (const Chunk& chunk : index.chunks[s]) {
    const std::uint64_t end = chunk.file_offset + chunk.stored_bytes;
    const std::uint64_t padded_end =
        std::min<std::uint64_t>(stream.data_offset == 0 ? io_aligned(end) : end, good.size());
    if (static_cast<std::uint64_t>(differs(chunk.file_offset, padded_end)) < padded_end) {
      places.push_back({file, chunk.file_offset, chunk.stored_bytes,
                        leaves_in(chunk.raw_offset, chunk.raw_offset + chunk.raw_bytes)});
    }
  }
}

// Each file vouches for those below it: of what lies below a damaged one nothing is known.
std::vector<Specimen::Place> Specimen::expected_places(const Damaged& damaged) const {
  std::vector<Place> places;
  for (const auto& [item, index] : index_) {
    const std::string directory = directory_ + '/' + item + '/';
    const auto find = [&, &item = item](const std::string& file, auto is_damaged) {
      const auto found = damaged.find(directory + file);
      if (found == damaged.end() || !is_damaged(found->first, found->second)) return false;
      places.push_back({found->first, 0, 0, {item + ": (all)"}});
      return true;
    };
    const auto anyhow = [](const auto&, const auto&) { return true; };
    const auto in_size = [&](const std::string& path, const std::optional<FileBytes>& bytes) {
      return !bytes || bytes->size() != files_.at(path).size();
    };
    if (find("manifest.json", anyhow)) continue;
    const auto& streams = index.manifest.streams;
    if (std::any_of(streams.begin(), streams.end(), [&](const Stream& stream) {
          return find(stream.table_file, anyhow) || find(stream.data_file, in_size);
        })) {
      continue;
    }
    for (std::size_t s = 0; s < streams.size(); ++s) {
      const auto found = damaged.find(directory + streams[s].data_file);
      if (found != damaged.end()) add_data_places(item, s, *found->second, places);
    }
  }
  return places;
}

std::string Specimen::wrongly_restored() {
  const auto restored = manager_.restore(step_);
  if (restored.has_error()) {
    const std::string why = restored.error().to_string();
    const bool told = restored.error().code() == ErrorCode::corruption &&
                      why.find("step " + std::to_string(step_)) != std::string::npos;
    return told ? "" : "restoring fails otherwise: " + why + "\n";
  }
  for (std::size_t i = 0; i < good_.size(); ++i) {
    const std::string wrong = difference(good_[i].tree, restored->items.at(i).tree);
    if (!wrong.empty() || restored->items[i].handler != good_[i].handler) {
      return "other bytes are restored: " + wrong + "\n";
    }
  }
  return "";
}

std::string Specimen::wrongly_verified(const Damaged& damaged) {
  auto reader = manager_.open_step(step_);
  const std::string record = directory_ + "/step.json";
  if (reader.has_error()) {
    const bool told = damaged.contains(record) && reader.error().code() == ErrorCode::corruption &&
                      reader.error().to_string().find(record) != std::string::npos;
    return told ? "" : "opening fails otherwise: " + reader.error().to_string() + "\n";
  }
  const auto damage = reader->verify();
  if (damage.has_error()) return "verification ends: " + damage.error().to_string() + "\n";
  std::string text = damaged.contains(record) ? "a damaged record is taken\n" : "";
  std::vector<std::string> expected;
  std::vector<std::string> found;
  for (const Place& place : expected_places(damaged)) {
    expected.push_back(describe(place.file, place.offset, place.bytes, place.leaves));
  }
  for (const Damage& place : *damage) {
    found.push_back(describe(place.file, place.offset, place.bytes, place.leaves));
    const std::string why = place.error.to_string();
    if (place.error.code() != ErrorCode::corruption || why.find(place.file) == std::string::npos) {
      text += "told without the file: " + why + "\n";
    }
  }
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  for (const std::string& place : expected) {
    if (!std::binary_search(found.begin(), found.end(), place)) text += "not found: " + place + "\n";
  }
  for (const std::string& place : found) {
    if (!std::binary_search(expected.begin(), expected.end(), place)) text += "found beside: " + place + "\n";
  }
  return text;
}

std::string Specimen::escapes(const Damaged& damaged) {
  store_->damage(damaged);
  return wrongly_restored() + wrongly_verified(damaged);
}

}  // namespace milepost::testing
