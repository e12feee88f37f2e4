// What power_cut_test.py runs on its disks: a life before the power fails, and a look at what is left after it.
//
//   power_cut_child lives                           the names of the lives, one a line
//   power_cut_child prepare LIFE DIRECTORY          makes what the life begins with
//   power_cut_child live LIFE DIRECTORY RECORD [forget-files | forget-directories]
//     Lives; appends an entry to the disk's record for all that it tells, which so is told before whatever is written
//     later. With a planted bug, nothing of that kind is flushed.
//   power_cut_child check LIFE DIRECTORY [TOLD...]  status 1, and why, if what was told is not so
#include "tests/crash/life.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

std::optional<mode_t> forgotten;  // the type of file that is not flushed

}  // namespace

// The library's, too.
extern "C" int fsync(int fd) {
  struct stat status {};
  if (forgotten && ::fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == *forgotten) return 0;
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace milepost::testing {
namespace {

const Life lives[] = {
    {.name = "Saves", .saves = {1, 2, 3, 4}},
    {.name = "Overwrites", .before = {1, 2, 3, 4}, .saves = {5, 104, 103, 6, 7}, .max_to_keep = 3},
    {.name = "RetentionInBackground", .before = {1, 2, 3}, .saves = {4, 5, 6}, .max_to_keep = 2, .background = true},
    {.name = "RetentionToSubdirectory",
     .before = {1, 2, 3},
     .saves = {4, 5, 6},
     .max_to_keep = 2,
     .todelete_subdir = "old"},
    {.name = "Deletion", .before = {1, 2, 3}, .saves = {4}, .deletes = 2},
};

// An entry of the record, as recorder.py writes them.
struct Entry {
  std::array<char, 8> kind = {'T'};
  std::int64_t number = 0;
  std::uint64_t data_bytes = 0;
};

void live_on_record(const Life& life, const std::string& directory, const std::string& record) {
  const int fd = ::open(record.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), record);
  live(life, directory, [&](std::int64_t number) {
    const Entry entry{.number = number};
    if (::write(fd, &entry, sizeof entry) != sizeof entry)
      throw std::system_error(errno, std::generic_category(), record);
  });
  ::close(fd);
}

void check(const Life& life, const std::string& directory, const std::vector<std::int64_t>& told) {
  if (!told.empty() || std::filesystem::exists(directory)) Expected(life, told).check(directory);
  expect_next_goes_on(life, directory);
}

int run(const std::vector<std::string>& words) {
  const std::string& verb = words.at(0);
  if (verb == "lives") {
    for (const Life& life : lives) std::cout << life.name << '\n';
    return 0;
  }
  const auto life =
      std::find_if(std::begin(lives), std::end(lives), [&](const Life& one) { return one.name == words.at(1); });
  if (life == std::end(lives)) throw std::runtime_error("no such life: " + words.at(1));
  const std::string& directory = words.at(2);
  if (verb == "prepare") {
    prepare(*life, directory);
  } else if (verb == "live") {
    if (words.size() > 4) forgotten = words[4] == "forget-files" ? S_IFREG : S_IFDIR;
    live_on_record(*life, directory, words.at(3));
  } else if (verb == "check") {
    std::vector<std::int64_t> told;
    for (std::size_t i = 3; i < words.size(); ++i) told.push_back(std::stoll(words[i]));
    check(*life, directory, told);
  } else {
    throw std::runtime_error("what is " + verb + "?");
  }
  // Of expectations outside of a test.
  return ::testing::UnitTest::GetInstance()->ad_hoc_test_result().Failed() ? 1 : 0;
}

}  // namespace
}  // namespace milepost::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  try {
    return milepost::testing::run({argv + 1, argv + argc});
  } catch (const std::exception& thrown) {
    std::cerr << "power_cut_child: " << thrown.what() << '\n';
    return 1;
  }
}
