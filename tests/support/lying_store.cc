#include "tests/support/lying_store.h"

#include "milepost/io/try.h"

#include <utility>

namespace milepost::testing {
namespace {

constexpr std::uint64_t block_bytes = 4096;

std::uint64_t neighbour(std::uint64_t offset) {
  return offset / block_bytes % 2 == 0 ? offset + block_bytes : offset - block_bytes;
}

}  // namespace

class LyingStore::LyingWriteFile final : public WriteFile {
 public:
  LyingWriteFile(LyingStore& store, std::unique_ptr<WriteFile> inner) : store_(store), inner_(std::move(inner)) {}

  void write_at(std::uint64_t offset, std::span<const std::byte> data, IoCompletion done) override {
    if (store_.lie_ == Lie::misdirected_read || store_.lie_ == Lie::stale_read || !store_.lies_now()) {
      return inner_->write_at(offset, data, std::move(done));
    }
    if (store_.lie_ == Lie::dropped_write) return done(data.size());
    if (store_.lie_ == Lie::misdirected_write) return inner_->write_at(neighbour(offset), data, std::move(done));
    inner_->write_at(offset, data.first(data.size() / 2),
                     [done = std::move(done), bytes = data.size()](Result<std::size_t> written) {
                       done(written.has_error() ? std::move(written) : Result<std::size_t>(bytes));
                     });
  }
  Result<void> truncate(std::uint64_t size) override { return inner_->truncate(size); }
  Result<void> sync() override { return inner_->sync(); }
  Result<void> close() override { return inner_->close(); }

 private:
  LyingStore& store_;
  const std::unique_ptr<WriteFile> inner_;
};

class LyingStore::LyingReadFile final : public ReadFile {
 public:
  LyingReadFile(LyingStore& store, std::unique_ptr<ReadFile> inner, std::unique_ptr<ReadFile> stale)
      : store_(store), inner_(std::move(inner)), stale_(std::move(stale)) {}

  std::uint64_t size() const override { return inner_->size(); }
  void read_at(std::uint64_t offset, std::span<std::byte> into, IoCompletion done) override {
    const bool reads = store_.lie_ == Lie::misdirected_read || store_.lie_ == Lie::stale_read;
    if (!reads || !store_.lies_now()) return inner_->read_at(offset, into, std::move(done));
    if (store_.lie_ == Lie::stale_read && stale_) return stale_->read_at(offset, into, std::move(done));
    inner_->read_at(neighbour(offset), into, std::move(done));
  }

 private:
  LyingStore& store_;
  const std::unique_ptr<ReadFile> inner_;
  const std::unique_ptr<ReadFile> stale_;  // null if there is none
};

void LyingStore::lie(Lie lie, Choice choice, std::string stale) {
  lie_ = lie;
  choice_ = std::move(choice);
  stale_ = std::move(stale);
  next_ = 0;
  told_ = 0;
}

bool LyingStore::lies_now() {
  if (!choice_ || !choice_(next_++)) return false;
  ++told_;
  return true;
}

Result<std::unique_ptr<WriteFile>> LyingStore::create_file(const std::string& path, const CreateFileOptions& options) {
  MILEPOST_ASSIGN(auto file, ForwardingStore::create_file(path, options));
  return std::unique_ptr<WriteFile>(std::make_unique<LyingWriteFile>(*this, std::move(file)));
}

Result<std::unique_ptr<ReadFile>> LyingStore::open_file(const std::string& path) {
  MILEPOST_ASSIGN(auto file, ForwardingStore::open_file(path));
  const std::size_t slash = path.find('/');
  std::unique_ptr<ReadFile> stale;
  if (!stale_.empty() && slash != std::string::npos) {
    if (auto other = inner().open_file(stale_ + path.substr(slash)); other.has_value()) stale = std::move(*other);
  }
  return std::unique_ptr<ReadFile>(std::make_unique<LyingReadFile>(*this, std::move(file), std::move(stale)));
}

}  // namespace milepost::testing
