// Any store, on a disk that now and then lies: it says that all went well, and it did not.
#pragma once

#include "tests/support/forwarding_store.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace milepost::testing {

enum class Lie {
  dropped_write,      // nothing is written
  torn_write,         // its first half is
  misdirected_write,  // to the block before or behind
  misdirected_read,   // from there
  stale_read,         // of what a file of the same name in another directory has there
};
inline constexpr Lie lies[] = {Lie::dropped_write, Lie::torn_write, Lie::misdirected_write, Lie::misdirected_read,
                               Lie::stale_read};

// All methods may be called from several threads at once.
class LyingStore final : public ForwardingStore {
 public:
  // Whether the Nth write or read, of those that such a lie is about, is lied about.
  using Choice = std::function<bool(std::uint64_t n)>;

  explicit LyingStore(std::shared_ptr<Store> inner) : ForwardingStore(std::move(inner)) {}

  // Not while operations are in flight. Reads are stale from the directory `stale`, in place of the first of the path.
  void lie(Lie lie, Choice choice, std::string stale = {});
  std::uint64_t told() const { return told_; }  // lies, since lie() was called

  Result<std::unique_ptr<WriteFile>> create_file(const std::string& path, const CreateFileOptions& options) override;
  Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) override;

 private:
  class LyingWriteFile;
  class LyingReadFile;

  bool lies_now();

  Lie lie_ = Lie::dropped_write;
  Choice choice_;
  std::string stale_;
  std::atomic<std::uint64_t> next_ = 0;
  std::atomic<std::uint64_t> told_ = 0;
};

}  // namespace milepost::testing
