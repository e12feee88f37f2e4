// Damage of a step is found, named, and never restored as if it were right. By the ten thousand: damage_search_test.cc.
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/bytes.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A few bytes of state, so that every bit can be tried.
Tree tiny_tree(std::uint64_t seed) {
  Tree tree;
  tree["w"] = make_tensor(DType::f32, {9}, Layout::packed, 3 * seed + 1);
  tree["n"] = make_tensor(DType::u8, {5}, Layout::packed, seed);
  tree["step"] = static_cast<std::int64_t>(seed);
  return tree;
}

// Steps 1 and 2, with items a and b each, on a disk whose files can be changed.
class Checkpoint {
 public:
  explicit Checkpoint(Codec codec) : manager_(open_manager(small_options(store_))) {
    for (const std::uint64_t step : {1, 2}) {
      const Items items = {{"a", tiny_tree(step)}, {"b", tiny_tree(step + 10)}};
      EXPECT_TRUE(manager_.save(static_cast<std::int64_t>(step), items, {.codec = codec}).value());
    }
    EXPECT_OK(manager_.wait_until_finished());
  }

  CheckpointManager& manager() { return manager_; }
  const std::shared_ptr<SimulatedStore>& store() { return store_; }

  std::vector<std::string> files(const std::string& directory) {
    std::vector<std::string> files;
    for (const DirectoryEntry& entry : store_->list_directory(directory).value()) {
      const std::string path = directory + '/' + entry.name;
      if (entry.type == EntryType::file) {
        files.push_back(path);
      } else {
        for (const std::string& below : this->files(path)) files.push_back(below);
      }
    }
    return files;
  }

  std::vector<std::byte> read(const std::string& path) { return read_file(*store_, path, 1 << 20).value(); }
  void write(const std::string& path, std::span<const std::byte> data) {
    EXPECT_OK(store_->remove_file(path));
    EXPECT_OK(write_file(*store_, path, data));
  }

  // What opening or verify() says of step 1; empty if nothing.
  std::string found() {
    auto reader = manager_.open_step(1);
    if (reader.has_error()) return reader.error().to_string();
    const auto damage = reader->verify();
    if (damage.has_error()) return damage.error().to_string();
    std::string text;
    for (const Damage& place : *damage) text += place.file + ": " + place.error.to_string() + "\n";
    return text;
  }

  // An error that says where, or the right content.
  void expect_never_wrong() {
    auto restored = manager_.restore(1);
    if (restored.has_error()) {
      EXPECT_EQ(restored.error().code(), ErrorCode::corruption) << restored.error().to_string();
      EXPECT_THAT(restored.error().to_string(), HasSubstr("step 1"));
      return;
    }
    EXPECT_EQ(difference(tiny_tree(1), restored->tree("a")), "");
    EXPECT_EQ(difference(tiny_tree(11), restored->tree("b")), "");
  }

  void expect_found(const std::string& file) {
    EXPECT_THAT(found(), HasSubstr(file));
    expect_never_wrong();
    EXPECT_EQ(difference(tiny_tree(2), manager_.restore(2)->tree("a")), "");  // other steps are not concerned
  }

 private:
  const std::shared_ptr<SimulatedStore> store_ = std::make_shared<SimulatedStore>();
  CheckpointManager manager_;
};

class DamagedStep : public ::testing::TestWithParam<Codec> {
 protected:
  static std::string data_file() { return GetParam().kind == Codec::Kind::none ? "data-0.safetensors" : "data-0.bin"; }
};
INSTANTIATE_TEST_SUITE_P(Codecs, DamagedStep, ::testing::Values(Codec::none(), Codec::fast(), Codec::zstd(1)),
                         [](const auto& codec) { return codec.param.to_string().substr(0, 4); });

