// A store whose files can be given other content, without touching them: for tests that damage the same files many
// thousand times.
#pragma once

#include "tests/support/forwarding_store.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {

using FileBytes = std::vector<std::byte>;
using FileMap = std::map<std::string, FileBytes>;                 // by path
using Damaged = std::map<std::string, std::optional<FileBytes>>;  // the same; none: the file is missing

class DamagedStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  // What these files hold from now on, until the next call. Not while anybody reads.
  void damage(Damaged files) { files_ = std::move(files); }

  Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) override {
    const auto file = files_.find(path);
    if (file == files_.end()) return ForwardingStore::open_file(path);
    if (!file->second) return Error::from_errno(ENOENT, "open " + path);
    return std::unique_ptr<ReadFile>(std::make_unique<MemoryFile>(*file->second));
  }

 private:
  class MemoryFile final : public ReadFile {
   public:
    explicit MemoryFile(const FileBytes& bytes) : bytes_(bytes) {}
    std::uint64_t size() const override { return bytes_.size(); }
    void read_at(std::uint64_t offset, std::span<std::byte> into, IoCompletion done) override {
      const std::size_t from = std::min<std::size_t>(offset, bytes_.size());
      const std::size_t count = std::min(into.size(), bytes_.size() - from);
      std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(from), count, into.begin());
      done(count);
    }

   private:
    const FileBytes& bytes_;
  };

  Damaged files_;
};

// All files of a directory and below it.
inline FileMap read_files(Store& store, const std::string& directory) {
  FileMap files;
  for (const DirectoryEntry& entry : store.list_directory(directory).value()) {
    const std::string path = directory + '/' + entry.name;
    if (entry.type == EntryType::directory) {
      files.merge(read_files(store, path));
    } else {
      files.emplace(path, read_file(store, path, std::uint64_t{1} << 30).value());
    }
  }
  return files;
}

}  // namespace milepost::testing
