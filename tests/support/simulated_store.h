// A store in memory that knows what a disk would still hold after the power fails.
//
// It keeps two versions of everything: what processes see, and what is durable. Between them lie
// the pending changes: writes and truncations of each file since its last sync, and changes of
// names in each directory since its last sync_directory. crash() draws a state that a disk could
// be in: of the pending changes of a file any subset, of each write any of its 512-byte sectors;
// of the changes of names a prefix in each directory. A rename between directories happens in both
// or in neither. The data of a file and its name are independent: a synced file whose directory was
// not synced may be gone, and a name may lead to a file without its data.
//
// The same calls, the same seed: the same state. All methods may be called from several threads.
// Completions run inside the call. Files and locks must not outlive the store.
#pragma once

#include "milepost/io/store.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace milepost::testing {

class SimulatedStore final : public Store {
 public:
  SimulatedStore();  // empty, and the root is durable
  ~SimulatedStore() override;

  // A disk after a power cut at this moment, drawn by `seed`. This store stays as it is, so that
  // many states of one moment can be looked at. Locks are gone.
  std::unique_ptr<SimulatedStore> crash(std::uint64_t seed) const;
  // What is left when only the process dies: all of it, without the locks, and still not durable.
  std::unique_ptr<SimulatedStore> after_process_death() const;
  // From the moment `count` more operations are done, every one fails with `cancelled` and changes
  // nothing: the process is dead. Then look at crash() or after_process_death().
  void crash_after(std::uint64_t count);

  // Of the fsyncs of files from now on, `count` succeed; the next one fails with `io`, and what it was to write will
  // never be durable unless it is written once more: Linux takes pages that it could not write for clean.
  void fail_sync_after(std::uint64_t count);

  // Calls so far, of any kind, also on files and also failed ones.
  std::uint64_t operations() const;

  std::string description() const override;
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

 private:
  struct State;
  class SimulatedWriteFile;
  class SimulatedReadFile;
  class SimulatedLock;

  std::unique_ptr<State> state_;
};

}  // namespace milepost::testing
