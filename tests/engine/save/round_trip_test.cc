// Whatever can be saved comes back to the last bit, however it is frozen, coded and laid out.
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <rapidcheck/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <random>
#include <string>
#include <utility>

namespace milepost::testing {
namespace {

const Codec codecs[] = {Codec::none(), Codec::fast(), Codec::zstd(3)};

CheckpointManager in_memory() { return open_manager(small_options(std::make_shared<SimulatedStore>())); }

// One manager for all the cases of a property: opening one for each would take most of the time.
class Saver {
 public:
  std::int64_t save(Items items, SnapshotMode mode, Codec codec) {
    ++step_;
    EXPECT_TRUE(manager_.save(step_, std::move(items), {.mode = mode, .codec = codec}).value());
    EXPECT_OK(manager_.wait_until_finished());
    return step_;
  }
  CheckpointManager& manager() { return manager_; }

 private:
  CheckpointManager manager_ = in_memory();
  std::int64_t step_ = 0;
};

TEST(RoundTrip, EveryDtypeLayoutAndLeaf) {
  const Tree tree = full_tree(1);
  Saver saver;
  for (const SnapshotMode mode : all_modes) {
    for (const Codec codec : codecs) {
      SCOPED_TRACE(std::string(to_string(mode)) + " " + codec.to_string());
      const auto step = saver.save({{"state", tree}}, mode, codec);
      EXPECT_HOLDS(saver.manager(), step, tree);
      EXPECT_TRUE(saver.manager().open_step(step)->verify().value().empty());
    }
  }
}

TEST(RoundTrip, LeavesAsItems) {
  const Tree trees[] = {Tree(make_tensor(DType::f32, {3, 2}, Layout::transposed, 1)),
                        Tree(make_tensor(DType::f32, {0}, Layout::packed, 1)),
                        Tree(make_tensor(DType::bf16, {}, Layout::packed, 1)),
                        Tree(5),
                        Tree(),
                        Tree("text"),
                        Tree(std::string(5000, 'x')),
                        Tree(Tree::Bytes(5000, std::byte{7})),
                        Tree::map(),
                        Tree::list()};
  Saver saver;
  for (const SnapshotMode mode : all_modes) {
    for (const Codec codec : codecs) {
      Items items;
      for (const Tree& tree : trees) items.push_back({"item " + std::to_string(items.size()), tree});
      const auto step = saver.save(items, mode, codec);
      auto restored = saver.manager().restore(step).value();
      ASSERT_EQ(restored.items.size(), items.size());
      for (const Item& item : items) {
        EXPECT_EQ(difference(item.tree, restored.tree(item.name)), "") << item.name;
        const Tree target = target_like(item.tree, Layout::reversed);
        auto in_place = saver.manager().restore(step, {.items = {{.name = item.name, .target = target}}}).value();
        EXPECT_EQ(difference(item.tree, in_place.tree()), "") << item.name;
      }
    }
  }
}

// Leaves just under, at and over the sizes at which streams are cut.
TEST(RoundTrip, ChunkBoundaries) {
  constexpr std::int64_t chunk = 4 << 20;
  Tree tree;
  for (const std::int64_t bytes : {chunk, chunk + 1, std::int64_t{256} << 10, (std::int64_t{256} << 10) - 1}) {
    tree["u8 " + std::to_string(bytes)] = make_tensor(DType::u8, {bytes}, Layout::packed, 3);
  }
  tree["f64"] = make_tensor(DType::f64, {300, 200}, Layout::transposed, 4);
  tree["f16"] = make_tensor(DType::f16, {chunk / 2 - 1}, Layout::reversed, 4);
  Saver saver;
  for (const Codec codec : {Codec::none(), Codec::fast()}) {
    const auto step = saver.save({{"state", tree}}, SnapshotMode::lazy, codec);
    EXPECT_HOLDS(saver.manager(), step, tree);
  }
}

// Of leaves that have chunks of their own a segment is written at a time, or twice where padding leaves no room.
TEST(RoundTrip, SmallChunksAreWrittenTogether) {
  const auto store = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  std::atomic<int> writes{0};
  store->before([&](Operation operation, const std::string& path) {
    if (operation == Operation::write && path.find("data-0") != std::string::npos) ++writes;
  });
  auto manager = open_manager(small_options(store));
  std::mt19937 random;
  std::int64_t step = 0;
  for (const auto& [bytes, writes_max] : {std::pair(256 << 10, 2 + 1), std::pair((256 << 10) + 4, 2 * 2)}) {
    Tree tree;  // of two segments
    for (int i = 0; i < 24; ++i) {
      Tensor leaf = Tensor::allocate(DType::u8, {bytes}).value();
      std::generate_n(leaf.as<std::uint32_t>(), bytes / 4, std::ref(random));  // no coder makes it smaller
      tree[std::to_string(i)] = std::move(leaf);
    }
    for (const SnapshotMode mode : all_modes) {
      for (const Codec codec : {Codec::none(), Codec::fast()}) {
        SCOPED_TRACE(std::to_string(bytes) + " " + std::string(to_string(mode)) + " " + codec.to_string());
        writes = 0;
        ASSERT_TRUE(manager.save(++step, {{"state", tree}}, {.mode = mode, .codec = codec}).value());
        EXPECT_OK(manager.wait_until_finished());
        EXPECT_GE(writes, 2);
        EXPECT_LE(writes, writes_max);
        EXPECT_HOLDS(manager, step, tree);
      }
    }
  }
}

TEST(RoundTripProperty, AnyTrees) {
  Saver saver;
  EXPECT_TRUE(rc::check([&] {
    const auto seeds = *rc::gen::resize(4, rc::gen::nonEmpty(rc::gen::arbitrary<std::vector<std::uint64_t>>()));
    const SnapshotMode mode = all_modes[*rc::gen::inRange<std::size_t>(0, std::size(all_modes))];
    const Codec codec = codecs[*rc::gen::inRange(0, 3)];
    const Layout layout = *rc::gen::element(Layout::packed, Layout::transposed, Layout::sliced, Layout::reversed);
    Items items;
    for (const std::uint64_t seed : seeds) items.push_back({"item" + std::to_string(items.size()), random_tree(seed)});
    const auto step = saver.save(items, mode, codec);

    auto restored = saver.manager().restore(step).value();
    RC_ASSERT(restored.items.size() == items.size());
    RestoreOptions options;
    for (const Item& item : items) {
      RC_ASSERT(difference(item.tree, restored.tree(item.name)) == "");
      options.items.push_back({.name = item.name, .target = target_like(item.tree, layout)});
    }
    auto in_place = saver.manager().restore(step, options).value();
    for (std::size_t i = 0; i < items.size(); ++i) {
      // The memory of the target, not only the tree that is given back.
      RC_ASSERT(difference(items[i].tree, in_place.items[i].tree) == "");
      for_each_leaf(*options.items[i].target, [&](const std::string& path, const Tree& leaf) {
        if (leaf.get_if<Tensor>()) RC_ASSERT(difference(*items[i].tree.find(path), leaf) == "");
      });
      options.items[i].target = abstract_like(items[i].tree);
    }
    auto fresh = saver.manager().restore(step, options).value();
    for (std::size_t i = 0; i < items.size(); ++i) RC_ASSERT(difference(items[i].tree, fresh.items[i].tree) == "");
  }));
}

// The same on a file system, with direct I/O.
TEST(RoundTrip, OnDisk) {
  const TempDir directory;
  const Tree tree = full_tree(2);
  for (const IoBackend backend : {IoBackend::automatic, IoBackend::threads}) {
    auto options = small_options();
    options.io_backend = backend;
    auto manager = open_manager(options, directory.string());
    const std::int64_t first = manager.latest_step().value_or(0) + 1;
    for (std::int64_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(manager.save(first + i, {{"state", tree}}, {.mode = all_modes[i], .codec = codecs[i]}).value());
    }
    EXPECT_OK(manager.wait_until_finished());
    for (std::int64_t i = 0; i < 3; ++i) EXPECT_HOLDS(manager, first + i, tree);
  }
}

TEST(RoundTrip, MetricsAndMetadata) {
  auto manager = in_memory();
  const Metrics metrics = {{"loss", 0.1}, {"accuracy", -0.0}};
  ASSERT_TRUE(
      manager.save(3, {{"b", 1}, {"a", 2}}, {.metrics = metrics, .custom_metadata_json = R"( {"run": [1, "x"]} )"})
          .value());
  EXPECT_OK(manager.wait_until_finished());
  const auto reader = manager.open_step(3).value();
  EXPECT_EQ(reader.record().metrics, metrics);
  EXPECT_EQ(reader.record().custom_metadata_json, R"({"run":[1,"x"]})");
  ASSERT_EQ(reader.record().items.size(), 2u);
  EXPECT_EQ(reader.record().items[0].name, "a");
}

}  // namespace
}  // namespace milepost::testing
