// Chunks that are stored as they are, read straight to where they go.
#include "tests/engine/restore/damaged_store.h"
#include "tests/engine/restore/saved.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {
namespace {

constexpr std::size_t chunk = std::size_t{4} << 20;
constexpr std::ptrdiff_t guard = 4096;  // bytes around a target

// Notes where the bytes of data files are read to.
class ReadingStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  bool cached = false;  // what its files say

  std::vector<std::span<std::byte>> reads_within(std::span<const std::byte> memory) {
    std::vector<std::span<std::byte>> found;
    for (const auto& read : reads_) {
      if (read.data() >= memory.data() && read.data() < memory.data() + memory.size()) found.push_back(read);
    }
    return found;
  }

  Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) override {
    auto file = ForwardingStore::open_file(path);
    if (file.has_error() || path.find("data-") == std::string::npos) return file;
    return std::unique_ptr<ReadFile>(std::make_unique<NotingFile>(*this, std::move(file).value()));
  }

 private:
  class NotingFile final : public ReadFile {
   public:
    NotingFile(ReadingStore& store, std::unique_ptr<ReadFile> inner) : store_(store), inner_(std::move(inner)) {}
    std::uint64_t size() const override { return inner_->size(); }
    std::size_t memory_alignment() const override { return 512; }
    bool is_cached(std::uint64_t, std::uint64_t) const override { return store_.cached; }
    void read_at(std::uint64_t offset, std::span<std::byte> into, IoCompletion done) override {
      {
        const std::lock_guard lock(store_.mutex_);
        store_.reads_.push_back(into);
      }
      inner_->read_at(offset, into, std::move(done));
    }

   private:
    ReadingStore& store_;
    const std::unique_ptr<ReadFile> inner_;
  };

  std::mutex mutex_;
  std::vector<std::span<std::byte>> reads_;
};

// Two whole chunks and a part of a third one, of noise that no codec makes smaller, saved and restored into memory that
// begins `offset` bytes behind a multiple of 4 KiB.
struct InPlace {
  explicit InPlace(std::size_t offset, Codec codec = Codec::none(), bool cached = false)
      : store(std::make_shared<ReadingStore>(std::make_shared<SimulatedStore>())),
        memory(Tensor::allocate(DType::u8, {static_cast<std::int64_t>(2 * guard + offset + bytes)}).value()) {
    store->cached = cached;
    saved["noise"] = make_tensor(DType::u8, {static_cast<std::int64_t>(bytes)}, Layout::packed, 9);
    CheckpointManager manager = open_manager(small_options(store));
    EXPECT_TRUE(manager.save(1, {{"state", saved}}, {.codec = codec}).value());
    EXPECT_OK(manager.wait_until_finished());

    std::memset(memory.data(), 0x5a, memory.byte_count());
    target["noise"] = Tensor::view(memory.data() + guard + offset, DType::u8, {static_cast<std::int64_t>(bytes)});
    const auto restored = manager.restore(1, {.items = {{.name = "state", .target = target}}});
    EXPECT_EQ(error_of(restored), "");
    EXPECT_EQ(difference(saved, target), "");
    EXPECT_EQ(std::count(memory.data(), memory.data() + guard, std::byte{0x5a}), guard);
    EXPECT_EQ(
        std::count(memory.data() + memory.byte_count() - guard, memory.data() + memory.byte_count(), std::byte{0x5a}),
        guard);
  }
  std::size_t reads() { return store->reads_within({memory.data(), memory.byte_count()}).size(); }

  static constexpr std::size_t bytes = 2 * chunk + 4095;
  std::shared_ptr<ReadingStore> store;
  Tensor memory;
  Tree saved;
  Tree target;
};

