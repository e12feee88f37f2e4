#include "milepost/engine/progress.h"

namespace milepost {

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::capturing: return "capturing";
    case Phase::writing: return "writing";
    case Phase::committing: return "committing";
    case Phase::reading: return "reading";
    case Phase::done: return "done";
  }
  return "unknown";
}

}  // namespace milepost
