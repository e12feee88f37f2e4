#include "milepost/engine/manager_event.h"

namespace milepost {

std::string_view to_string(ManagerEventKind kind) {
  switch (kind) {
    case ManagerEventKind::save_started: return "save_started";
    case ManagerEventKind::save_declined: return "save_declined";
    case ManagerEventKind::save_committed: return "save_committed";
    case ManagerEventKind::save_failed: return "save_failed";
    case ManagerEventKind::step_removed: return "step_removed";
    case ManagerEventKind::removal_failed: return "removal_failed";
    case ManagerEventKind::unwatched: return "unwatched";
    case ManagerEventKind::preempted: return "preempted";
  }
  return "unknown";
}

}  // namespace milepost
