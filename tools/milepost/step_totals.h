// What the record of a step says in sums, and how old it is.
#pragma once

#include "milepost/engine/format/step_record.h"

#include <cstdint>

namespace milepost::tool {

struct Totals {
  std::uint64_t leaves = 0;
  std::uint64_t raw_bytes = 0;
  std::uint64_t stored_bytes = 0;  // but for the record itself
};

Totals totals_of(const StepRecord& record);

double seconds_between(std::int64_t from_unix_ns, std::int64_t to_unix_ns);
std::int64_t now_unix_ns();

}  // namespace milepost::tool
