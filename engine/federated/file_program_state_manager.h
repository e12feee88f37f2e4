// FileProgramStateManager: keeps the state of a federated program, version by version, so that the program can go on
// where it was stopped. TensorFlow Federated's manager of that name, over a CheckpointManager.
//
//   auto states = milepost::FileProgramStateManager::open("/state").value();
//   auto latest = states.load_latest(structure).value();
//   ...
//   states.save(program_state, round).value();   // committed, and old versions are gone
#pragma once

#include "milepost/engine/federated/structure.h"
#include "milepost/engine/federated/value.h"
#include "milepost/engine/manager_event.h"
#include "milepost/io/codec/codec.h"
#include "milepost/io/store.h"

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace milepost {

struct FileProgramStateManagerOptions {
  // A version's directory is called <prefix><version>, in decimal. Managers with different prefixes, and a
  // CheckpointManager, can share a root directory. Must not end in a digit.
  std::string prefix = "program_state_";

  // What survives a save: see ProgramStateRetention. At the least the newest version, and the one just saved.
  std::int64_t keep_total = 5;  // 0 or less: all
  bool keep_first = true;
  std::int64_t keep_every_k = 1;  // at least 1

  // Of the manager beneath: see CheckpointManagerOptions.
  Codec codec = Codec::fast();
  std::uint64_t staging_bytes = 0;
  int worker_threads = 0;
  bool read_only = false;  // the directory has to exist, and nothing in it is changed
  ManagerEventFn on_event = {};
  std::shared_ptr<Store> store = nullptr;
};

struct LoadOptions {
  StructureMatch match = StructureMatch::strict;
};

struct LoadLatestOptions {
  StructureMatch match = StructureMatch::strict;
  // If the newest version is damaged, of a newer format, or cannot be read, the newest one before it that is not. What
  // from_bytes fails with is no reason: the bytes are those that were saved.
  bool fallback = false;
};

// A version that was passed over, and why.
struct SkippedVersion {
  std::int64_t version = 0;
  Error reason;
};

struct LatestProgramState {
  std::optional<ProgramValue> state = std::nullopt;  // none: there is no version
  std::int64_t version = 0;                          // 0 without a state
  std::vector<SkippedVersion> skipped = {};          // with `fallback`; the newest first
};

// All methods may be called from several threads at once; saves are carried out one after the other. A handle: movable,
// not copyable.
//
// A method whose name ends in _async does the same on a thread of the manager's own (one a call, because a call may
// wait for what another one brings) and returns at once. Its future never throws and may be dropped. Without a thread
// to be had, it holds `unavailable`.
class FileProgramStateManager {
 public:
  // Makes the directory, and its missing parents. invalid_argument, naming the option; otherwise as
  // CheckpointManager::open().
  static Result<FileProgramStateManager> open(const std::string& root_dir, FileProgramStateManagerOptions options = {});
  FileProgramStateManager(FileProgramStateManager&&) noexcept;
  FileProgramStateManager& operator=(FileProgramStateManager&&) noexcept;
  ~FileProgramStateManager();  // waits for the calls on threads of its own

  // Those that are committed, ascending, as the directory has them now. None if there are none; never empty.
  Result<std::optional<std::vector<std::int64_t>>> get_versions() const;

  // The state in the form of `structure`: see read_leaves() and assemble(), whose errors it returns. not_found if there
  // is no such version; waits for a save of it in flight.
  Result<ProgramValue> load(std::int64_t version, const ProgramValue& structure, const LoadOptions& options = {}) const;

  // Of the newest version. If it cannot be loaded, its error, or with `fallback` an older version; a structure that
  // does not fit is an error with `fallback`, too, and so it is if no version can be loaded.
  Result<LatestProgramState> load_latest(const ProgramValue& structure, const LoadLatestOptions& options = {}) const;

  // Awaits the references (see materialize(), whose errors it returns), saves, and removes old versions; committed and
  // durable when it returns. Any version that is not there may be saved, later or earlier than others.
  // already_exists if it is there; invalid_argument if it is negative, or names the leaf that cannot be saved. After an
  // error there is no such version, unless the error says that it is committed: then old versions could not be removed.
  // Nobody may change the tensors' memory meanwhile.
  Result<void> save(const ProgramValue& program_state, std::int64_t version);

  // Removes all versions that get_versions() lists, the oldest first, and nothing else. A version that somebody has
  // open (unavailable) or that cannot be removed does not stop it from removing the others; the first error.
  Result<void> remove_all();

  // What they are given is copied: the tensors' memory must live, unchanged, until the future is ready.
  std::future<Result<std::optional<std::vector<std::int64_t>>>> get_versions_async() const;
  std::future<Result<ProgramValue>> load_async(std::int64_t version, ProgramValue structure,
                                               LoadOptions options = {}) const;
  std::future<Result<LatestProgramState>> load_latest_async(ProgramValue structure,
                                                            LoadLatestOptions options = {}) const;
  std::future<Result<void>> save_async(ProgramValue program_state, std::int64_t version);
  std::future<Result<void>> remove_all_async();

 private:
  class Impl;
  explicit FileProgramStateManager(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace milepost
