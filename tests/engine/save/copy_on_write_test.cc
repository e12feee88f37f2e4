// Mode cow: everything is overwritten as soon as save() has returned, without a fence, and the step holds the state of
// the call; where that cannot be had the save is made in mode copy, or fails and says why. No writer is left waiting.
#include "tests/engine/saving.h"
#include "tests/support/fault_store.h"
#include "tests/support/mapped_pages.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/userfaultfd.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t mib = std::size_t{1} << 20;

// The bytes of each leaf. Quicker than deep_copy() and difference(), which look at each element, also under sanitizers.
using Content = std::map<std::string, std::vector<std::byte>>;
Content content_of(const Tree& tree) {
  Content content;
  for_each_leaf(tree, [&](const std::string& path, const Tree& leaf) {
    std::vector<std::byte>& bytes = content[path];
    if (const auto* tensor = leaf.get_if<Tensor>(); tensor && tensor->is_contiguous()) {
      bytes.resize(tensor->byte_count());
      std::memcpy(bytes.data(), tensor->data(), bytes.size());
    } else if (tensor) {
      bytes = packed(*tensor);
    }
  });
  return content;
}

void fill(std::byte* memory, std::size_t bytes) {
  std::minstd_rand random(static_cast<unsigned>(bytes));
  for (std::size_t at = 0; at < bytes; at += 64) memory[at] = static_cast<std::byte>(random() >> 8);
}

Tensor view_of(const MappedPages& memory) {
  return Tensor::view(memory.data(), DType::f32, {static_cast<std::int64_t>(memory.size() / 4)});
}

// Leaves of each kind that is treated in a way of its own, in memory with neighbours.
class State {
 public:
  explicit State(std::size_t large_bytes = 5 * mib) : large_(large_bytes / system_page_bytes()) {
    fill(large_.data(), large_.size());
    fill(tied_.data(), tied_.size());
    tree_["large"] = view_of(large_);
    tree_["untouched"] = view_of(untouched_);
    const std::size_t half = tied_.size() / 2;
    const auto tied = [&](std::size_t offset) {
      return Tensor::view(tied_.data() + offset, DType::u8, {static_cast<std::int64_t>(half)});
    };
    tree_["tied"]["whole"] = tied(0);
    tree_["tied"]["whole again"] = tied(0);
    tree_["tied"]["part"] = tied(half / 3);
    tree_["unaligned"] = on_the_heap(mib + 77);
    for (std::size_t i = 0; i < 8; ++i) tree_["heap"][std::to_string(i)] = on_the_heap(70'000 + 1000 * i);
    for (int i = 0; i < 100; ++i) tree_["no pages"][std::to_string(i)] = on_the_heap(60'000);  // a segment of them
    for (std::uint64_t i = 0; i < 20; ++i) {
      tree_["small"][std::to_string(i)] = make_tensor(DType::f32, {100}, Layout::packed, i);
    }
    tree_["strided"] = make_tensor(DType::bf16, {100, 50}, Layout::transposed, 5);
    tree_["text"] = std::string(100'000, 't');
  }

  const Tree& tree() const { return tree_; }

  // As a training step does that knows of no fence: on several threads, each in an order of its own.
  void overwrite() {
    std::vector<Tensor> tensors;
    for_each_leaf(tree_, [&](const std::string& path, const Tree& leaf) {
      const auto* tensor = leaf.get_if<Tensor>();
      if (tensor && tensor->is_contiguous() && path != "tied/part" && path != "tied/whole again")
        tensors.push_back(*tensor);
    });
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(t);
        std::vector<Tensor> mine;
        for (std::size_t i = t; i < tensors.size(); i += 3) mine.push_back(tensors[i]);
        std::shuffle(mine.begin(), mine.end(), random);
        for (const Tensor& tensor : mine) {
          const std::size_t piece = 1 + random() % (mib / 2);
          const std::size_t count = (tensor.byte_count() + piece - 1) / piece;
          for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = (t == 0 ? i : count - 1 - i) * piece;
            std::memset(tensor.data() + at, 0x5A, std::min(piece, tensor.byte_count() - at));
          }
        }
      });
    }
    scribble(*tree_.find("strided"));
    for (auto& neighbour : neighbours_)
      neighbour.assign(neighbour.size() * 2, 'n');  // gives memory back, and takes more
    for (std::thread& thread : threads) thread.join();
  }

 private:
  // With others' memory in its first and last page.
  Tensor on_the_heap(std::size_t bytes) {
    neighbours_.emplace_back(1000, 'n');
    const std::shared_ptr<void> memory(std::malloc(bytes + 3), std::free);
    auto* const data = static_cast<std::byte*>(memory.get()) + 3;
    std::memset(data, 0, bytes);
    fill(data, bytes);
    neighbours_.emplace_back(1000, 'n');
    return Tensor::owning(memory, data, DType::u8, {static_cast<std::int64_t>(bytes)});
  }

  MappedPages large_;
  MappedPages untouched_{mib / 2 / system_page_bytes()};
  MappedPages tied_{mib / system_page_bytes()};
  std::vector<std::string> neighbours_;
  Tree tree_;
};