// Its files stay a moment in the call that reads when the bytes are there, and count if they are closed meanwhile.
class LingeringStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  int closed_within_a_call = 0;

  Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) override {
    auto file = ForwardingStore::open_file(path);
    if (file.has_error() || path.find("data-") == std::string::npos) return file;
    return std::unique_ptr<ReadFile>(std::make_unique<LingeringFile>(*this, std::move(file).value()));
  }

 private:
  class LingeringFile final : public ReadFile {
   public:
    LingeringFile(LingeringStore& store, std::unique_ptr<ReadFile> inner) : store_(store), inner_(std::move(inner)) {}
    ~LingeringFile() override {
      const std::lock_guard lock(store_.mutex_);
      if (store_.calls_ == 0) return;
      ++store_.closed_within_a_call;
      store_.closed_.notify_all();
    }
    std::uint64_t size() const override { return inner_->size(); }
    std::size_t memory_alignment() const override { return 512; }
    bool is_cached(std::uint64_t, std::uint64_t) const override { return false; }
    void read_at(std::uint64_t offset, std::span<std::byte> into, IoCompletion done) override {
      LingeringStore& store = store_;
      {
        const std::lock_guard lock(store.mutex_);
        ++store.calls_;
      }
      inner_->read_at(offset, into, std::move(done));
      std::unique_lock lock(store.mutex_);
      store.closed_.wait_for(lock, std::chrono::milliseconds(100), [&] { return store.closed_within_a_call > 0; });
      --store.calls_;
    }

   private:
    LingeringStore& store_;
    const std::unique_ptr<ReadFile> inner_;
  };

  std::mutex mutex_;
  std::condition_variable closed_;
  int calls_ = 0;
};

TEST(RestoreInPlace, NoFileIsClosedWhileAWorkerIsInIt) {
  const auto store = std::make_shared<LingeringStore>(std::make_shared<SimulatedStore>());
  CheckpointManager manager = open_manager(small_options(store));
  Tree saved;
  saved["noise"] = make_tensor(DType::u8, {chunk}, Layout::packed, 9);
  ASSERT_TRUE(manager.save(1, {{"state", saved}}, {.codec = Codec::none()}).value());
  ASSERT_EQ(error_of(manager.wait_until_finished()), "");
  Tree target;
  target["noise"] = Tensor::allocate(DType::u8, {chunk}).value();  // never touched: a worker starts the read
  EXPECT_EQ(error_of(manager.restore(1, {.items = {{.name = "state", .target = target}}})), "");
  EXPECT_EQ(difference(saved, target), "");
  EXPECT_EQ(store->closed_within_a_call, 0);
}

TEST(RestoreInPlace, WholeBlocksToAnAddressThatTheDeviceTakes) {
  EXPECT_EQ(InPlace(0).reads(), 2U);
  EXPECT_EQ(InPlace(512).reads(), 2U);
}

TEST(RestoreInPlace, NothingToAnAddressThatItDoesNotTake) { EXPECT_EQ(InPlace(64).reads(), 0U); }

TEST(RestoreInPlace, FromThePageCacheToAnyAddress) { EXPECT_EQ(InPlace(64, Codec::none(), true).reads(), 3U); }

// The last chunk comes with its padding, which is checked, and is not the caller's.
TEST(RestoreInPlace, WhatIsPaddedGoesByABlock) {
  EXPECT_EQ(InPlace(0, Codec::zstd(1), true).reads(), 2U);
  EXPECT_EQ(InPlace(64, Codec::zstd(1), true).reads(), 2U);
}

// Coded to whole blocks, which is chance.
TEST(RestoreInPlace, WhatIsCodedGoesByABlock) {
  constexpr std::size_t bytes = std::size_t{1} << 20;
  Tensor content = Tensor::allocate(DType::u8, {bytes}).value();
  const Tensor noise = make_tensor(DType::u8, {bytes / 2}, Layout::packed, 9);
  ChunkEncoder encoder;
  std::vector<std::byte> out(encoded_bytes_max(bytes));
  std::size_t stored = 1;
  for (std::size_t noisy = bytes / 4; stored % io_alignment != 0; noisy += io_alignment - stored % io_alignment) {
    ASSERT_LT(noisy, noise.byte_count());
    std::memset(content.data(), 0, bytes);
    std::memcpy(content.data(), noise.data(), noisy);
    const auto coded = encoder.encode(Codec::zstd(1), ElementKind::other, {content.data(), bytes}, out);
    stored = coded.value().stored_bytes;
  }
  ASSERT_LT(stored, bytes);

  const auto store = std::make_shared<ReadingStore>(std::make_shared<SimulatedStore>());
  CheckpointManager manager = open_manager(small_options(store));
  Tree saved;
  saved["content"] = content;
  ASSERT_TRUE(manager.save(1, {{"state", saved}}, {.codec = Codec::zstd(1)}).value());
  ASSERT_EQ(error_of(manager.wait_until_finished()), "");
  ASSERT_EQ(read_files(*store, "1").at("1/state/data-0.bin").size(), stored);
  Tree target;
  target["content"] = Tensor::allocate(DType::u8, {bytes}).value();
  EXPECT_EQ(error_of(manager.restore(1, {.items = {{.name = "state", .target = target}}})), "");
  EXPECT_EQ(difference(saved, target), "");
}

