// What falling back to an older step needs to know. Internal to the engine.
#pragma once

#include "milepost/io/error.h"

#include <string_view>
#include <vector>

namespace milepost {

// Whether an older step could be good where this one is not: it is damaged, of a newer format, or cannot be read. What
// was asked for in a wrong way, or does not fit, is the program's own error.
bool may_fall_back(const Error& error);

// When none is left: all reasons, the newest step's first, whose code it has. `what` is a step or a version.
Error nothing_to_fall_back_to(std::string_view what, const std::vector<Error>& reasons);

}  // namespace milepost