// With room for the whole state: nobody has to wait for the store.
CheckpointManagerOptions roomy_options(std::shared_ptr<Store> store) {
  auto options = small_options(std::move(store));
  options.staging_bytes = 128 * mib;
  return options;
}

SaveOptions cow(Codec codec = Codec::none()) { return {.mode = SnapshotMode::cow, .codec = codec}; }

class CopyOnWriteSave : public ::testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_WRITE_GUARD(); }

  static void expect_mode(const CheckpointManager& manager, SnapshotMode mode, const std::string& reason) {
    const auto report = manager.last_save();
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->mode, mode);
    if (reason.empty()) {
      EXPECT_EQ(report->mode_reason, "");
    } else {
      EXPECT_THAT(report->mode_reason, HasSubstr(reason));
    }
  }

  const std::shared_ptr<HookStore> hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
};

// Whether everything is captured by writers and copiers alone (the store is stopped), or by readers in place too.
TEST_F(CopyOnWriteSave, HoldsTheStateOfTheCall) {
  auto manager = open_manager(roomy_options(hooks));
  std::int64_t step = 0;
  for (const Codec codec : {Codec::none(), Codec::fast()}) {
    for (const bool stopped : {true, false}) {
      State state;
      const Content expected = content_of(state.tree());
      std::optional<Stop> stop;
      hooks->before({});
      if (stopped) stop.emplace(*hooks, Operation::make_directory);
      ASSERT_TRUE(manager.save(++step, {{"state", state.tree()}}, cow(codec)).value());
      state.overwrite();
      if (stop) stop->gate.open();
      EXPECT_OK(manager.wait_until_finished());
      EXPECT_TRUE(content_of(manager.restore(step)->tree()) == expected);
      expect_mode(manager, SnapshotMode::cow, "");
    }
  }
}

// Writers then wait until the disk has made room, and no longer.
TEST_F(CopyOnWriteSave, OfAStateLargerThanTheStagingMemory) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  State state(32 * mib);
  const Content expected = content_of(state.tree());
  ASSERT_TRUE(manager.save(1, {{"state", state.tree()}}, cow()).value());
  state.overwrite();
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_TRUE(content_of(manager.restore(1)->tree()) == expected);
  expect_mode(manager, SnapshotMode::cow, "");
}

