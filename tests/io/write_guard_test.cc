#include "milepost/io/write_guard.h"
#include "milepost/io/kernel_ordered.h"
#include "tests/support/child_process.h"
#include "tests/support/mapped_pages.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace milepost::testing {
namespace {

using Pages = WriteGuard::Pages;
using Losses = std::vector<std::pair<std::byte*, std::string>>;

Pages page_at(std::byte* address) { return {address, address + system_page_bytes()}; }

// Notes what it hears, and lets everybody write to the page in question unless told otherwise.
class Listener final : public WriteGuard::Owner {
 public:
  Pages before_write(std::byte* address) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      asked_.push_back(address);
    }
    if (then) then(address);  // may wake the writer
    return answer(address);
  }
  void lost(Pages pages, const char* how) noexcept override {
    const std::lock_guard lock(mutex_);
    lost_.emplace_back(pages.begin, how);
  }

  std::vector<std::byte*> asked() {
    const std::lock_guard lock(mutex_);
    std::sort(asked_.begin(), asked_.end());
    return asked_;
  }
  // All that is lost by the guard's end is told by then.
  Losses lost() const { return lost_; }

  std::function<void(std::byte*)> then;
  std::function<Pages(std::byte*)> answer = page_at;

 private:
  std::mutex mutex_;
  std::vector<std::byte*> asked_;
  Losses lost_;
};

class WriteGuards : public ::testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_WRITE_GUARD(); }

  static std::unique_ptr<WriteGuard> protect(std::vector<Pages> pages, WriteGuard::Owner& owner) {
    return WriteGuard::protect(std::move(pages), owner).value();
  }
};

// Some of the memory was never touched.
TEST_F(WriteGuards, WhoWritesWaitsForTheOwner) {
  const MappedPages memory(8);
  *memory.page(1) = std::byte{1};
  *memory.page(2) = std::byte{2};
  Listener listener;
  std::vector<std::byte> seen;
  listener.then = [&](std::byte* address) {
    const KernelOrderedReads scope;
    seen.push_back(*address);
  };
  {
    const auto guard = protect({memory.pages()}, listener);
    for (const std::size_t index : {1, 2, 7}) std::memset(memory.page(index), 9, system_page_bytes());
    for (const std::size_t index : {1, 2, 7}) std::memset(memory.page(index), 10, system_page_bytes());
    EXPECT_EQ(*memory.page(0), std::byte{0}) << "reading asks nobody";
  }
  EXPECT_EQ(seen, (std::vector{std::byte{1}, std::byte{2}, std::byte{0}}));
  EXPECT_EQ(listener.asked(), (std::vector{memory.page(1), memory.page(2), memory.page(7)}));
  std::memset(memory.data(), 11, memory.size());
  EXPECT_EQ(listener.asked().size(), 3u) << "it is over";
}

TEST_F(WriteGuards, OnlyWhatIsNamedIsProtected) {
  const MappedPages memory(8);
  Listener listener;
  const auto guard = protect({page_at(memory.page(2)), {memory.page(4), memory.page(6)}}, listener);
  for (const std::size_t index : {0, 1, 3, 6, 7}) *memory.page(index) = std::byte{1};
  EXPECT_TRUE(listener.asked().empty());
  guard->release(page_at(memory.page(4)));
  for (const std::size_t index : {2, 4, 5}) *memory.page(index) = std::byte{1};
  EXPECT_EQ(listener.asked(), (std::vector{memory.page(2), memory.page(5)}));
}

TEST_F(WriteGuards, SystemCallsWaitToo) {
  const TempDir directory;
  const std::string path = directory.string() + "/file";
  std::ofstream(path) << std::string(3 * system_page_bytes(), 'x');
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const MappedPages memory(4);
  Listener listener;
  const auto guard = protect({memory.pages()}, listener);
  EXPECT_EQ(::pread(file.get(), memory.data(), memory.size(), 0), static_cast<ssize_t>(3 * system_page_bytes()));
  EXPECT_EQ(static_cast<char>(*memory.page(2)), 'x');
  EXPECT_EQ(listener.asked(), (std::vector{memory.page(0), memory.page(1), memory.page(2)}));
}

TEST_F(WriteGuards, TheEndWakesWhoWaits) {
  const MappedPages memory(2);
  Listener listener;
  std::unique_ptr<WriteGuard> guard;
  listener.then = [&](std::byte*) {
    const KernelOrderedReads scope;
    guard->end();  // as when the last segment of a snapshot is captured
  };
  guard = protect({memory.pages()}, listener);
  *memory.page(0) = std::byte{1};
  ASSERT_FALSE(is_protected(memory.page(1)));
  *memory.page(1) = std::byte{1};
  EXPECT_EQ(listener.asked(), (std::vector{memory.page(0)}));
}

TEST_F(WriteGuards, TheEndIsThatOfWhatIsAroundForeignMemory) {
  const MappedPages memory(4);
  Listener listener;
  const auto guard = protect({memory.pages()}, listener);
  const UniqueFd self(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::mmap(memory.page(1), system_page_bytes(), PROT_READ, MAP_PRIVATE | MAP_FIXED, self.get(), 0),
            memory.page(1));
  ASSERT_TRUE(is_protected(memory.page(3)));
  guard->end();
  for (const std::size_t index : {0, 2, 3}) ASSERT_FALSE(is_protected(memory.page(index))) << index;
}

