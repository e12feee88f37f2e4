#include "milepost/engine/save/save_options.h"

namespace milepost {

std::string_view to_string(SnapshotMode mode) {
  switch (mode) {
    case SnapshotMode::copy: return "copy";
    case SnapshotMode::lazy: return "lazy";
    case SnapshotMode::borrow: return "borrow";
  }
  return "unknown";
}

}  // namespace milepost