TEST_F(CopyOnWriteSave, WaitsForSystemCallsThatWrite) {
  auto manager = open_manager(small_options(hooks));
  const TempDir directory;
  const std::string path = directory.string() + "/file";
  std::ofstream(path) << std::string(8 * mib, 'x');
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const MappedPages memory(8 * mib / system_page_bytes());
  Tree tree;
  tree["w"] = view_of(memory);
  const Content expected = content_of(tree);
  {
    Stop stop(*hooks, Operation::make_directory);
    ASSERT_TRUE(manager.save(1, {{"state", tree}}, cow()).value());
    EXPECT_EQ(::pread(file.get(), memory.data(), memory.size(), 0), static_cast<ssize_t>(memory.size()));
    EXPECT_EQ(static_cast<char>(*memory.page(1000)), 'x');
    stop.gate.open();
    EXPECT_OK(manager.wait_until_finished());
  }
  EXPECT_TRUE(content_of(manager.restore(1)->tree()) == expected);
}

// The store is stopped and the staging memory full before the last leaf is read.
class LostMemory : public CopyOnWriteSave {
 protected:
  LostMemory() {
    tree["a"] = view_of(front);
    tree["z"] = view_of(*last);
  }

  template <class Lose> void expect_failure(const std::string& how, const Lose& lose) {
    auto manager = open_manager(small_options(hooks));
    Stop stop(*hooks, Operation::make_directory);
    ASSERT_TRUE(manager.save(1, {{"state", tree}}, cow()).value());
    lose();
    stop.gate.open();
    EXPECT_THAT(error_of(manager.wait_until_finished()),
                HasSubstr("step 1: item state: leaf z: its memory was " + how + " before it was captured"));
    std::memset(front.data(), 1, front.size());
    EXPECT_TRUE(manager.all_steps(true)->empty());
  }

  const MappedPages front{32 * mib / system_page_bytes()};
  std::optional<MappedPages> last{std::in_place, mib / system_page_bytes()};
  Tree tree;
};

TEST_F(LostMemory, UnmappedFailsTheSave) {
  expect_failure("unmapped", [&] { last.reset(); });
}

TEST_F(LostMemory, EmptiedFailsTheSave) {
  expect_failure("emptied", [&] { EXPECT_EQ(::madvise(last->page(8), system_page_bytes(), MADV_DONTNEED), 0); });
  std::memset(last->data(), 1, last->size());
}

TEST_F(LostMemory, OnceCapturedIsNoLoss) {
  auto manager = open_manager(roomy_options(hooks));
  Stop stop(*hooks, Operation::rename, "1");
  ASSERT_TRUE(manager.save(1, {{"state", tree}}, cow()).value());
  EXPECT_TRUE(manager.wait_until(SaveEvent::captured).value());
  last.reset();
  stop.gate.open();
  EXPECT_OK(manager.wait_until_finished());
}

TEST_F(CopyOnWriteSave, OfMemoryThatCannotBeProtectedIsACopy) {
  auto manager = open_manager(small_options(hooks));
  const TempDir directory;
  const std::string path = directory.string() + "/file";
  std::ofstream(path) << std::string(2 * mib, 'x');
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  const MappedPages memory(2 * mib / system_page_bytes(), MAP_PRIVATE, file.get());
  State state;
  Tree tree = state.tree();
  tree["mapped"] = view_of(memory);
  const Content expected = content_of(tree);
  ASSERT_TRUE(manager.save(1, {{"state", tree}}, cow()).value());
  state.overwrite();
  std::memset(memory.data(), 1, memory.size());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_TRUE(content_of(manager.restore(1)->tree()) == expected);
  expect_mode(manager, SnapshotMode::copy, "some of the memory is mapped from a file");
}

TEST_F(CopyOnWriteSave, OfSmallLeavesIsACopy) {
  auto manager = open_manager(small_options(hooks));
  save(manager, 1, cow());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, 1, tree_of(1));
  expect_mode(manager, SnapshotMode::copy, "too little of the state lies in large, contiguous leaves");
  ASSERT_TRUE(manager.save(2, {{"nothing", Tree::map()}}, cow()).value());
  EXPECT_OK(manager.wait_until_finished());
}

