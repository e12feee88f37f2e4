#include "milepost/engine/save/save_options.h"

namespace milepost {

std::string_view to_string(SnapshotMode mode) {
  switch (mode) {
    case SnapshotMode::copy: return "copy";
    case SnapshotMode::lazy: return "lazy";
    case SnapshotMode::borrow: return "borrow";
    case SnapshotMode::cow: return "cow";
  }
  return "unknown";
}

std::optional<SnapshotMode> parse_snapshot_mode(std::string_view text) {
  for (const SnapshotMode mode : {SnapshotMode::copy, SnapshotMode::lazy, SnapshotMode::borrow, SnapshotMode::cow}) {
    if (text == to_string(mode)) return mode;
  }
  return std::nullopt;
}

}  // namespace milepost
