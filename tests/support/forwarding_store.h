// Any store, passed on call by call: what its decorators derive from, so that each holds nothing but what it is
// for. A decorator is asked before each operation, also on files, whether it happens; or overrides whole calls.
#pragma once

#include "milepost/io/store.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace milepost::testing {

enum class Operation {
  create_file,
  open_file,
  open_file_to_write,
  write,
  read,
  truncate,
  sync,
  close,
  make_directory,
  sync_directory,
  rename,
  exchange,
  replace_file,
  remove_file,
  remove_directory,
  list,
  stat,
  lock,
};

std::string_view to_string(Operation operation);

class ForwardingStore : public Store {
 public:
  explicit ForwardingStore(std::shared_ptr<Store> inner) : inner_(std::move(inner)) {}

  std::string description() const override { return inner_->description(); }
  void warm_up() override { inner_->warm_up(); }
  Result<std::unique_ptr<WriteFile>> create_file(const std::string& path, const CreateFileOptions& options) override;
  Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) override;
  Result<std::unique_ptr<WriteFile>> open_file_to_write(const std::string& path) override;
  Result<void> make_directory(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> rename_no_replace(const std::string& from, const std::string& to) override;
  Result<void> exchange(const std::string& a, const std::string& b) override;
  Result<void> replace_file(const std::string& from, const std::string& to) override;
  Result<void> remove_file(const std::string& path) override;
  Result<void> remove_directory(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> list_directory(const std::string& path) override;
  Result<EntryInfo> stat(const std::string& path) override;
  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& path, LockKind kind) override;

 protected:
  // What happens to an operation.
  struct Verdict {
    std::optional<Error> error = std::nullopt;  // what it reports, whatever it did
    bool takes_effect = true;                   // if not, one that returns nothing may still report success
  };
  // Before each operation, on any thread; for a rename the path is where it leads, for an exchange the second.
  virtual Verdict begin(Operation, const std::string& /*path*/) { return {}; }
  // After each that took effect, but not after those on files.
  virtual void end(Operation, const std::string& /*path*/) {}

  Store& inner() { return *inner_; }

 private:
  class ForwardingWriteFile;
  class ForwardingReadFile;

  template <class Call> auto pass(Operation operation, const std::string& path, const Call& call) -> decltype(call()) {
    const Verdict verdict = begin(operation, path);
    if (!verdict.takes_effect) {
      if constexpr (std::is_same_v<decltype(call()), Result<void>>) {
        if (!verdict.error) return {};
      }
      return *verdict.error;
    }
    auto result = call();
    end(operation, path);
    if (verdict.error) return *verdict.error;
    return result;
  }

  const std::shared_ptr<Store> inner_;
};

}  // namespace milepost::testing
