// Files that cannot be released to: refused at once, and left as they are.
#include "milepost/io/posix_store.h"
#include "tests/engine/federated/releases.h"
#include "tests/support/temp_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;
TEST(CsvBadFile, LinksAndPipes) {
  const TempDir directory(parent_in_memory());
  const auto store = PosixStore::open(directory.string()).value();
  put_text(*store, "key\r\n", "real.csv");
  fs::create_symlink("real.csv", directory.path() / "link.csv");
  fs::create_symlink("nothing.csv", directory.path() / "dangling.csv");
  ASSERT_EQ(mkfifo((directory.string() + "/fifo.csv").c_str(), 0600), 0);
  const auto before = names_in(*store);
  for (const char* const name : {"link.csv", "dangling.csv", "fifo.csv"}) {
    for (const CsvSaveMode mode : csv_modes) {
      const auto opened = CsvFileReleaseManager::open(directory.string() + "/" + name, {.save_mode = mode});
      ASSERT_TRUE(opened.has_error()) << name;
      EXPECT_THAT(error_of(opened), ::testing::HasSubstr(name));
    }
  }
  EXPECT_EQ(names_in(*store), before);
  EXPECT_EQ(text_of(*store, "real.csv"), "key\r\n");
}

// Put in place of a file that is open.
TEST(CsvBadFile, ALinkThatComesLater) {
  const TempDir directory(parent_in_memory());
  const auto store = PosixStore::open(directory.string()).value();
  for (const CsvSaveMode mode : csv_modes) {
    put_text(*store, "key,loss\r\n", "real.csv");
    put_text(*store, "key,loss\r\n");
    auto manager = CsvFileReleaseManager::open(directory.string() + "/" + csv_name, {.save_mode = mode}).value();
    EXPECT_OK(store->remove_file(csv_name));
    fs::create_symlink("real.csv", directory.path() / csv_name);
    EXPECT_TRUE(manager.release(loss(1), 1).has_error());
    EXPECT_EQ(text_of(*store, "real.csv"), "key,loss\r\n");
  }
}

TEST(CsvBadFile, ANameThatIsTooLong) {
  const TempDir directory(parent_in_memory());
  const std::string longest = directory.string() + "/" + std::string(245, 'x');
  EXPECT_OK(CsvFileReleaseManager::open(longest).value().release(loss(1), 1));
  EXPECT_OK(CsvFileReleaseManager::open(longest, {.save_mode = CsvSaveMode::write}).value().release(loss(2), 2));
  expect_error(CsvFileReleaseManager::open(longest + "x"), ErrorCode::invalid_argument, {"245 bytes"});
}

TEST(CsvBadFile, ADirectoryThatMayNotBeWrittenTo) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  const TempDir directory(parent_in_memory());
  ASSERT_EQ(chmod(directory.string().c_str(), 0555), 0);
  const auto opened = CsvFileReleaseManager::open(directory.string() + "/" + csv_name);
  EXPECT_EQ(chmod(directory.string().c_str(), 0755), 0);
  ASSERT_TRUE(opened.has_error());
  EXPECT_EQ(opened.error().system_errno(), EACCES) << error_of(opened);
}

}  // namespace
}  // namespace milepost::testing