TEST_P(DamagedStep, CutExtendedAndMissingFiles) {
  Checkpoint checkpoint(GetParam());
  for (const std::string& file : checkpoint.files("1")) {
    SCOPED_TRACE(file);
    const auto good = checkpoint.read(file);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, good.size() / 2, good.size() - 1, good.size() + 1, good.size() + 4096}) {
      auto bad = good;
      bad.resize(size);
      checkpoint.write(file, bad);
      checkpoint.expect_found(file);
    }
    EXPECT_OK(checkpoint.store()->remove_file(file));
    if (file == "1/step.json") {  // then it is not a step
      EXPECT_EQ(checkpoint.manager().restore(1).error().code(), ErrorCode::not_found);
    } else {
      checkpoint.expect_found(file);
      EXPECT_EQ(checkpoint.manager().restore(1).error().code(), ErrorCode::corruption);
    }
    EXPECT_OK(write_file(*checkpoint.store(), file, good));
  }
  EXPECT_EQ(checkpoint.found(), "");
}

TEST_P(DamagedStep, SwappedFiles) {
  Checkpoint checkpoint(GetParam());
  for (const std::string& file : checkpoint.files("1")) {
    SCOPED_TRACE(file);
    const auto good = checkpoint.read(file);
    std::vector<std::string> others = {"2" + file.substr(1)};
    if (file.starts_with("1/a/")) others.push_back("1/b/" + file.substr(4));
    for (const std::string& other : others) {
      checkpoint.write(file, checkpoint.read(other));
      checkpoint.expect_found(file);
    }
    checkpoint.write(file, good);
  }
  // Whole items, and whole steps.
  EXPECT_OK(checkpoint.store()->rename_no_replace("1/a", "1/c"));
  EXPECT_OK(checkpoint.store()->rename_no_replace("2/a", "1/a"));
  EXPECT_THAT(checkpoint.found(), HasSubstr("1/a/manifest.json"));
  EXPECT_EQ(checkpoint.manager().restore(1).error().code(), ErrorCode::corruption);
  EXPECT_OK(checkpoint.store()->rename_no_replace("1/a", "2/a"));
  EXPECT_OK(checkpoint.store()->rename_no_replace("1/c", "1/a"));
  EXPECT_OK(checkpoint.store()->rename_no_replace("2", "3"));
  const auto renamed = checkpoint.manager().restore(3);
  ASSERT_TRUE(renamed.has_error());
  EXPECT_EQ(renamed.error().code(), ErrorCode::corruption);
  EXPECT_THAT(renamed.error().to_string(), HasSubstr("is the record of step 2"));
}

TEST_P(DamagedStep, FilesThatNoRecordNames) {
  Checkpoint checkpoint(GetParam());
  EXPECT_OK(write_file(*checkpoint.store(), "1/extra", to_bytes("x")));
  EXPECT_OK(write_file(*checkpoint.store(), "1/b/extra", to_bytes("x")));
  EXPECT_THAT(checkpoint.found(), HasSubstr("1/extra: no record names this file"));
  EXPECT_THAT(checkpoint.found(), HasSubstr("1/b/extra: no record names this file"));
  EXPECT_EQ(difference(tiny_tree(1), checkpoint.manager().restore(1)->tree("a")), "");
}

TEST_P(DamagedStep, IsNamedToTheLeaf) {
  Checkpoint checkpoint(GetParam());
  const std::string file = "1/b/" + data_file();
  auto bytes = checkpoint.read(file);
  bytes.back() ^= std::byte{1};
  checkpoint.write(file, bytes);
  const auto restored = checkpoint.manager().restore(1);
  ASSERT_TRUE(restored.has_error());
  EXPECT_THAT(restored.error().to_string(), HasSubstr("step 1: item b: leaf "));
  EXPECT_THAT(restored.error().to_string(), HasSubstr(file + "@"));
  EXPECT_THAT(restored.error().to_string(), HasSubstr("digest"));
  const auto damage = checkpoint.manager().open_step(1)->verify().value();
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_EQ(damage[0].file, file);
  EXPECT_GT(damage[0].bytes, 0u);
  EXPECT_EQ(damage[0].error.code(), ErrorCode::corruption);
  EXPECT_THAT(damage[0].leaves, Contains(StartsWith("b: ")));
  // The other item is whole.
  EXPECT_EQ(difference(tiny_tree(1), checkpoint.manager().restore(1, {.items = {{.name = "a"}}})->tree()), "");
}

