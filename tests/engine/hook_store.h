// Any store, with a function called before (or after) each operation: to stop it there, or to do
// something else in between. No test has to sleep in order to be at a certain place.
#pragma once

#include "tests/support/fault_store.h"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace milepost::testing {

// A door in the way of a thread.
class Gate {
 public:
  // Waits until open() was called.
  void pass();
  // Returns when somebody stands before the gate, or has passed it.
  void wait_for_arrival();
  void open();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool arrived_ = false;  // guarded by mutex_
  bool open_ = false;
};

class HookStore final : public Store {
 public:
  // Called on any thread; for a rename the path is where it leads, for an exchange the second.
  using Hook = std::function<void(Operation, const std::string& path)>;

  explicit HookStore(std::shared_ptr<Store> inner) : inner_(std::move(inner)) {}

  // Not while operations are in flight.
  void before(Hook hook) { *before_ = std::move(hook); }
  void after(Hook hook) { after_ = std::move(hook); }  // not of reads and writes of files

  std::string description() const override { return inner_->description(); }
  Result<std::unique_ptr<WriteFile>> create_file(const std::string& path, const CreateFileOptions& options) override;
  Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) override;
  Result<void> make_directory(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> rename_no_replace(const std::string& from, const std::string& to) override;
  Result<void> exchange(const std::string& a, const std::string& b) override;
  Result<void> remove_file(const std::string& path) override;
  Result<void> remove_directory(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> list_directory(const std::string& path) override;
  Result<EntryInfo> stat(const std::string& path) override;
  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& path, LockKind kind) override;

 private:
  class HookWriteFile;

  template <class Call> auto around(Operation operation, const std::string& path, const Call& call) {
    if (*before_) (*before_)(operation, path);
    auto result = call();
    if (after_) after_(operation, path);
    return result;
  }

  const std::shared_ptr<Store> inner_;
  const std::shared_ptr<Hook> before_ = std::make_shared<Hook>();  // shared with the files
  Hook after_;
};

}  // namespace milepost::testing
