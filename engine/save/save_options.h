// How a save is done, and what it did.
#pragma once

#include "milepost/engine/format/step_record.h"
#include "milepost/io/codec/codec.h"
#include "milepost/policy/grace_budget.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace milepost {

// How the state is frozen.
enum class SnapshotMode : std::uint8_t {
  copy,    // save() copies the state to the staging pool before it returns: always correct
  lazy,    // save() returns at once and copies in the background; call fence() before the state changes
  borrow,  // nothing is copied ahead; the caller promises not to change the state until it is captured
  // Copy-on-write: save() protects the state's pages from writes and returns; who writes to one that is not captured
  // yet waits until it is. The state may change at once, but must not be freed, unmapped or moved until it is captured.
  // Writes past the page tables of the process tear the snapshot in silence: by devices into pinned memory (GPUs,
  // RDMA), by io_uring into registered buffers. Functions of the options must not wait for a thread that writes to the
  // state. Where it cannot be had, the save is made in mode copy, and SaveReport::mode_reason says why.
  // docs/performance.md has what it takes: a privilege, private anonymous memory, and leaves that are mostly large and
  // contiguous.
  cow,
};
std::string_view to_string(SnapshotMode mode);
// None: no mode is called that.
std::optional<SnapshotMode> parse_snapshot_mode(std::string_view text);

enum class SaveEvent : std::uint8_t { captured, durable, committed };

struct SaveOptions {
  Metrics metrics = {};
  // Saves even if should_save(step) is false. A step that exists is not touched: already_exists.
  bool force = false;
  // Saves in any case, in place of that step if it exists: at once when this one is committed, or not at all.
  // unavailable while a reader has the old one open.
  bool overwrite = false;
  std::string custom_metadata_json = "null";        // any JSON text
  std::optional<SnapshotMode> mode = std::nullopt;  // instead of the manager's
  std::optional<Codec> codec = std::nullopt;        // instead of the manager's
};

// What a finished save did. Times are in seconds from the call of save().
struct SaveReport {
  std::int64_t step = 0;
  SnapshotMode mode = SnapshotMode::copy;  // what was done
  std::string mode_reason = {};            // why that is copy, where cow was asked for
  std::uint64_t raw_bytes = 0;             // of state
  std::uint64_t stored_bytes = 0;          // on disk
  std::uint64_t retries = 0;               // of writes that failed
  double waited_s = 0;                     // for the save before, inside the call
  double stall_s = 0;                      // the whole call
  double disk_s = 0;                       // during which data was being written or flushed
  double captured_s = 0;
  double durable_s = 0;
  double committed_s = 0;
  std::int64_t commit_unix_ns = 0;                    // nanoseconds since 1970, as in the step's record
  std::optional<GraceDecision> grace = std::nullopt;  // of a save after a preemption notice: what was done, and why
};

}  // namespace milepost
