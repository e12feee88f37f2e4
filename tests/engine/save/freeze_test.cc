// The content of a step is that of the call, whatever is done to the buffers as soon as that is allowed.
// And: memory stays within its bound, however large the state is.
#include "milepost/engine/save/save_job.h"
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {
namespace {

// A few chunks, packed and strided, large and small.
Tree changing_tree(std::uint64_t seed) {
  Tree tree = small_tree(seed);
  tree["large"] = make_tensor(DType::f32, {300000}, Layout::packed, 3 * seed + 1);
  tree["strided"] = make_tensor(DType::bf16, {300, 500}, Layout::transposed, 3 * seed + 1);
  for (int i = 0; i < 20; ++i) tree["many"][std::to_string(i)] = make_tensor(DType::f32, {1000}, Layout::packed, seed);
  return tree;
}

const Codec freeze_codecs[] = {Codec::none(), Codec::fast()};

// The call, with the store stopped (nothing can be coded yet) or not, then `release`, then the scribbling.
template <class Release> void expect_content_of_the_call(SnapshotMode mode, const Release& release) {
  for (const bool stopped : {true, false}) {
    for (const Codec codec : freeze_codecs) {
      auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
      auto options = small_options(hooks);
      options.staging_bytes = 128 << 20;  // room for all: nothing has to be written before the call returns
      auto manager = open_manager(options);
      Gate gate;
      if (stopped) {
        hooks->before([&](Operation operation, const std::string& path) {
          if (operation == Operation::make_directory && path.ends_with("/state")) gate.pass();
        });
      }
      const Tree tree = changing_tree(1);
      const Tree expected = deep_copy(tree);
      EXPECT_TRUE(manager.save(1, {{"state", tree}}, {.mode = mode, .codec = codec}).value());
      release(manager, tree, gate);
      gate.open();
      EXPECT_OK(manager.wait_until_finished());
      EXPECT_HOLDS(manager, 1, expected);
    }
  }
}

TEST(Freeze, CopyAndCowNeedNoFence) {
  for (const SnapshotMode mode : {SnapshotMode::copy, SnapshotMode::cow}) {
    expect_content_of_the_call(mode, [](CheckpointManager&, const Tree& tree, Gate&) { scribble(tree); });
  }
}

TEST(Freeze, FenceCapturesAll) {
  for (const SnapshotMode mode : all_modes) {
    expect_content_of_the_call(mode, [](CheckpointManager& manager, const Tree& tree, Gate&) {
      manager.fence();
      scribble(tree);
    });
  }
}

// The whole memory of a leaf, or a piece of it.
TEST(Freeze, FenceCapturesThatMemory) {
  for (const SnapshotMode mode : {SnapshotMode::lazy, SnapshotMode::borrow, SnapshotMode::cow}) {
    expect_content_of_the_call(mode, [](CheckpointManager& manager, const Tree& tree, Gate&) {
      for_each_leaf(tree, [&](const std::string&, const Tree& leaf) {
        const auto* tensor = leaf.get_if<Tensor>();
        if (!tensor) return;
        manager.fence(tensor->data(), tensor->byte_count());
        scribble(leaf);
      });
    });
    expect_content_of_the_call(mode, [](CheckpointManager& manager, const Tree& tree, Gate&) {
      const Tensor& large = *tree.find("large")->get_if<Tensor>();
      const std::size_t piece = large.byte_count() / 7 + 1;
      for (std::size_t at = 0; at < large.byte_count(); at += piece) {
        const std::size_t bytes = std::min(piece, large.byte_count() - at);
        manager.fence(large.data() + at, bytes);
        std::memset(large.data() + at, 0x5A, bytes);
      }
      manager.fence(nullptr, 0);
      manager.fence(&manager, sizeof(manager));  // not part of the state
    });
  }
}

TEST(Freeze, BorrowedMemoryIsFreeOnceCaptured) {
  for (const SnapshotMode mode : {SnapshotMode::lazy, SnapshotMode::borrow, SnapshotMode::cow}) {
    expect_content_of_the_call(mode, [](CheckpointManager& manager, const Tree& tree, Gate& gate) {
      gate.open();
      EXPECT_TRUE(manager.wait_until(SaveEvent::captured).value());
      scribble(tree);
    });
  }
}

TEST(Freeze, StructureAndValuesAreThoseOfTheCall) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  Tree tree = small_tree(1);
  const Tree expected = deep_copy(tree);
  EXPECT_TRUE(manager.save(1, {{"state", tree}}, {.mode = SnapshotMode::borrow}).value());
  const Tree kept = tree;
  tree["text"] = "changed";
  tree["step"] = 9;
  tree["more"] = 1;
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, 1, expected);
}

TEST(Freeze, TensorsThatOwnTheirMemoryMayGo) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(hooks));
  Gate gate;
  hooks->before([&](Operation operation, const std::string&) {
    if (operation == Operation::create_file) gate.pass();
  });
  EXPECT_TRUE(manager.save(1, {{"state", changing_tree(2)}}, {.mode = SnapshotMode::borrow}).value());
  gate.open();
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, 1, changing_tree(2));
}

