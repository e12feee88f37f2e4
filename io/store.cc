#include "milepost/io/store.h"

#include "milepost/io/try.h"

#include <condition_variable>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

namespace milepost {
namespace {

// Waits for one completion.
class Waiter {
 public:
  IoCompletion completion() {
    return [this](Result<std::size_t> result) {
      const std::lock_guard lock(mutex_);
      result_ = std::move(result);
      done_.notify_one();  // under the lock: the waiter is gone soon after
    };
  }

  Result<std::size_t> wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return result_.has_value(); });
    return std::move(*result_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::optional<Result<std::size_t>> result_;
};

}  // namespace

Result<bool> Store::has_file(const std::string& path) {
  const auto info = stat(path);
  if (info.has_value()) return info->type == EntryType::file;
  if (info.error().code() == ErrorCode::not_found) return false;
  return info.error();
}

Result<void> write_at(WriteFile& file, std::uint64_t offset, std::span<const std::byte> data) {
  Waiter waiter;
  file.write_at(offset, data, waiter.completion());
  MILEPOST_TRY(waiter.wait());
  return {};
}

Result<std::size_t> read_at(ReadFile& file, std::uint64_t offset, std::span<std::byte> into) {
  Waiter waiter;
  file.read_at(offset, into, waiter.completion());
  return waiter.wait();
}

Result<void> write_file(Store& store, const std::string& path, std::span<const std::byte> data) {
  MILEPOST_ASSIGN(const auto file, store.create_file(path, {}));
  MILEPOST_TRY(write_at(*file, 0, data));
  MILEPOST_TRY(file->sync());
  return file->close();
}

Result<std::vector<std::byte>> read_file(Store& store, const std::string& path, std::uint64_t size_max) {
  MILEPOST_ASSIGN(const auto file, store.open_file(path));
  if (file->size() > size_max) {
    return Error(ErrorCode::corruption, path + " has " + std::to_string(file->size()) + " bytes; at most " +
                                            std::to_string(size_max) + " are expected");
  }
  std::vector<std::byte> data;
  try {
    data.resize(file->size());
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::no_space, "no memory for the " + std::to_string(file->size()) + " bytes of " + path);
  }
  MILEPOST_ASSIGN(const std::size_t bytes, read_at(*file, 0, data));
  if (bytes != data.size()) return Error(ErrorCode::corruption, path + " became shorter while it was read");
  return data;
}

Result<void> remove_tree(Store& store, const std::string& path) {
  MILEPOST_ASSIGN(const std::vector<DirectoryEntry> entries, store.list_directory(path));
  for (const DirectoryEntry& entry : entries) {
    const std::string below = path.empty() ? entry.name : path + "/" + entry.name;
    MILEPOST_TRY(entry.type == EntryType::directory ? remove_tree(store, below) : store.remove_file(below));
  }
  if (path.empty()) return {};
  return store.remove_directory(path);
}

}  // namespace milepost
