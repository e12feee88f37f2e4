// Damage by the ten thousand: whatever bits, blocks or whole files of a step are others, it is told which file, from
// where on and which leaves, and nothing wrong is restored. In full with MILEPOST_PROVE.
#include "tests/engine/open_manager.h"
#include "tests/engine/restore/resealing.h"
#include "tests/engine/restore/specimen.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::HasSubstr;

// Every encoding; and two ranks, which today's writers do not make.
std::vector<std::unique_ptr<Specimen>> specimens() {
  std::vector<std::unique_ptr<Specimen>> all;
  for (const Codec& codec : {Codec::none(), Codec::fast(), Codec::zstd(1)}) {
    all.push_back(std::make_unique<Specimen>(codec));
  }
  all.push_back(std::make_unique<Specimen>(MILEPOST_SOURCE_DIR "/tests/golden/example", "step_", 42));
  return all;
}

FileBytes with_flipped(FileBytes bytes, std::size_t bit) {
  bytes.at(bit / 8) ^= std::byte{1} << bit % 8;
  return bytes;
}

TEST(Damage, OfEachBitOfManifestsTablesAndRecordsIsFound) {
  std::size_t count = 0;
  const std::size_t stride = trials<std::size_t>(151, 1);
  for (const auto& specimen : specimens()) {
    for (const auto& [file, good] : specimen->files()) {
      if (!file.ends_with(".json") && file.find("/chunks-") == std::string::npos) continue;
      for (std::size_t bit = 0; bit < 8 * good.size(); bit += stride, ++count) {
        ASSERT_EQ(specimen->escapes({{file, with_flipped(good, bit)}}), "") << file << ", bit " << bit;
      }
    }
  }
  report_trials("bits flipped of manifests, chunk tables and step records, each", count);
}

class RandomDamage {
 public:
  RandomDamage(const Specimen& specimen, std::uint64_t seed) : specimen_(specimen), random_(seed) {
    for (const auto& [path, bytes] : specimen.files()) paths_.push_back(path);
  }

  Damaged flip() {
    const std::string& file = any_file();
    return {{file, with_flipped(good(file), below(8 * good(file).size()))}};
  }

  // Something larger; `what` says what.
  Damaged operator()(std::string& what) {
    static constexpr std::array<std::pair<const char*, Damaged (RandomDamage::*)()>, 7> kinds = {{
        {"truncation", &RandomDamage::truncation},
        {"extension", &RandomDamage::extension},
        {"zeroed block", &RandomDamage::zeroed_block},
        {"swapped blocks", &RandomDamage::swapped_blocks},
        {"stale block", &RandomDamage::stale_block},
        {"swapped files", &RandomDamage::swapped_files},
        {"file of another step", &RandomDamage::file_of_another_step},
    }};
    for (;;) {
      const auto& [name, make] = kinds[below(kinds.size())];
      Damaged damaged = (this->*make)();
      std::erase_if(damaged, [&](const auto& file) { return file.second == good(file.first); });
      if (damaged.empty()) continue;
      what = name;
      return damaged;
    }
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }
  const std::string& any_file() { return paths_[below(paths_.size())]; }
  const FileBytes& good(const std::string& file) const { return specimen_.files().at(file); }

  Damaged truncation() {
    const std::string& file = any_file();
    FileBytes bytes = good(file);
    bytes.resize(below(bytes.size()));
    return {{file, bytes}};
  }

  // By zeros, or by what the file, or another, begins with.
  Damaged extension() {
    const std::string& file = any_file();
    FileBytes bytes = good(file);
    FileBytes more = below(3) == 0 ? FileBytes(5000) : good(below(2) == 0 ? file : any_file());
    more.resize(1 + below(more.size()));
    bytes.insert(bytes.end(), more.begin(), more.end());
    return {{file, bytes}};
  }

  // A place that a disk might write at once, cut off at the end of the file.
  struct Block {
    std::size_t begin;
    std::size_t end;
  };
  Block any_block(const FileBytes& bytes) {
    static constexpr std::array<std::size_t, 3> sizes = {16, 512, 4096};
    const std::size_t size = sizes[below(sizes.size())];
    const std::size_t begin = below((bytes.size() - 1) / size + 1) * size;
    return {begin, std::min(begin + size, bytes.size())};
  }

  Damaged zeroed_block() {
    const std::string& file = any_file();
    FileBytes bytes = good(file);
    const Block block = any_block(bytes);
    std::fill(bytes.begin() + block.begin, bytes.begin() + block.end, std::byte{0});
    return {{file, bytes}};
  }