// As when memory beside it was unmapped meanwhile.
TEST_F(WriteGuards, WhoWritesGoesOnThoughMoreIsNamedThanIsProtected) {
  const MappedPages memory(4);
  Listener listener;
  std::unique_ptr<WriteGuard> guard;
  listener.answer = [&](std::byte*) { return memory.pages(); };
  listener.then = [&](std::byte*) {
    if (listener.asked().size() > 1) guard->end();
  };
  guard = protect({page_at(memory.page(0)), page_at(memory.page(3))}, listener);
  *memory.page(3) = std::byte{1};
  EXPECT_EQ(listener.asked(), (std::vector{memory.page(3)}));
}

TEST_F(WriteGuards, TellWhatIsUnmapped) {
  Listener listener;
  std::unique_ptr<WriteGuard> guard;
  std::byte* begin = nullptr;
  {
    const MappedPages memory(4);
    begin = memory.data();
    guard = protect({page_at(memory.page(1))}, listener);
  }
  guard->end();
  EXPECT_EQ(listener.lost(), (Losses{{begin, "unmapped"}}));
}

TEST_F(WriteGuards, TellWhatIsEmptied) {
  const MappedPages memory(4);
  Listener listener;
  const auto guard = protect({memory.pages()}, listener);
  EXPECT_EQ(::madvise(memory.page(2), system_page_bytes(), MADV_DONTNEED), 0);
  guard->end();
  EXPECT_EQ(listener.lost(), (Losses{{memory.page(2), "emptied"}}));
}

TEST_F(WriteGuards, TellWhatIsMovedAndLetItGo) {
  void* const memory =
      ::mmap(nullptr, 4 * system_page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* const begin = static_cast<std::byte*>(memory);
  const MappedPages place(4);
  Listener listener;
  auto guard = protect({{begin, begin + 4 * system_page_bytes()}}, listener);
  ASSERT_EQ(
      ::mremap(memory, 4 * system_page_bytes(), 4 * system_page_bytes(), MREMAP_MAYMOVE | MREMAP_FIXED, place.data()),
      place.data());
  guard->end();
  EXPECT_EQ(listener.lost().at(0), (Losses::value_type{begin, "moved"}));
  ASSERT_FALSE(is_protected(place.data()));
  std::memset(place.data(), 1, place.size());
}

// A child has the descriptor too: its closing here changes nothing, and must not be needed.
TEST_F(WriteGuards, AChildSeesPlainMemoryAndKeepsNothingProtected) {
  const MappedPages memory(4);
  Listener listener;
  std::unique_ptr<WriteGuard> guard = protect({memory.pages()}, listener);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (std::size_t i = 0; i < 4; ++i) *static_cast<volatile std::byte*>(memory.page(i)) = std::byte{7};
    ::close(ends[1]);
    char end = 0;
    ::_exit(::read(ends[0], &end, 1) == 0 && *memory.page(3) == std::byte{7} ? 0 : 1);
  }
  *memory.page(0) = std::byte{1};
  EXPECT_EQ(listener.asked(), (std::vector{memory.page(0)}));
  guard.reset();
  ASSERT_FALSE(is_protected(memory.page(1)));
  std::memset(memory.data(), 2, memory.size());
  EXPECT_EQ(listener.asked().size(), 1u);
  ::close(ends[0]);
  ::close(ends[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(WriteGuards, RefuseWhatOthersMayWriteTo) {
  Listener listener;
  const MappedPages shared(2, MAP_SHARED | MAP_ANONYMOUS);
  EXPECT_EQ(WriteGuard::protect({shared.pages()}, listener).error().to_string(),
            "some of the memory is shared with other processes");
  const UniqueFd self(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const MappedPages plain(1);
  const MappedPages file(1, MAP_PRIVATE, self.get());
  std::vector<Pages> both = {plain.pages(), file.pages()};
  std::sort(both.begin(), both.end(), [](const Pages& a, const Pages& b) { return a.begin < b.begin; });
  EXPECT_EQ(WriteGuard::protect(both, listener).error().to_string(), "some of the memory is mapped from a file");
  *plain.data() = std::byte{1};
  EXPECT_TRUE(listener.asked().empty());
}

// Of the second guard, or of another owner's.
TEST_F(WriteGuards, RefuseWhatIsProtectedAlready) {
  const MappedPages memory(2);
  const MappedPages more(2);
  Listener first, second;
  const auto guard = protect({memory.pages()}, first);
  std::vector<Pages> both = {memory.pages(), more.pages()};
  std::sort(both.begin(), both.end(), [](const Pages& a, const Pages& b) { return a.begin < b.begin; });
  EXPECT_EQ(WriteGuard::protect(both, second).error().system_errno(), EBUSY);
  *memory.data() = *more.data() = std::byte{1};
  EXPECT_EQ(first.asked().size(), 1u);
  EXPECT_TRUE(second.asked().empty());
}

// Writers everywhere, while others release: nobody is left asleep, and nothing is let go unasked.
TEST_F(WriteGuards, ServeManyThreads) {
  constexpr std::size_t threads = 4;
  const MappedPages memory(256);
  for (int turn = 0; turn < 20; ++turn) {
    Listener listener;
    const auto guard = protect({memory.pages()}, listener);
    std::vector<std::thread> writers;
    for (std::size_t t = 0; t < threads; ++t) {
      writers.emplace_back([&, t] {
        for (std::size_t i = t; i < 256; i += threads) *memory.page(i) = static_cast<std::byte>(turn);
      });
    }
    for (std::size_t i = 0; i < 256; i += 16) guard->release(page_at(memory.page(i)));
    for (std::thread& writer : writers) writer.join();
  }
}

}  // namespace
}  // namespace milepost::testing
