#include "bench/peers/figures.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

namespace milepost::bench {

void Figures::print() const {
  const char* separator = "{";
  for (const auto& [name, value] : values_) {
    std::printf("%s\"%s\": %.9g", separator, name.c_str(), value);
    separator = ", ";
  }
  std::printf("}\n");
}

namespace {

void flush(const std::string& path, int (*call)(int fd)) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || call(fd) != 0) std::perror(path.c_str());
  ::close(fd);
}

}  // namespace

void sync_all(const std::string& directory) {
  constexpr std::size_t one_by_one_max = 100;
  std::vector<std::string> paths = {directory};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) paths.push_back(entry.path());
  if (paths.size() > one_by_one_max) return sync_file_system(directory);
  for (const std::string& path : paths) flush(path, ::fsync);
}

void sync_file_system(const std::string& directory) { flush(directory, ::syncfs); }

std::uint64_t disk_bytes(const std::string& directory) {
  constexpr std::uint64_t stat_block = 512;
  std::uint64_t total = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    struct stat info {};
    if (::stat(entry.path().c_str(), &info) == 0) total += static_cast<std::uint64_t>(info.st_blocks) * stat_block;
  }
  return total;
}

void invert(const Tree& state) {
  for_each_leaf(state, [](const std::string&, const Tree& leaf) {
    const auto* tensor = leaf.get_if<Tensor>();
    std::byte* const begin = tensor->data();
    std::transform(begin, begin + tensor->byte_count(), begin, [](std::byte value) { return ~value; });
  });
}

void touch(const Tree& state) {
  constexpr std::uint64_t page = 4096;
  for_each_leaf(state, [](const std::string&, const Tree& leaf) {
    const auto* tensor = leaf.get_if<Tensor>();
    for (std::uint64_t at = 0; at < tensor->byte_count(); at += page) {
      (void)*static_cast<const volatile std::byte*>(tensor->data() + at);
    }
  });
}

bool same_bytes(const Tree& one, const Tree& other) {
  bool same = true;
  for_each_leaf(one, [&](const std::string& path, const Tree& leaf) {
    const auto* left = leaf.get_if<Tensor>();
    const Tree* found = other.find(path);
    const auto* right = found ? found->get_if<Tensor>() : nullptr;
    same = same && right && right->byte_count() == left->byte_count() &&
           std::memcmp(left->data(), right->data(), left->byte_count()) == 0;
  });
  return same;
}

}  // namespace milepost::bench
