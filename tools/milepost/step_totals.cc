#include "tools/milepost/step_totals.h"

#include <chrono>

namespace milepost::tool {

Totals totals_of(const StepRecord& record) {
  Totals totals;
  for (const ItemRecord& item : record.items) {
    totals.leaves += item.leaf_count;
    totals.raw_bytes += item.raw_bytes;
    totals.stored_bytes += item.stored_bytes + item.manifest_bytes;
  }
  return totals;
}

double seconds_between(std::int64_t from_unix_ns, std::int64_t to_unix_ns) {
  return (static_cast<double>(to_unix_ns) - static_cast<double>(from_unix_ns)) * 1e-9;
}

std::int64_t now_unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace milepost::tool