// Though a small leaf comes before them in the tree, and each other's chunks are not theirs.
TEST(RestoreInPlace, LeavesOfWholePagesHaveChunksOfTheirOwn) {
  for (const SnapshotMode mode : {SnapshotMode::copy, SnapshotMode::lazy, SnapshotMode::borrow}) {
    const auto store = std::make_shared<ReadingStore>(std::make_shared<SimulatedStore>());
    CheckpointManager manager = open_manager(small_options(store));
    Tree saved;
    saved["bias"] = make_tensor(DType::f32, {25}, Layout::packed, 1);
    saved["down"] = make_tensor(DType::f32, {3, chunk / 8}, Layout::packed, 2);
    saved["up"] = make_tensor(DType::f32, {chunk / 8, 3}, Layout::packed, 3);
    ASSERT_TRUE(manager.save(1, {{"state", saved}}, {.mode = mode, .codec = Codec::none()}).value());
    ASSERT_EQ(error_of(manager.wait_until_finished()), "");
    const auto restored = manager.restore(1);
    ASSERT_EQ(error_of(restored), "");
    Tree tree = restored->items.front().tree;
    EXPECT_EQ(difference(saved, tree), "");
    for (const char* const leaf : {"down", "up"}) {
      const auto& tensor = *tree[leaf].get_if<Tensor>();
      std::size_t bytes = 0;
      for (const auto& read : store->reads_within({tensor.data(), tensor.byte_count()})) bytes += read.size();
      EXPECT_EQ(bytes, tensor.byte_count()) << leaf;
    }
  }
}

// A saved step whose last bit is another one now.
struct Damaged {
  Damaged() {
    saved["noise"] = make_tensor(DType::u8, {2 * chunk}, Layout::packed, 9);
    EXPECT_TRUE(manager.save(1, {{"state", saved}}, {.codec = Codec::none()}).value());
    EXPECT_OK(manager.wait_until_finished());
    FileBytes data = read_files(*store, "1").at(file);
    data.back() ^= std::byte{1};
    bytes = data.size();
    store->damage({{file, std::move(data)}});
    target["noise"] = Tensor::allocate(DType::u8, {2 * chunk}).value();  // in pages of its own
  }
  const std::string file = "1/state/data-0.safetensors";
  std::shared_ptr<DamagedStore> store = std::make_shared<DamagedStore>(std::make_shared<SimulatedStore>());
  CheckpointManager manager = open_manager(small_options(store));
  Tree saved;
  Tree target;
  std::size_t bytes = 0;  // of the file
};

TEST(RestoreInPlace, DamageIsFoundWhereTheBytesAre) {
  Damaged step;
  const auto restored = step.manager.restore(1, {.items = {{.name = "state", .target = step.target}}});
  expect_error(restored, ErrorCode::corruption,
               {"step 1", "leaf noise", step.file + "@" + std::to_string(step.bytes - chunk), "digest"});
}

TEST(RestoreInPlace, NotBeforeAllIsVerifiedIfThatIsWanted) {
  Damaged step;
  const Tree before = deep_copy(step.target);
  const auto restored =
      step.manager.restore(1, {.items = {{.name = "state", .target = step.target}}, .verify_first = true});
  expect_error(restored, ErrorCode::corruption, {"step 1", "leaf noise"});
  EXPECT_EQ(difference(before, step.target), "");
}

}  // namespace
}  // namespace milepost::testing
