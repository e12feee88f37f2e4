// What a checkpoint manager can be told.
#pragma once

#include "milepost/engine/progress.h"
#include "milepost/engine/save/save_options.h"
#include "milepost/io/codec/codec.h"
#include "milepost/io/posix_store.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace milepost {

inline constexpr std::uint64_t staging_bytes_min = std::uint64_t{64} << 20;

struct CheckpointManagerOptions {
  std::int64_t save_interval_steps = 1;           // at least 1
  std::optional<int> max_to_keep = std::nullopt;  // the newest step is always kept; none: keep all
  std::string step_prefix = "";

  SnapshotMode mode = SnapshotMode::copy;
  Codec codec = Codec::fast();

  // Bound of the buffers that saves and restores use beside the caller's memory, in bytes; at least 64
  // MiB. With room for the whole state (and 64 MiB) a save stalls for one copy; with less, it streams.
  // Taken from the system as needed, and kept. The index of a step (paths, shapes, manifest), about 1
  // KB a leaf, comes on top. 0: a quarter of the machine's memory.
  std::uint64_t staging_bytes = 0;
  int worker_threads = 0;  // 0: as many as the machine has
  int worker_nice = 10;    // how far the threads of saves and restores stand back behind the training loop's, 0 to 19

  bool create = true;  // create the directory, and its missing parents
  bool read_only = false;
  bool cleanup_tmp_directories = true;  // remove attempts whose process is dead
  IoBackend io_backend = IoBackend::automatic;

  ProgressFn on_save_progress = {};
  std::shared_ptr<Store> store = nullptr;  // instead of the file system at the path given to open()
};

// invalid_argument if the codec's level is out of range.
Result<void> check_codec(const Codec& codec);
// invalid_argument, naming the option.
Result<void> check_options(const CheckpointManagerOptions& options);

}  // namespace milepost
