// What every Store promises (io/store.h), run by each of them.

#include "milepost/io/posix_store.h"
#include "milepost/io/store.h"
#include "tests/support/bytes.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

namespace milepost {
namespace {

using testing::FaultStore;
using testing::pattern;
using testing::SimulatedStore;
using testing::TempDir;
using testing::to_bytes;

struct StoreKind {
  const char* name;
  std::function<std::unique_ptr<Store>(const std::string& directory)> make;
};

void PrintTo(const StoreKind& kind, std::ostream* out) { *out << kind.name; }

std::unique_ptr<Store> open_posix(const std::string& directory, IoBackend backend) {
  auto store = PosixStore::open(directory, {.backend = backend});
  return store.has_value() ? std::move(*store) : nullptr;
}

const StoreKind store_kinds[] = {
    {"posix_io_uring", [](const std::string& directory) { return open_posix(directory, IoBackend::io_uring); }},
    {"posix_threads", [](const std::string& directory) { return open_posix(directory, IoBackend::threads); }},
    {"simulated", [](const std::string&) { return std::make_unique<SimulatedStore>(); }},
    {"faults_over_simulated",
     [](const std::string&) { return std::make_unique<FaultStore>(std::make_unique<SimulatedStore>()); }},
};

// Memory that direct I/O takes.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t bytes)
      : data_(static_cast<std::byte*>(std::aligned_alloc(io_alignment, (bytes / io_alignment + 1) * io_alignment)),
              &std::free),
        bytes_(bytes) {}
  std::span<std::byte> span() const { return {data_.get(), bytes_}; }

 private:
  std::unique_ptr<std::byte, void (*)(void*)> data_;
  std::size_t bytes_;
};

// Counts completions and keeps their results.
class Completions {
 public:
  IoCompletion expect(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    ++pending_;
    return [this, bytes](Result<std::size_t> result) {
      const std::lock_guard inner(mutex_);
      if (result.has_error()) {
        failures_.push_back(result.error().to_string());
      } else if (*result != bytes) {
        failures_.push_back(std::to_string(*result) + " bytes in place of " + std::to_string(bytes));
      }
      if (--pending_ == 0) done_.notify_all();
    };
  }
  std::vector<std::string> wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return pending_ == 0; });
    return failures_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  int pending_ = 0;
  std::vector<std::string> failures_;
};

template <class T> ErrorCode code_of(const Result<T>& result) {
  EXPECT_TRUE(result.has_error());
  return result.has_error() ? result.error().code() : ErrorCode::internal;
}

class StoreConformance : public ::testing::TestWithParam<StoreKind> {
 protected:
  void SetUp() override {
    store_ = GetParam().make(directory_.string());
    if (!store_) GTEST_SKIP() << "this store cannot be opened here";
  }

  std::vector<std::string> names(const std::string& path) {
    std::vector<std::string> result;
    for (const DirectoryEntry& entry : store_->list_directory(path).value()) {
      result.push_back(entry.name + (entry.type == EntryType::directory ? "/" : ""));
    }
    std::sort(result.begin(), result.end());
    return result;
  }

  void make(const std::string& path, std::string_view text = "x") {
    const Result<void> result = write_file(*store_, path, to_bytes(text));
    ASSERT_TRUE(result.has_value()) << result.error().to_string();
  }