// The filter is this thread's, and that of the threads which it starts.
TEST(CopyOnWriteForbidden, IsACopy) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  State state;
  const Content expected = content_of(state.tree());
  std::thread([&] {
    const scmp_filter_ctx context = ::seccomp_init(SCMP_ACT_ALLOW);
    ASSERT_EQ(::seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SYS_userfaultfd, 0), 0);
#ifdef USERFAULTFD_IOC_NEW
    ASSERT_EQ(
        ::seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SYS_ioctl, 1, SCMP_A1(SCMP_CMP_EQ, USERFAULTFD_IOC_NEW)), 0);
#endif
    ASSERT_EQ(::seccomp_load(context), 0);
    ::seccomp_release(context);
    ASSERT_TRUE(manager.save(1, {{"state", state.tree()}}, cow()).value());
  }).join();
  state.overwrite();
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_TRUE(content_of(manager.restore(1)->tree()) == expected);
  EXPECT_EQ(manager.last_save()->mode, SnapshotMode::copy);
  EXPECT_EQ(manager.last_save()->mode_reason, "userfaultfd: Operation not permitted");
}

// Two managers save the same state at once: the second cannot protect what is protected.
TEST_F(CopyOnWriteSave, OfTheSameStateTwiceAtOnce) {
  auto first = open_manager(roomy_options(hooks));
  auto second = open_manager(small_options(std::make_shared<SimulatedStore>()));
  State state;
  const Content expected = content_of(state.tree());
  Stop stop(*hooks, Operation::make_directory);
  ASSERT_TRUE(first.save(1, {{"state", state.tree()}}, cow()).value());
  ASSERT_TRUE(second.save(1, {{"state", state.tree()}}, cow()).value());
  state.overwrite();
  stop.gate.open();
  for (CheckpointManager* manager : {&first, &second}) {
    EXPECT_OK(manager->wait_until_finished());
    EXPECT_TRUE(content_of(manager->restore(1)->tree()) == expected);
  }
  expect_mode(first, SnapshotMode::cow, "");
}

TEST_F(CopyOnWriteSave, ThatFailsLetsWritersGo) {
  const auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(faults));
  State state(32 * mib);
  for (const Operation operation : {Operation::make_directory, Operation::create_file, Operation::write}) {
    faults->inject(
        {.system_errno = ENOSPC, .after = operation == Operation::write ? 3u : 0u, .operations = {operation}});
    ASSERT_TRUE(manager.save(1, {{"state", state.tree()}}, cow()).value());
    state.overwrite();
    EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::no_space);
    faults->heal();
    state.overwrite();
  }
}

TEST_F(CopyOnWriteSave, EndsWithItsManager) {
  State state;
  const Content expected = content_of(state.tree());
  {
    auto manager = open_manager(small_options(hooks));
    ASSERT_TRUE(manager.save(1, {{"state", state.tree()}}, cow()).value());
    std::thread writer([&] { state.overwrite(); });
    EXPECT_OK(manager.close());
    writer.join();
  }
  auto manager = open_manager(small_options(hooks));
  EXPECT_TRUE(content_of(manager.restore(1)->tree()) == expected);
}

// One worker, which writes to memory that is being saved, and is itself needed to make room.
TEST_F(CopyOnWriteSave, IsNotInTheWayOfARestore) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.worker_threads = 1;
  auto manager = open_manager(options);
  const MappedPages memory(32 * mib / system_page_bytes());
  Tree tree;
  tree["w"] = view_of(memory);
  std::memset(memory.data(), 1, memory.size());
  const Content first = content_of(tree);
  ASSERT_TRUE(manager.save(1, {{"state", tree}}, {.codec = Codec::none()}).value());
  EXPECT_OK(manager.wait_until_finished());
  std::memset(memory.data(), 2, memory.size());
  const Content second = content_of(tree);
  ASSERT_TRUE(manager.save(2, {{"state", tree}}, cow()).value());
  EXPECT_OK(manager.restore(1, {.items = {{"state", tree}}}));
  EXPECT_TRUE(content_of(tree) == first);
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_TRUE(content_of(manager.restore(2)->tree()) == second);
}

}  // namespace
}  // namespace milepost::testing
