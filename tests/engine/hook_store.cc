#include "tests/engine/hook_store.h"

#include "milepost/io/try.h"

#include <utility>

namespace milepost::testing {

void Gate::pass() {
  std::unique_lock lock(mutex_);
  arrived_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return open_; });
}

void Gate::wait_for_arrival() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return arrived_; });
}

void Gate::open() {
  const std::lock_guard lock(mutex_);
  open_ = true;
  changed_.notify_all();
}

class HookStore::HookWriteFile final : public WriteFile {
 public:
  HookWriteFile(std::shared_ptr<Hook> before, std::unique_ptr<WriteFile> inner, std::string path)
      : before_(std::move(before)), inner_(std::move(inner)), path_(std::move(path)) {}

  void write_at(std::uint64_t offset, std::span<const std::byte> data, IoCompletion done) override {
    call(Operation::write);
    inner_->write_at(offset, data, std::move(done));
  }
  Result<void> truncate(std::uint64_t size) override {
    call(Operation::truncate);
    return inner_->truncate(size);
  }
  Result<void> sync() override {
    call(Operation::sync);
    return inner_->sync();
  }
  Result<void> close() override {
    call(Operation::close);
    return inner_->close();
  }

 private:
  void call(Operation operation) {
    if (*before_) (*before_)(operation, path_);
  }

  const std::shared_ptr<Hook> before_;
  const std::unique_ptr<WriteFile> inner_;
  const std::string path_;
};

Result<std::unique_ptr<WriteFile>> HookStore::create_file(const std::string& path, const CreateFileOptions& options) {
  MILEPOST_ASSIGN(auto file, around(Operation::create_file, path, [&] { return inner_->create_file(path, options); }));
  return std::unique_ptr<WriteFile>(std::make_unique<HookWriteFile>(before_, std::move(file), path));
}

Result<std::unique_ptr<ReadFile>> HookStore::open_file(const std::string& path) {
  return around(Operation::open_file, path, [&] { return inner_->open_file(path); });
}

Result<void> HookStore::make_directory(const std::string& path) {
  return around(Operation::make_directory, path, [&] { return inner_->make_directory(path); });
}

Result<void> HookStore::sync_directory(const std::string& path) {
  return around(Operation::sync_directory, path, [&] { return inner_->sync_directory(path); });
}

Result<void> HookStore::rename_no_replace(const std::string& from, const std::string& to) {
  return around(Operation::rename, to, [&] { return inner_->rename_no_replace(from, to); });
}

Result<void> HookStore::exchange(const std::string& a, const std::string& b) {
  return around(Operation::exchange, b, [&] { return inner_->exchange(a, b); });
}

Result<void> HookStore::remove_file(const std::string& path) {
  return around(Operation::remove_file, path, [&] { return inner_->remove_file(path); });
}

Result<void> HookStore::remove_directory(const std::string& path) {
  return around(Operation::remove_directory, path, [&] { return inner_->remove_directory(path); });
}

Result<std::vector<DirectoryEntry>> HookStore::list_directory(const std::string& path) {
  return around(Operation::list, path, [&] { return inner_->list_directory(path); });
}

Result<EntryInfo> HookStore::stat(const std::string& path) {
  return around(Operation::stat, path, [&] { return inner_->stat(path); });
}

Result<std::unique_ptr<DirectoryLock>> HookStore::lock_directory(const std::string& path, LockKind kind) {
  return around(Operation::lock, path, [&] { return inner_->lock_directory(path, kind); });
}

}  // namespace milepost::testing