  TempDir directory_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, StoreConformance, ::testing::ValuesIn(store_kinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(StoreConformance, SmallFilesComeBack) {
  const auto data = pattern(12345, 1);
  ASSERT_TRUE(write_file(*store_, "small", data).has_value());
  EXPECT_EQ(read_file(*store_, "small", 12345).value(), data);
  EXPECT_EQ(code_of(read_file(*store_, "small", 12344)), ErrorCode::corruption);
  ASSERT_TRUE(write_file(*store_, "empty", {}).has_value());
  EXPECT_TRUE(read_file(*store_, "empty", 0).value().empty());
  EXPECT_EQ(store_->stat("empty").value().size, 0u);
}

TEST_P(StoreConformance, BulkWritesAndReadsOverlapInFlight) {
  constexpr std::size_t piece = 256 << 10;
  constexpr std::size_t count = 24;
  constexpr std::size_t tail = 5000;  // the end of the file is not aligned
  constexpr std::size_t total = piece * count + tail;
  const AlignedBytes data(total);
  testing::fill_pattern(data.span(), 7);
  auto file = store_->create_file("bulk", {.direct = true, .size_hint = total}).value();
  Completions writes;
  for (std::size_t i = count + 1; i-- > 0;) {  // backwards: order must not matter
    const auto part = data.span().subspan(i * piece, i == count ? tail : piece);
    file->write_at(i * piece, part, writes.expect(part.size()));
  }
  EXPECT_THAT(writes.wait(), ::testing::IsEmpty());
  ASSERT_TRUE(file->sync().has_value());
  ASSERT_TRUE(file->close().has_value());

  const auto reader = store_->open_file("bulk").value();
  ASSERT_EQ(reader->size(), total);
  const AlignedBytes back(total);
  Completions reads;
  for (std::size_t i = 0; i <= count; ++i) {
    const auto part = back.span().subspan(i * piece, i == count ? tail : piece);
    reader->read_at(i * piece, part, reads.expect(part.size()));
  }
  EXPECT_THAT(reads.wait(), ::testing::IsEmpty());
  EXPECT_TRUE(std::ranges::equal(back.span(), data.span()));
}

TEST_P(StoreConformance, AnyAlignmentIsRight) {
  constexpr std::size_t total = 300'000;
  const AlignedBytes data(total);
  testing::fill_pattern(data.span(), 11);
  auto file = store_->create_file("ragged", {.direct = true}).value();
  const std::size_t cuts[] = {0, 1, 511, 4096, 4097, 12288, 81920, 81927, 200'704, 299'999, total};
  for (std::size_t i = 0; i + 1 < std::size(cuts); ++i) {
    const auto part = data.span().subspan(cuts[i], cuts[i + 1] - cuts[i]);
    ASSERT_TRUE(write_at(*file, cuts[i], part).has_value());
  }
  ASSERT_TRUE(file->sync().has_value());
  ASSERT_TRUE(file->close().has_value());
  const auto reader = store_->open_file("ragged").value();
  for (const std::size_t offset : {std::size_t{0}, std::size_t{4096}, std::size_t{77}, std::size_t{299'000}}) {
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{4096}, std::size_t{65536}, std::size_t{70'001}}) {
      const AlignedBytes back(bytes);
      const std::size_t expected = std::min(bytes, total - offset);
      ASSERT_EQ(read_at(*reader, offset, back.span()).value(), expected) << offset << "+" << bytes;
      EXPECT_TRUE(std::ranges::equal(back.span().first(expected), data.span().subspan(offset, expected)));
    }
  }
}

TEST_P(StoreConformance, ReadsEndWithTheFile) {
  make("short", "0123456789");
  const auto file = store_->open_file("short").value();
  std::vector<std::byte> into(100);
  EXPECT_EQ(read_at(*file, 4, into).value(), 6u);
  EXPECT_EQ(into[5], std::byte{'9'});
  EXPECT_EQ(read_at(*file, 10, into).value(), 0u);
  EXPECT_EQ(read_at(*file, 1'000'000, into).value(), 0u);
  EXPECT_EQ(read_at(*file, 0, {}).value(), 0u);
}

TEST_P(StoreConformance, AHintLeavesNoTrace) {
  auto file = store_->create_file("hinted", {.direct = true, .size_hint = 1 << 20}).value();
  ASSERT_TRUE(write_at(*file, 0, to_bytes("abc")).has_value());
  ASSERT_TRUE(file->sync().has_value());
  EXPECT_EQ(store_->stat("hinted").value().size, 3u);
  ASSERT_TRUE(file->close().has_value());
  auto unsynced = store_->create_file("hinted2", {.size_hint = 1 << 20}).value();
  ASSERT_TRUE(unsynced->close().has_value());
  EXPECT_EQ(store_->stat("hinted2").value().size, 0u);
}

TEST_P(StoreConformance, TruncateCutsAndExtends) {
  auto file = store_->create_file("cut", {.direct = true, .size_hint = 1 << 20}).value();
  ASSERT_TRUE(write_at(*file, 0, to_bytes("abcdef")).has_value());
  ASSERT_TRUE(file->truncate(3).has_value());
  ASSERT_TRUE(file->sync().has_value());
  EXPECT_EQ(read_file(*store_, "cut", 100).value(), to_bytes("abc"));
  ASSERT_TRUE(file->truncate(5).has_value());
  ASSERT_TRUE(file->sync().has_value());
  ASSERT_TRUE(file->close().has_value());
  EXPECT_EQ(read_file(*store_, "cut", 100).value(), to_bytes(std::string_view("abc\0\0", 5)));
}

TEST_P(StoreConformance, AClosedFileRefuses) {
  auto file = store_->create_file("closed", {}).value();
  ASSERT_TRUE(file->close().has_value());
  EXPECT_EQ(code_of(write_at(*file, 0, to_bytes("x"))), ErrorCode::failed_precondition);
  EXPECT_EQ(code_of(file->truncate(0)), ErrorCode::failed_precondition);
  EXPECT_EQ(code_of(file->sync()), ErrorCode::failed_precondition);
}

TEST_P(StoreConformance, CreateNeverReplaces) {
  make("there", "old");
  EXPECT_EQ(code_of(store_->create_file("there", {})), ErrorCode::already_exists);
  EXPECT_EQ(read_file(*store_, "there", 10).value(), to_bytes("old"));
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  EXPECT_EQ(code_of(store_->create_file("dir", {})), ErrorCode::already_exists);
  EXPECT_EQ(code_of(store_->make_directory("dir")), ErrorCode::already_exists);
  EXPECT_EQ(code_of(store_->make_directory("there")), ErrorCode::already_exists);
}

TEST_P(StoreConformance, WhatIsMissingIsNotFound) {
  EXPECT_EQ(code_of(store_->open_file("none")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->create_file("none/file", {})), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->make_directory("none/dir")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->remove_file("none")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->remove_directory("none")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->list_directory("none")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->stat("none")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->sync_directory("none")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->open_file_to_write("none")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->rename_no_replace("none", "x")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->replace_file("none", "x")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->lock_directory("none", LockKind::exclusive)), ErrorCode::not_found);
}

TEST_P(StoreConformance, NoPathLeavesTheRoot) {
  make("file");
  for (const char* const path : {"..", "../x", "a/../..", "/etc/passwd", "./file", "a//b", "file/", "/"}) {
    EXPECT_TRUE(store_->open_file(path).has_error()) << path;
    EXPECT_TRUE(store_->create_file(path, {}).has_error()) << path;
    EXPECT_TRUE(store_->make_directory(path).has_error()) << path;
    EXPECT_TRUE(store_->open_file_to_write(path).has_error()) << path;
    EXPECT_TRUE(store_->rename_no_replace("file", path).has_error()) << path;
    EXPECT_TRUE(store_->replace_file("file", path).has_error()) << path;
    EXPECT_TRUE(store_->stat(path).has_error()) << path;
    const auto found = store_->has_file(path);
    EXPECT_FALSE(found.has_value() && *found) << path;
    EXPECT_TRUE(store_->list_directory(path).has_error()) << path;
    EXPECT_TRUE(store_->remove_file(path).has_error()) << path;
  }
  EXPECT_THAT(names(""), ::testing::ElementsAre("file"));
}

TEST_P(StoreConformance, TheRootItselfStays) {
  EXPECT_EQ(store_->stat("").value().type, EntryType::directory);
  EXPECT_EQ(code_of(store_->make_directory("")), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(store_->remove_directory("")), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(store_->rename_no_replace("", "x")), ErrorCode::invalid_argument);
  EXPECT_TRUE(store_->sync_directory("").has_value());
}

TEST_P(StoreConformance, FilesAreNotDirectories) {
  make("file");
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  EXPECT_TRUE(store_->open_file("dir").has_error());
  EXPECT_TRUE(store_->open_file_to_write("dir").has_error());
  EXPECT_TRUE(store_->remove_file("dir").has_error());
  EXPECT_TRUE(store_->remove_directory("file").has_error());
  EXPECT_TRUE(store_->list_directory("file").has_error());
  EXPECT_TRUE(store_->create_file("file/below", {}).has_error());
  EXPECT_THAT(names(""), ::testing::ElementsAre("dir/", "file"));
}

TEST_P(StoreConformance, RenameMovesATreeAndNeverReplaces) {
  ASSERT_TRUE(store_->make_directory("from").has_value());
  make("from/file", "moved");
  ASSERT_TRUE(store_->make_directory("empty").has_value());
  make("file", "kept");
  EXPECT_EQ(code_of(store_->rename_no_replace("from", "empty")), ErrorCode::already_exists) << "an empty directory";
  EXPECT_EQ(code_of(store_->rename_no_replace("from/file", "file")), ErrorCode::already_exists);
  EXPECT_EQ(read_file(*store_, "file", 10).value(), to_bytes("kept"));
  EXPECT_TRUE(store_->rename_no_replace("from", "from/below").has_error());
  ASSERT_TRUE(store_->rename_no_replace("from", "empty/to").has_value());
  EXPECT_EQ(read_file(*store_, "empty/to/file", 10).value(), to_bytes("moved"));
  EXPECT_THAT(names(""), ::testing::ElementsAre("empty/", "file"));
  ASSERT_TRUE(store_->sync_directory("").has_value());
  ASSERT_TRUE(store_->sync_directory("empty").has_value());
}

TEST_P(StoreConformance, OnlyEmptyDirectoriesGo) {
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  make("dir/file");
  EXPECT_TRUE(store_->remove_directory("dir").has_error());
  ASSERT_TRUE(store_->remove_file("dir/file").has_value());
  ASSERT_TRUE(store_->remove_directory("dir").has_value());
  EXPECT_THAT(names(""), ::testing::IsEmpty());
}

TEST_P(StoreConformance, RemoveTreeTakesAllBelow) {
  for (const char* const path : {"tree", "tree/a", "tree/a/b", "beside"}) {
    ASSERT_TRUE(store_->make_directory(path).has_value());
  }
  make("tree/file");
  make("tree/a/b/file");
  ASSERT_TRUE(remove_tree(*store_, "tree").has_value());
  EXPECT_THAT(names(""), ::testing::ElementsAre("beside/"));
}

TEST_P(StoreConformance, StatTellsTypeSizeAndTime) {
  make("first", "12345");
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  make("dir/second", "1");
  EXPECT_EQ(store_->stat("first").value().type, EntryType::file);
  EXPECT_EQ(store_->stat("first").value().size, 5u);
  EXPECT_EQ(store_->stat("dir").value().type, EntryType::directory);
  EXPECT_GT(store_->stat("first").value().modified_unix_ns, 1'500'000'000'000'000'000);
  EXPECT_GE(store_->stat("dir/second").value().modified_unix_ns, store_->stat("first").value().modified_unix_ns);
}

TEST_P(StoreConformance, HasFileTellsFilesFromWhatIsNone) {
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  make("dir/file");
  make("empty", "");
  ASSERT_TRUE(store_->make_directory("dir/below").has_value());
  for (const char* const path : {"dir/file", "empty"}) EXPECT_TRUE(store_->has_file(path).value()) << path;
  for (const char* const path : {"", "dir", "dir/below", "none", "dir/none", "none/file"}) {
    EXPECT_FALSE(store_->has_file(path).value()) << path;
  }
}

TEST_P(StoreConformance, ALockIsExclusiveAndFollowsItsDirectory) {
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  auto lock = store_->lock_directory("dir", LockKind::exclusive).value();
  EXPECT_EQ(code_of(store_->lock_directory("dir", LockKind::exclusive)), ErrorCode::unavailable);
  ASSERT_TRUE(store_->rename_no_replace("dir", "moved").has_value());
  EXPECT_EQ(code_of(store_->lock_directory("moved", LockKind::exclusive)), ErrorCode::unavailable);
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  EXPECT_TRUE(store_->lock_directory("dir", LockKind::exclusive).has_value()) << "another directory of the old name";
  lock.reset();
  EXPECT_TRUE(store_->lock_directory("moved", LockKind::exclusive).has_value());
  EXPECT_TRUE(store_->lock_directory("", LockKind::exclusive).has_value());
}

TEST_P(StoreConformance, SharedLocksExcludeOnlyExclusiveOnes) {
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  auto first = store_->lock_directory("dir", LockKind::shared).value();
  auto second = store_->lock_directory("dir", LockKind::shared).value();
  EXPECT_EQ(code_of(store_->lock_directory("dir", LockKind::exclusive)), ErrorCode::unavailable);
  first.reset();
  EXPECT_EQ(code_of(store_->lock_directory("dir", LockKind::exclusive)), ErrorCode::unavailable);
  second.reset();
  const auto alone = store_->lock_directory("dir", LockKind::exclusive).value();
  EXPECT_EQ(code_of(store_->lock_directory("dir", LockKind::shared)), ErrorCode::unavailable);
}

TEST_P(StoreConformance, ALockOutlivesWhatItIsOn) {
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  const auto lock = store_->lock_directory("dir", LockKind::exclusive).value();
  ASSERT_TRUE(store_->remove_directory("dir").has_value());
  EXPECT_EQ(code_of(store_->lock_directory("dir", LockKind::shared)), ErrorCode::not_found);
}

TEST_P(StoreConformance, ExchangeSwapsTrees) {
  ASSERT_TRUE(store_->make_directory("one").has_value());
  ASSERT_TRUE(store_->make_directory("two").has_value());
  make("one/file", "first");
  make("two/file", "second");
  make("plain", "third");
  const auto lock = store_->lock_directory("one", LockKind::exclusive).value();
  ASSERT_TRUE(store_->exchange("one", "two").has_value());
  EXPECT_EQ(read_file(*store_, "one/file", 10).value(), to_bytes("second"));
  EXPECT_EQ(read_file(*store_, "two/file", 10).value(), to_bytes("first"));
  EXPECT_TRUE(store_->lock_directory("one", LockKind::exclusive).has_value());
  EXPECT_EQ(code_of(store_->lock_directory("two", LockKind::exclusive)), ErrorCode::unavailable);
  EXPECT_EQ(code_of(store_->exchange("one", "none")), ErrorCode::not_found);
  EXPECT_EQ(code_of(store_->exchange("none", "one")), ErrorCode::not_found);
  EXPECT_TRUE(store_->exchange("one", "one/file").has_error());
  EXPECT_TRUE(store_->exchange("one", "../x").has_error());
  EXPECT_EQ(code_of(store_->exchange("", "one")), ErrorCode::invalid_argument);
  EXPECT_THAT(names(""), ::testing::ElementsAre("one/", "plain", "two/"));
}

TEST_P(StoreConformance, AFileThatIsThereIsWrittenInto) {
  make("file", "0123456789");
  auto file = store_->open_file_to_write("file").value();
  ASSERT_TRUE(write_at(*file, 3, to_bytes("abc")).has_value());
  ASSERT_TRUE(write_at(*file, 10, to_bytes("xyz")).has_value());
  ASSERT_TRUE(file->sync().has_value());
  EXPECT_EQ(read_file(*store_, "file", 100).value(), to_bytes("012abc6789xyz"));
  ASSERT_TRUE(file->truncate(4).has_value());
  ASSERT_TRUE(file->close().has_value());
  EXPECT_EQ(read_file(*store_, "file", 100).value(), to_bytes("012a"));
}

TEST_P(StoreConformance, ReplaceTakesTheNameOfAFile) {
  make("old", "old content");
  make("new", "new");
  const auto reader = store_->open_file("old").value();
  ASSERT_TRUE(store_->replace_file("new", "old").has_value());
  EXPECT_EQ(read_file(*store_, "old", 100).value(), to_bytes("new"));
  std::vector<std::byte> into(11);
  EXPECT_EQ(read_at(*reader, 0, into).value(), 11u);
  EXPECT_EQ(into, to_bytes("old content")) << "who had it open keeps it";
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  ASSERT_TRUE(store_->replace_file("old", "dir/first").has_value()) << "nothing is there to be replaced";
  ASSERT_TRUE(store_->sync_directory("dir").has_value());
  EXPECT_THAT(names(""), ::testing::ElementsAre("dir/"));
  EXPECT_EQ(read_file(*store_, "dir/first", 100).value(), to_bytes("new"));
}

TEST_P(StoreConformance, ReplaceRefusesDirectories) {
  ASSERT_TRUE(store_->make_directory("empty").has_value());
  ASSERT_TRUE(store_->make_directory("dir").has_value());
  make("file", "kept");
  EXPECT_TRUE(store_->replace_file("file", "empty").has_error());
  EXPECT_TRUE(store_->replace_file("dir", "empty").has_error());
  EXPECT_TRUE(store_->replace_file("dir", "file").has_error());
  EXPECT_EQ(read_file(*store_, "file", 10).value(), to_bytes("kept"));
  EXPECT_THAT(names(""), ::testing::ElementsAre("dir/", "empty/", "file"));
}

TEST_P(StoreConformance, AnOpenFileSurvivesItsName) {
  make("file", "content");
  const auto reader = store_->open_file("file").value();
  ASSERT_TRUE(store_->remove_file("file").has_value());
  std::vector<std::byte> into(7);
  EXPECT_EQ(read_at(*reader, 0, into).value(), 7u);
  EXPECT_EQ(into, to_bytes("content"));
}

TEST_P(StoreConformance, ThreadsWorkSideBySide) {
  constexpr int threads_count = 4;
  constexpr std::size_t bytes = 128 << 10;
  std::vector<std::thread> threads;
  for (int t = 0; t < threads_count; ++t) {
    threads.emplace_back([this, t] {
      const std::string directory = "dir" + std::to_string(t);
      ASSERT_TRUE(store_->make_directory(directory).has_value());
      for (int i = 0; i < 4; ++i) {
        const std::string path = directory + "/" + std::to_string(i);
        const auto data = pattern(bytes, static_cast<std::uint64_t>(t * 100 + i));
        ASSERT_TRUE(write_file(*store_, path, data).has_value());
        ASSERT_EQ(read_file(*store_, path, bytes).value(), data);
      }
      ASSERT_TRUE(store_->sync_directory(directory).has_value());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(names("").size(), 4u);
}

TEST_P(StoreConformance, ErrorsNameTheirPath) {
  const auto missing = store_->open_file("no/such/file");
  ASSERT_TRUE(missing.has_error());
  EXPECT_THAT(missing.error().to_string(), ::testing::HasSubstr("no/such/file"));
  EXPECT_EQ(missing.error().system_errno(), ENOENT);
}

}  // namespace
}  // namespace milepost
