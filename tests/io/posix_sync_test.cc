// What a store reports as durable, the kernel was asked to make durable. Only a power cut would show it otherwise
// (tests/crash/power_cut), so here the calls themselves are watched.
#include "milepost/io/posix_store.h"
#include "tests/support/bytes.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

std::mutex mutex;
std::vector<ino_t> flushed;  // since somebody looked; guarded by mutex

}  // namespace

// The library's, too.
extern "C" int fsync(int fd) {
  struct ::stat info {};
  if (::fstat(fd, &info) == 0) {
    const std::lock_guard lock(mutex);
    flushed.push_back(info.st_ino);
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace milepost::testing {
namespace {

using ::testing::ElementsAre;

std::vector<ino_t> take_flushed() {
  const std::lock_guard lock(mutex);
  return std::exchange(flushed, {});
}

ino_t inode(const std::filesystem::path& path) {
  struct ::stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_ino;
}

TEST(PosixSync, FlushesWhatItIsAskedTo) {
  const TempDir directory;
  const auto store = PosixStore::open(directory.string(), {}).value();
  ASSERT_TRUE(store->make_directory("a").has_value());
  const auto file = store->create_file("a/file", {.direct = true, .size_hint = 1}).value();
  ASSERT_TRUE(write_at(*file, 0, to_bytes("x")).has_value());
  take_flushed();

  ASSERT_TRUE(file->sync().has_value());
  EXPECT_THAT(take_flushed(), ElementsAre(inode(directory.path() / "a/file")));
  ASSERT_TRUE(store->sync_directory("a").has_value());
  EXPECT_THAT(take_flushed(), ElementsAre(inode(directory.path() / "a")));
  ASSERT_TRUE(store->sync_directory("").has_value());
  EXPECT_THAT(take_flushed(), ElementsAre(inode(directory.path())));
  ASSERT_TRUE(write_file(*store, "whole", to_bytes("y")).has_value());
  EXPECT_THAT(take_flushed(), ElementsAre(inode(directory.path() / "whole")));
}

TEST(PosixSync, FlushesTheNamesOfTheDirectoriesOnTheWayToTheRoot) {
  const TempDir directory;
  take_flushed();
  ASSERT_TRUE(PosixStore::open(directory.string() + "/a/b", {}).has_value());
  EXPECT_THAT(take_flushed(), ElementsAre(inode(directory.path()), inode(directory.path() / "a")));
}

}  // namespace
}  // namespace milepost::testing
