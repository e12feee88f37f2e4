// A directory of its own for a test, removed with all it holds when the test is over.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace milepost::testing {

class TempDir {
 public:
  // Below `parent`; by default $TMPDIR, or the working directory, which is the build's and so on a
  // disk: O_DIRECT and fsync mean something there.
  explicit TempDir(const std::filesystem::path& parent = default_parent()) {
    std::string pattern = (parent / "milepost_test_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp " + pattern);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string string() const { return path_.string(); }

 private:
  static std::filesystem::path default_parent() {
    const char* const wanted = std::getenv("TMPDIR");
    return wanted != nullptr && *wanted != '\0' ? std::filesystem::path(wanted) : std::filesystem::current_path();
  }

  std::filesystem::path path_;
};

// A parent in memory, if there is one: for tests in which a disk would do nothing but take its time.
inline std::filesystem::path parent_in_memory() { return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "."; }

}  // namespace milepost::testing