  Damaged swapped_blocks() {
    const std::string& file = any_file();
    FileBytes bytes = good(file);
    const Block block = any_block(bytes);
    const std::size_t size = block.end - block.begin;
    const std::size_t other = below(bytes.size() / size) * size;
    if (other < block.end && block.begin < other + size) return {};
    std::swap_ranges(bytes.begin() + block.begin, bytes.begin() + block.end, bytes.begin() + other);
    return {{file, bytes}};
  }

  // A block as the same file of another step has it: a write that did not happen.
  Damaged stale_block() {
    const std::string& file = any_file();
    const auto other = specimen_.others().find(file);
    if (other == specimen_.others().end()) return {};
    FileBytes bytes = good(file);
    const Block block = any_block(bytes);
    for (std::size_t i = block.begin; i < std::min(block.end, other->second.size()); ++i) bytes[i] = other->second[i];
    return {{file, bytes}};
  }

  Damaged swapped_files() {
    const std::string& a = any_file();
    const std::string& b = any_file();
    return {{a, good(b)}, {b, good(a)}};
  }

  Damaged file_of_another_step() {
    const std::string& file = any_file();
    const auto other = specimen_.others().find(file);
    if (other == specimen_.others().end()) return {};
    return {{file, other->second}};
  }

  const Specimen& specimen_;
  std::mt19937_64 random_;
  std::vector<std::string> paths_;
};

TEST(Damage, OfARandomBitIsFound) {
  const auto all = specimens();
  const std::size_t each = trials<std::size_t>(800, 100'000) / all.size();
  for (const auto& specimen : all) {
    RandomDamage damage(*specimen, seed());
    for (std::size_t i = 0; i < each; ++i) {
      const Damaged damaged = damage.flip();
      ASSERT_EQ(specimen->escapes(damaged), "") << "flip " << i << ", of " << damaged.begin()->first;
    }
  }
  report_trials("bits flipped at random in files of every type", each * all.size());
}

TEST(Damage, OfBlocksAndWholeFilesIsFound) {
  const auto all = specimens();
  const std::size_t each = trials<std::size_t>(400, 12'000) / all.size();
  std::map<std::string, std::size_t> counts;
  for (const auto& specimen : all) {
    RandomDamage damage(*specimen, seed() + 1);
    for (std::size_t i = 0; i < each; ++i) {
      std::string what;
      const Damaged damaged = damage(what);
      ASSERT_EQ(specimen->escapes(damaged), "") << what << ' ' << i << ", of " << damaged.begin()->first;
      ++counts[what];
    }
  }
  EXPECT_EQ(counts.size(), 7u);
  for (const auto& [what, count] : counts) report_trials(what, count);
}

// What the search says where a digest is not looked at: here of damage whose digests were put right.
TEST(Damage, ThatEscapesIsSeen) {
  Specimen specimen(Codec::none());
  const std::string directory = specimen.directory() + "/array/";
  FileMap files = specimen.files();
  FileBytes& data = files.at(directory + "data-0.safetensors");
  const auto digest = [&] {
    const Digest found = Digest::of(std::span(data).subspan(io_alignment));
    return std::string(reinterpret_cast<const char*>(found.bytes.data()), found.bytes.size());
  };
  const std::string was = digest();
  data.back() ^= std::byte{1};
  std::string table = text_of(files.at(directory + "chunks-0.bin"));
  replace_all(table, was, digest());
  files.at(directory + "chunks-0.bin") = bytes_of(table);
  reseal(files, specimen.files(), specimen.directory());
  Damaged damaged;
  for (const auto& [path, bytes] : files) {
    if (bytes != specimen.files().at(path)) damaged.emplace(path, bytes);
  }
  EXPECT_EQ(damaged.size(), 4u);
  const std::string seen = specimen.escapes(damaged);
  EXPECT_THAT(seen, HasSubstr("other bytes are restored"));
  EXPECT_THAT(seen, HasSubstr("a damaged record is taken"));
  EXPECT_THAT(seen, HasSubstr("not found: 1/array/manifest.json"));
}

// A root record is no part of a step, and none depends on it.
TEST(Damage, OfEachBitOfTheRootRecordIsFound) {
  const auto files = std::make_shared<SimulatedStore>();
  ASSERT_TRUE(open_manager(small_options(files)).close().has_value());
  const auto store = std::make_shared<DamagedStore>(files);
  CheckpointManagerOptions options = small_options(store);
  options.read_only = true;
  CheckpointManager manager = open_manager(options);
  const FileBytes good = read_file(*files, "milepost.json", 1 << 20).value();
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    store->damage({{"milepost.json", with_flipped(good, bit)}});
    const auto metadata = manager.metadata();
    ASSERT_TRUE(metadata.has_error()) << "bit " << bit;
    ASSERT_EQ(metadata.error().code(), ErrorCode::corruption);
    ASSERT_THAT(metadata.error().to_string(), HasSubstr("milepost.json"));
  }
}

}  // namespace
}  // namespace milepost::testing
