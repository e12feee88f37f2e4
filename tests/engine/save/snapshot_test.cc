// A snapshot in mode cow that nobody captures but who writes, who fences, and readers in place, one after the other:
// what is protected, copied in the call and let go must then be right to the byte.
#include "milepost/engine/save/snapshot.h"
#include "tests/engine/open_manager.h"
#include "tests/support/mapped_pages.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

// Puts the segments together again. There are no workers.
class StreamInPieces final : public SnapshotSink {
 public:
  explicit StreamInPieces(const StreamPlan& plan) : plan_(plan), bytes_(plan.raw_bytes) {}

  void take(std::size_t segment, BufferLease block) noexcept override {
    std::memcpy(bytes_.data() + plan_.segments[segment].raw_offset, block.data(), plan_.segments[segment].raw_bytes);
    ++taken_;
  }
  bool dropped() const noexcept override { return false; }
  void drop(std::size_t) noexcept override { ADD_FAILURE(); }
  void need_room() noexcept override {}
  void fail(Error error) noexcept override { ADD_FAILURE() << error.to_string(); }
  void fail_leaf(std::size_t, std::size_t, Error error) noexcept override { ADD_FAILURE() << error.to_string(); }
  void captured() noexcept override {}
  bool post(Task) noexcept override { return false; }

  std::byte* data() { return bytes_.data(); }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  std::size_t taken() const { return taken_; }

 private:
  const StreamPlan& plan_;
  std::vector<std::byte> bytes_;
  std::atomic<std::size_t> taken_{0};
};

// Leaves in one piece of memory, in the order of the stream, each with others' memory in its first and last page.
class LeavesInOnePiece {
 public:
  static constexpr std::size_t mib = std::size_t{1} << 20;
  static constexpr std::size_t large_bytes = 10 * mib + 77;

  LeavesInOnePiece() {
    // The stream is cut within pages of "a" and of "large". The segment between lies in the small leaves, for the most.
    add("a", take(4 * mib + 100'000), 4 * mib + 100'000);
    for (int i = 10; i < 70; ++i) add("b" + std::to_string(i), take(50'000), 50'000);
    add("large", take(large_bytes), large_bytes);
    tree_["strided"] = Tensor::view(take(300 * 500), DType::u8, {300, 500}, {1, 300});
    // One within the other, and one that goes on behind it.
    std::byte* const tied = take(6 * mib + 9);
    add("tied", tied, 5 * mib + 9);
    add("tied within", tied + mib, mib + 9);
    add("tied beyond", tied + 4 * mib, 2 * mib + 9);
  }

  const Tree& tree() const { return tree_; }
  std::byte* leaf(const char* name) const { return tree_.find(name)->get_if<Tensor>()->data(); }

  void fill() {
    std::uint32_t random = 1;
    for (std::size_t at = 0; at < memory_.size(); at += 256) {
      random = random * 1664525 + 1013904223;
      std::memcpy(memory_.data() + at, &random, sizeof random);
    }
  }
  void overwrite() { std::memset(memory_.data(), 0x5A, memory_.size()); }
  void overwrite_backwards() {
    for (std::size_t i = memory_.size() / system_page_bytes(); i-- > 0;) {
      std::memset(memory_.page(i), 0x5A, system_page_bytes());
    }
  }

 private:
  // All leaves begin behind the begin of a page.
  std::byte* take(std::size_t bytes) {
    std::byte* const begin = memory_.page(pages_used_) + 64;
    pages_used_ += (64 + bytes) / system_page_bytes() + 1;
    return begin;
  }
  void add(const std::string& name, std::byte* data, std::size_t bytes) {
    tree_[name] = Tensor::view(data, DType::u8, {static_cast<std::int64_t>(bytes)});
  }

  MappedPages memory_{24 * mib / system_page_bytes()};
  std::size_t pages_used_ = 0;
  Tree tree_;
};

// Saved from what the leaves hold now.
struct SnapshotOfLeaves {
  explicit SnapshotOfLeaves(LeavesInOnePiece& leaves, Codec codec = Codec::none())
      : plan((leaves.fill(), plan_stream(leaves.tree(), codec))), expected(plan.raw_bytes) {
    plan.copy(0, plan.raw_bytes, 0, expected.data());
    EXPECT_EQ(error_of(snapshot.protect()), "");
    EXPECT_TRUE(snapshot.start(SnapshotMode::cow, 0));
    EXPECT_EQ(stream.taken(), 1u) << "the small leaves";
  }

  // As one who codes does. False: there is none.
  bool read_last_in_place() {
    const auto claimed = snapshot.claim_back();
    if (!claimed) return false;
    const Segment& segment = plan.segments[*claimed];
    for (std::uint32_t i = 0; i < segment.chunk_count; ++i) {
      const PlannedChunk& chunk = plan.chunks[segment.first_chunk + i];
      std::byte* const to = stream.data() + chunk.raw_offset;
      if (const std::byte* const data = snapshot.in_place(0, chunk)) {
        std::memcpy(to, data, chunk.raw_bytes);
      } else {
        snapshot.copy(0, chunk.raw_offset, chunk.raw_bytes, chunk.first_source, to);
      }
    }
    snapshot.mark_captured(*claimed);
    return true;
  }

  bool is_right() {
    snapshot.fence();
    snapshot.finish();
    return stream.bytes() == expected;
  }

  const StreamPlan plan;
  std::vector<std::byte> expected;
  BufferPool staging{{.capacity_bytes = 4 * chunk_bytes_max, .huge_pages = false}};
  StreamInPieces stream{plan};
  Snapshot snapshot{{&plan}, staging, stream};
};

class CopyOnWriteSnapshot : public ::testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_WRITE_GUARD(); }

