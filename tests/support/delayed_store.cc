#include "tests/support/delayed_store.h"

#include "milepost/io/try.h"

namespace milepost::testing {

void DelayedStore::refresh_listings() {
  const std::lock_guard lock(mutex_);
  listings_.clear();
}

void DelayedStore::refresh_attributes() {
  const std::lock_guard lock(mutex_);
  attributes_.clear();
}

Result<std::vector<DirectoryEntry>> DelayedStore::list_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto known = listings_.find(path);
  if (known != listings_.end()) return known->second;
  MILEPOST_ASSIGN(auto entries, inner().list_directory(path));
  listings_.emplace(path, entries);
  return entries;
}

Result<EntryInfo> DelayedStore::stat(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto known = attributes_.find(path);
  if (known != attributes_.end()) return known->second;
  return attributes_.emplace(path, inner().stat(path)).first->second;
}

Result<std::unique_ptr<ReadFile>> DelayedStore::open_file(const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = attributes_.find(path);
    if (known != attributes_.end() && known->second.has_error()) return known->second.error();
  }
  auto file = ForwardingStore::open_file(path);
  if (file.has_error()) {
    const std::lock_guard lock(mutex_);
    attributes_.insert_or_assign(path, Result<EntryInfo>(file.error()));
  }
  return file;
}

Result<void> DelayedStore::rename_no_replace(const std::string& from, const std::string& to) {
  auto renamed = ForwardingStore::rename_no_replace(from, to);
  forget(from);
  return renamed;
}

Result<void> DelayedStore::exchange(const std::string& a, const std::string& b) {
  auto exchanged = ForwardingStore::exchange(a, b);
  forget(a);
  return exchanged;
}

void DelayedStore::end(Operation operation, const std::string& path) {
  const bool changes = operation == Operation::create_file || operation == Operation::make_directory ||
                       operation == Operation::rename || operation == Operation::exchange ||
                       operation == Operation::remove_file || operation == Operation::remove_directory;
  if (changes) forget(path);
}

void DelayedStore::forget(const std::string& path) {
  const auto is_concerned = [&](const auto& entry) {
    return entry.first == path || entry.first.starts_with(path + '/');
  };
  const std::size_t slash = path.rfind('/');
  const std::lock_guard lock(mutex_);
  std::erase_if(listings_, is_concerned);
  std::erase_if(attributes_, is_concerned);
  listings_.erase(slash == std::string::npos ? "" : path.substr(0, slash));
}

}  // namespace milepost::testing
