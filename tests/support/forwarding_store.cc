#include "tests/support/forwarding_store.h"

#include "milepost/io/try.h"

namespace milepost::testing {

std::string_view to_string(Operation operation) {
  switch (operation) {
    case Operation::create_file: return "create";
    case Operation::open_file: return "open";
    case Operation::open_file_to_write: return "open to write";
    case Operation::write: return "pwrite";
    case Operation::read: return "pread";
    case Operation::truncate: return "ftruncate";
    case Operation::sync: return "fsync";
    case Operation::close: return "close";
    case Operation::make_directory: return "mkdir";
    case Operation::sync_directory: return "fsync";
    case Operation::rename: return "rename";
    case Operation::exchange: return "exchange";
    case Operation::replace_file: return "replace";
    case Operation::remove_file: return "unlink";
    case Operation::remove_directory: return "rmdir";
    case Operation::list: return "list";
    case Operation::stat: return "stat";
    case Operation::lock: return "lock";
  }
  return "unknown";
}

namespace {

// What an operation reports in place of its own result.
IoCompletion reporting(std::optional<Error> error, IoCompletion done) {
  if (!error) return done;
  return [done = std::move(done), error = *std::move(error)](const Result<std::size_t>&) { done(error); };
}

}  // namespace

class ForwardingStore::ForwardingWriteFile final : public WriteFile {
 public:
  ForwardingWriteFile(ForwardingStore& store, std::unique_ptr<WriteFile> inner, std::string path)
      : store_(store), inner_(std::move(inner)), path_(std::move(path)) {}

  void write_at(std::uint64_t offset, std::span<const std::byte> data, IoCompletion done) override {
    const Verdict verdict = store_.begin(Operation::write, path_);
    if (!verdict.takes_effect) return done(*verdict.error);
    inner_->write_at(offset, data, reporting(verdict.error, std::move(done)));
  }
  Result<void> truncate(std::uint64_t size) override {
    return pass(Operation::truncate, [&] { return inner_->truncate(size); });
  }
  Result<void> sync() override {
    return pass(Operation::sync, [&] { return inner_->sync(); });
  }
  Result<void> close() override {
    return pass(Operation::close, [&] { return inner_->close(); });
  }

 private:
  template <class Call> Result<void> pass(Operation operation, const Call& call) {
    const Verdict verdict = store_.begin(operation, path_);
    if (!verdict.takes_effect) return verdict.error ? Result<void>(*verdict.error) : Result<void>();
    const Result<void> result = call();
    if (verdict.error) return *verdict.error;
    return result;
  }

  ForwardingStore& store_;
  const std::unique_ptr<WriteFile> inner_;
  const std::string path_;
};

class ForwardingStore::ForwardingReadFile final : public ReadFile {
 public:
  ForwardingReadFile(ForwardingStore& store, std::unique_ptr<ReadFile> inner, std::string path)
      : store_(store), inner_(std::move(inner)), path_(std::move(path)) {}

  std::uint64_t size() const override { return inner_->size(); }
  void read_at(std::uint64_t offset, std::span<std::byte> into, IoCompletion done) override {
    const Verdict verdict = store_.begin(Operation::read, path_);
    if (!verdict.takes_effect) return done(*verdict.error);
    inner_->read_at(offset, into, reporting(verdict.error, std::move(done)));
  }
  std::size_t memory_alignment() const override { return inner_->memory_alignment(); }
  bool is_cached(std::uint64_t offset, std::uint64_t bytes) const override { return inner_->is_cached(offset, bytes); }

 private:
  ForwardingStore& store_;
  const std::unique_ptr<ReadFile> inner_;
  const std::string path_;
};

Result<std::unique_ptr<WriteFile>> ForwardingStore::create_file(const std::string& path,
                                                                const CreateFileOptions& options) {
  MILEPOST_ASSIGN(auto file, pass(Operation::create_file, path, [&] { return inner_->create_file(path, options); }));
  return std::unique_ptr<WriteFile>(std::make_unique<ForwardingWriteFile>(*this, std::move(file), path));
}

Result<std::unique_ptr<ReadFile>> ForwardingStore::open_file(const std::string& path) {
  MILEPOST_ASSIGN(auto file, pass(Operation::open_file, path, [&] { return inner_->open_file(path); }));
  return std::unique_ptr<ReadFile>(std::make_unique<ForwardingReadFile>(*this, std::move(file), path));
}

Result<std::unique_ptr<WriteFile>> ForwardingStore::open_file_to_write(const std::string& path) {
  MILEPOST_ASSIGN(auto file,
                  pass(Operation::open_file_to_write, path, [&] { return inner_->open_file_to_write(path); }));
  return std::unique_ptr<WriteFile>(std::make_unique<ForwardingWriteFile>(*this, std::move(file), path));
}

Result<void> ForwardingStore::make_directory(const std::string& path) {
  return pass(Operation::make_directory, path, [&] { return inner_->make_directory(path); });
}

Result<void> ForwardingStore::sync_directory(const std::string& path) {
  return pass(Operation::sync_directory, path, [&] { return inner_->sync_directory(path); });
}

Result<void> ForwardingStore::rename_no_replace(const std::string& from, const std::string& to) {
  return pass(Operation::rename, to, [&] { return inner_->rename_no_replace(from, to); });
}

Result<void> ForwardingStore::exchange(const std::string& a, const std::string& b) {
  return pass(Operation::exchange, b, [&] { return inner_->exchange(a, b); });
}

Result<void> ForwardingStore::replace_file(const std::string& from, const std::string& to) {
  return pass(Operation::replace_file, to, [&] { return inner_->replace_file(from, to); });
}

Result<void> ForwardingStore::remove_file(const std::string& path) {
  return pass(Operation::remove_file, path, [&] { return inner_->remove_file(path); });
}

Result<void> ForwardingStore::remove_directory(const std::string& path) {
  return pass(Operation::remove_directory, path, [&] { return inner_->remove_directory(path); });
}

Result<std::vector<DirectoryEntry>> ForwardingStore::list_directory(const std::string& path) {
  return pass(Operation::list, path, [&] { return inner_->list_directory(path); });
}

Result<EntryInfo> ForwardingStore::stat(const std::string& path) {
  return pass(Operation::stat, path, [&] { return inner_->stat(path); });
}

Result<std::unique_ptr<DirectoryLock>> ForwardingStore::lock_directory(const std::string& path, LockKind kind) {
  return pass(Operation::lock, path, [&] { return inner_->lock_directory(path, kind); });
}

}  // namespace milepost::testing