TEST_P(DamagedStep, VerifyFirstLeavesTheTargetUntouched) {
  auto store = std::make_shared<SimulatedStore>();
  auto manager = open_manager(small_options(store));
  Tree tree;
  for (int i = 0; i < 3; ++i) tree[std::to_string(i)] = make_tensor(DType::f32, {3 << 18}, Layout::packed, 1);
  ASSERT_TRUE(manager.save(1, {{"state", tree}}, {.codec = GetParam()}).value());
  EXPECT_OK(manager.wait_until_finished());
  const std::string file = "1/state/" + data_file();
  auto bytes = read_file(*store, file, 1 << 30).value();
  bytes[bytes.size() - 100] ^= std::byte{1};
  EXPECT_OK(store->remove_file(file));
  EXPECT_OK(write_file(*store, file, bytes));
  const Tree target = target_like(tree, Layout::packed);
  const Tree before = deep_copy(target);
  const RestoreItem item{.name = "state", .target = target};
  EXPECT_EQ(manager.restore(1, {.items = {item}, .verify_first = true}).error().code(), ErrorCode::corruption);
  EXPECT_EQ(difference(before, target), "");
  EXPECT_EQ(manager.restore(1, {.items = {item}}).error().code(), ErrorCode::corruption);
}

// A store in which one file has grown to a gigabyte, which nobody may read.
class GrownStore final : public ForwardingStore {
 public:
  GrownStore(std::shared_ptr<Store> inner, std::string path)
      : ForwardingStore(std::move(inner)), path_(std::move(path)) {}
  Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) override {
    if (path != path_) return ForwardingStore::open_file(path);
    return std::unique_ptr<ReadFile>(std::make_unique<GrownFile>());
  }

 private:
  struct GrownFile final : ReadFile {
    std::uint64_t size() const override { return std::uint64_t{1} << 30; }
    void read_at(std::uint64_t, std::span<std::byte>, IoCompletion done) override {
      ADD_FAILURE() << "it is read";
      done(Error(ErrorCode::io, "not to be read"));
    }
  };
  const std::string path_;
};

TEST(GrownFile, IsRefusedUnread) {
  Checkpoint checkpoint(Codec::fast());
  for (const std::string& file : checkpoint.files("1")) {
    SCOPED_TRACE(file);
    auto manager = open_manager(small_options(std::make_shared<GrownStore>(checkpoint.store(), file)));
    const auto restored = manager.restore(1);
    ASSERT_TRUE(restored.has_error());
    EXPECT_EQ(restored.error().code(), ErrorCode::corruption);
    EXPECT_THAT(restored.error().to_string(), HasSubstr(file));
  }
}

TEST(DamagedRootRecord, IsToldAndStepsStandForThemselves) {
  Checkpoint checkpoint(Codec::fast());
  checkpoint.write("milepost.json", to_bytes("nonsense"));
  const auto opened = CheckpointManager::open("simulated", small_options(checkpoint.store()));
  ASSERT_TRUE(opened.has_error());
  EXPECT_EQ(opened.error().code(), ErrorCode::corruption);
  EXPECT_THAT(opened.error().to_string(), HasSubstr("milepost.json"));
  auto options = small_options(checkpoint.store());
  options.read_only = true;
  EXPECT_EQ(difference(tiny_tree(1), open_manager(options).restore(1)->tree("a")), "");
}

}  // namespace
}  // namespace milepost::testing
