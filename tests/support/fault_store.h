// Any store, with failures on demand, and a log of what was asked of it.
//
// Operations are numbered from 0 in the order in which they begin, over all files and directories,
// so that a test can fail the Nth of them for every N until none is left. All methods may be
// called from several threads.
#pragma once

#include "tests/support/forwarding_store.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace milepost::testing {

struct Fault {
  int system_errno = 5;                    // EIO
  std::uint64_t after = 0;                 // matching operations that still succeed
  bool forever = false;                    // also every matching operation after the first failure
  std::uint64_t again_after = 0;           // one more failure, so many matching operations after the first; 0: none
  std::vector<Operation> operations = {};  // only these; empty: any
  std::string path_contains =
      {};                     // only paths with this in them (a rename's: where it leads; an exchange's: the second)
  bool takes_effect = false;  // the operation is carried out, and yet reported as failed
};

struct LoggedOperation {
  Operation operation;
  std::string path;
  bool failed_on_purpose = false;
};

class FaultStore final : public ForwardingStore {
 public:
  explicit FaultStore(std::shared_ptr<Store> inner);
  ~FaultStore() override;

  // Replaces the plan; counting of `after` starts here.
  void inject(Fault fault);
  void heal();  // nothing fails from here on

  std::uint64_t operations() const;    // begun so far
  std::uint64_t faults_fired() const;  // failed on purpose so far
  std::vector<LoggedOperation> log() const;
  // Broken rules: a file whose sync failed was synced again; a file was used after it was closed.
  std::vector<std::string> violations() const;

  Result<std::unique_ptr<WriteFile>> create_file(const std::string& path, const CreateFileOptions& options) override;
  Result<std::unique_ptr<WriteFile>> open_file_to_write(const std::string& path) override;

 private:
  struct State;
  class CheckedWriteFile;

  Verdict begin(Operation operation, const std::string& path) override;

  const std::shared_ptr<State> state_;  // shared with the files
};

}  // namespace milepost::testing
