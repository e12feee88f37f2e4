// The errors that are made most often; for the library's own sources, not for its public headers.
#pragma once

#include "milepost/io/error.h"

#include <string>
#include <utility>

namespace milepost {

inline Error invalid(std::string message) { return Error(ErrorCode::invalid_argument, std::move(message)); }
inline Error corrupt(std::string message) { return Error(ErrorCode::corruption, std::move(message)); }

}  // namespace milepost