  LeavesInOnePiece leaves;
};

TEST_F(CopyOnWriteSnapshot, EndsWhenAllIsCaptured) {
  SnapshotOfLeaves made(leaves);
  made.snapshot.fence();
  for (const char* const leaf : {"a", "large", "tied", "tied within"}) {
    EXPECT_FALSE(is_protected(leaves.leaf(leaf) + system_page_bytes())) << leaf;
  }
}

TEST_F(CopyOnWriteSnapshot, OfWritersAlone) {
  {
    SnapshotOfLeaves made(leaves);
    leaves.overwrite();
    EXPECT_TRUE(made.is_right());
  }
  SnapshotOfLeaves made(leaves);
  leaves.overwrite_backwards();
  EXPECT_TRUE(made.is_right());
}

TEST_F(CopyOnWriteSnapshot, OfReadersInPlaceThenWriters) {
  for (const int read : {2, 4}) {
    SnapshotOfLeaves made(leaves);
    for (int i = 0; i < read; ++i) ASSERT_TRUE(made.read_last_in_place());
    leaves.overwrite();
    EXPECT_TRUE(made.is_right()) << read;
  }
}

// The edges are not protected, and were copied.
TEST_F(CopyOnWriteSnapshot, OfWritersToEdgesThenReadersInPlace) {
  SnapshotOfLeaves made(leaves, Codec::fast());
  for (const char* const leaf : {"a", "large", "tied"}) *leaves.leaf(leaf) ^= std::byte{1};
  leaves.leaf("large")[LeavesInOnePiece::large_bytes - 1] ^= std::byte{1};
  EXPECT_EQ(made.stream.taken(), 1u);
  while (made.read_last_in_place()) {
  }
  EXPECT_TRUE(made.is_right());
}

// And not what its neighbours share with it.
TEST_F(CopyOnWriteSnapshot, LetsGoWhatIsCaptured) {
  SnapshotOfLeaves made(leaves);
  const Segment& segment = made.plan.segments[3];
  const SourceLeaf& large = made.plan.sources[segment.first_source];
  ASSERT_EQ(large.data, leaves.leaf("large"));
  ASSERT_LE(segment.raw_offset + segment.raw_bytes, large.offset + large.bytes);
  std::byte* const middle = leaves.leaf("large") + (segment.raw_offset - large.offset) + segment.raw_bytes / 2;
  EXPECT_TRUE(is_protected(middle));
  made.snapshot.fence(middle, 1);
  EXPECT_FALSE(is_protected(middle));
  leaves.overwrite();
  EXPECT_TRUE(made.is_right());
}

TEST_F(CopyOnWriteSnapshot, ProtectsNobodyElsesMemory) {
  const SnapshotOfLeaves made(leaves);
  for (const char* const leaf : {"a", "large", "tied"}) EXPECT_FALSE(is_protected(leaves.leaf(leaf))) << leaf;
  EXPECT_FALSE(is_protected(leaves.leaf("large") + LeavesInOnePiece::large_bytes));
  EXPECT_FALSE(is_protected(leaves.leaf("strided") + system_page_bytes()));
}

TEST_F(CopyOnWriteSnapshot, LeavesABlockForWhatIsCapturedLater) {
  const StreamPlan plan = plan_stream(leaves.tree(), Codec::none());
  const std::vector<const StreamPlan*> plans = {&plan};
  BufferPool one_block({.capacity_bytes = chunk_bytes_max, .huge_pages = false});
  EXPECT_EQ(error_of(CopyOnWrite::prepare(plans, one_block)),
            "too little of the state lies in large, contiguous leaves");
}

TEST_F(CopyOnWriteSnapshot, LetsGoOnePageOfMemoryThatWasMoved) {
  const StreamPlan plan = plan_stream(leaves.tree(), Codec::none());
  const std::vector<const StreamPlan*> plans = {&plan};
  BufferPool staging({.capacity_bytes = 4 * chunk_bytes_max, .huge_pages = false});
  const auto prepared = CopyOnWrite::prepare(plans, staging);
  ASSERT_EQ(error_of(prepared), "");
  const MappedPages elsewhere(1);
  const WriteGuard::Pages pages = (*prepared)->granule_of(elsewhere.data());
  EXPECT_EQ(pages.begin, elsewhere.data());
  EXPECT_EQ(pages.size(), elsewhere.size());
}

}  // namespace
}  // namespace milepost::testing
