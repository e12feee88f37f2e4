// FileCheckpointManager: keeps rounds of a federated simulation. The manager of that name of TensorFlow Federated's
// simulation package: synchronous, over a FileProgramStateManager.
#pragma once

#include "milepost/engine/federated/file_program_state_manager.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace milepost {

struct FileCheckpointManagerOptions {
  std::string prefix = "ckpt_";  // a round's directory is called <prefix><round>, in decimal
  std::int64_t step = 1;         // only its multiples are saved; at least 1

  // What survives a save: the first round (if keep_first) and the newest ones, keep_total together, but at the least
  // the newest; all, if keep_total is 0 or less.
  std::int64_t keep_total = 5;
  bool keep_first = true;

  // As in FileProgramStateManagerOptions.
  Codec codec = Codec::fast();
  std::uint64_t staging_bytes = 0;
  int worker_threads = 0;
  std::shared_ptr<Store> store = nullptr;
};

struct SimulationCheckpoint {
  ProgramValue state;
  std::int64_t round = 0;
};

// All methods may be called from several threads at once. A handle: movable, not copyable.
//
// Constructing it does no I/O: the directory is opened by the first call, and made by the first save. Every method
// returns invalid_argument for bad options, and the errors of FileProgramStateManager::open().
class FileCheckpointManager {
 public:
  explicit FileCheckpointManager(std::string root_dir, FileCheckpointManagerOptions options = {});
  FileCheckpointManager(FileCheckpointManager&&) noexcept;
  FileCheckpointManager& operator=(FileCheckpointManager&&) noexcept;
  ~FileCheckpointManager();

  // As FileProgramStateManager::load() and load_latest(). not_found: no such round.
  Result<ProgramValue> load_checkpoint(const ProgramValue& structure, std::int64_t round,
                                       const LoadOptions& options = {});
  // None if there is no round.
  Result<std::optional<SimulationCheckpoint>> load_latest_checkpoint(const ProgramValue& structure,
                                                                     const LoadOptions& options = {});
  // If there is no round, `default_state`, which is saved as round 0 first; it is the structure, too. If several do so
  // at the same time, the default of one of them is what all get.
  Result<SimulationCheckpoint> load_latest_checkpoint_or_default(const ProgramValue& default_state,
                                                                 const LoadOptions& options = {});

  // As FileProgramStateManager::save(). False, with nothing done, unless the round is a multiple of `step`.
  Result<bool> save_checkpoint(const ProgramValue& state, std::int64_t round);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace milepost
