#include "milepost/engine/restore/fallback.h"

#include <string>
#include <utility>

namespace milepost {

bool may_fall_back(const Error& error) {
  switch (error.code()) {
    case ErrorCode::corruption:
    case ErrorCode::failed_precondition:
    case ErrorCode::io:
    case ErrorCode::unavailable: return true;
    default: return false;
  }
}

Error nothing_to_fall_back_to(std::string_view what, const std::vector<Error>& reasons) {
  const std::string noun(what);
  std::string message = reasons.size() == 1
                            ? "the only " + noun + " cannot be loaded"
                            : "none of the " + std::to_string(reasons.size()) + ' ' + noun + "s can be loaded";
  for (const Error& reason : reasons) message += "\n  " + reason.to_string();
  return Error(reasons.front().code(), std::move(message), reasons.front().system_errno());
}

}  // namespace milepost
