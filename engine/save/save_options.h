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
};
std::string_view to_string(SnapshotMode mode);

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
  SnapshotMode mode = SnapshotMode::copy;
  std::uint64_t raw_bytes = 0;     // of state
  std::uint64_t stored_bytes = 0;  // on disk
  std::uint64_t retries = 0;       // of writes that failed
  double waited_s = 0;             // for the save before, inside the call
  double stall_s = 0;              // the whole call
  double disk_s = 0;               // during which data was being written or flushed
  double captured_s = 0;
  double durable_s = 0;
  double committed_s = 0;
  std::int64_t commit_unix_ns = 0;                    // nanoseconds since 1970, as in the step's record
  std::optional<GraceDecision> grace = std::nullopt;  // of a save after a preemption notice: what was done, and why
};

}  // namespace milepost
