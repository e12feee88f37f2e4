// Which step an error is about.
#pragma once

#include "milepost/io/error.h"

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <utility>

namespace milepost {

inline Error within_step(Error error, std::int64_t step) noexcept {
  char text[32];
  std::snprintf(text, sizeof text, "step %" PRId64, step);
  return std::move(error).within(text);
}

}  // namespace milepost