// A job of its own, with pools of a few blocks: many chunks go through, and never more than these blocks, whether
// somebody helps in a fence or nobody does. At its end it holds nothing of the state, although fences may still ask for
// it.
TEST(Staging, StreamsWithinItsBound) {
  constexpr std::size_t block = 4 << 20;
  std::vector<std::uint16_t> values(300 * 500);
  const std::shared_ptr<void> owner(values.data(), [](void*) {});
  Tree tree;
  tree["strided"] = Tensor::owning(owner, values.data(), DType::bf16, {300, 500}, {1, 300});
  for (int i = 0; i < 4; ++i) tree[std::to_string(i)] = make_tensor(DType::f32, {1 << 20}, Layout::packed, 1);
  const Tree expected = tree;
  const long holders = owner.use_count();
  for (const SnapshotMode mode : all_modes) {
    for (const auto& [codec, fenced] : {std::pair(Codec::none(), false), std::pair(Codec::none(), true),
                                        std::pair(Codec::fast(), false), std::pair(Codec::fast(), true)}) {
      SimulatedStore store;
      BufferPool staging({.capacity_bytes = 2 * block, .block_bytes = block});
      BufferPool coding({.capacity_bytes = 4 * coding_block_bytes(), .block_bytes = coding_block_bytes()});
      Spares<ChunkEncoder> encoders;
      std::shared_ptr<SaveJob> job;
      std::optional<Result<SaveReport>> report;
      {
        WorkerPool workers(2, 0);
        WorkerPool control(1, 0);
        const SaveContext context{&store, &workers, &staging, &coding, &encoders};
        SaveRequest request;
        request.step = 1;
        request.final_name = "1";
        request.items = {{"state", tree}};
        request.mode = mode;
        request.codec = codec;
        request.custom_metadata_json = "null";
        job = std::make_shared<SaveJob>(context, std::move(request), SaveJob::Clock::now());
        control.post([&] { report = job->run(); });
        EXPECT_TRUE(job->capture());
        if (fenced) {
          job->snapshot().fence();
          EXPECT_TRUE(job->snapshot().is_captured());
        }
        EXPECT_TRUE(job->wait_durable(std::nullopt));
        // With nothing left to wait for it does not wait for memory either.
        std::vector<BufferLease> all_there_is;
        while (auto lease = staging.try_acquire()) all_there_is.push_back(std::move(*lease));
        job->snapshot().fence();
      }  // joins
      EXPECT_EQ(owner.use_count(), holders);
      job->snapshot().fence(values.data(), sizeof values.front());
      ASSERT_TRUE(report.has_value());
      EXPECT_OK(*report);
      EXPECT_LE(staging.stats().mapped_bytes, 2 * block);
      EXPECT_LE(coding.stats().mapped_bytes, 4 * coding_block_bytes());
      EXPECT_EQ(staging.stats().leased_bytes, 0u);
      EXPECT_EQ(coding.stats().leased_bytes, 0u);
      if (mode == SnapshotMode::copy) {
        EXPECT_EQ(staging.stats().leased_peak_bytes, 2 * block);
      }

      WorkerPool workers(2, 0);
      Spares<DecodingSpace> decoders;
      const RestoreContext context{&store, &workers, &staging, &decoders};
      auto restored = StepReader::open(context, "1")->restore({}).value();
      EXPECT_EQ(difference(expected, restored.tree()), "");
      EXPECT_EQ(staging.stats().leased_bytes, 0u);
    }
  }
}

// What of the pools is in memory: nothing else asks for huge pages.
std::size_t resident_pool_bytes() {
  std::ifstream maps("/proc/self/smaps");
  std::size_t kb = 0;
  std::size_t all_kb = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.starts_with("Rss:")) kb = std::stoul(line.substr(4));
    if (line.starts_with("VmFlags:") && line.find(" hg") != std::string::npos) all_kb += kb;
  }
  return all_kb << 10;
}

// How much of the pools is in memory after a save of `bytes` and of so many long texts, which are in its index: before,
// and when that has been read. Nothing: a kernel without huge pages.
std::optional<std::pair<std::size_t, std::size_t>> resident_before_and_after_reading_an_index(std::size_t bound,
                                                                                              std::size_t bytes,
                                                                                              int texts) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.staging_bytes = bound;
  auto manager = open_manager(options);
  Tree tree;
  tree["large"] = make_tensor(DType::u8, {static_cast<std::int64_t>(bytes)}, Layout::packed, 1);
  for (int i = 0; i < texts; ++i) tree["texts"][std::to_string(i)] = std::string(inline_bytes_max, 'x');
  EXPECT_TRUE(manager.save(1, {{"state", tree}}, {.mode = SnapshotMode::copy}).value());
  EXPECT_OK(manager.wait_until_finished());
  const std::size_t before = resident_pool_bytes();
  if (before == 0) return std::nullopt;
  StepReader reader = manager.open_step(1).value();
  EXPECT_TRUE(reader.manifest("state").has_value());
  return std::pair(before, resident_pool_bytes());
}

TEST(Staging, GivesNoMoreMemoryToAnIndexThanThatNeeds) {
  constexpr std::size_t mib = 1 << 20;
  const auto small = resident_before_and_after_reading_an_index(64 * mib, 16 * mib, 1);
  if (!small) GTEST_SKIP() << "a kernel without huge pages";
  EXPECT_GE(small->first, 16 * mib);
  EXPECT_GE(small->second, small->first);
  const auto large = resident_before_and_after_reading_an_index(64 * mib, 16 * mib, 1000);
  EXPECT_LT(large->second, 4 * mib);
  // 8 MB of manifest, which takes long to read under a sanitizer.
  if (under_sanitizer && !in_full()) return;
  const auto beside_more = resident_before_and_after_reading_an_index(256 * mib, 160 * mib, 2000);
  EXPECT_GE(beside_more->first, 160 * mib);
  EXPECT_LT(beside_more->second, beside_more->first);
  EXPECT_GE(beside_more->second, beside_more->first - 128 * mib);
}

}  // namespace
}  // namespace milepost::testing
