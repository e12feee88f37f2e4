#include "milepost/engine/memory_plan.h"

#include "milepost/engine/format/chunk_table.h"
#include "milepost/engine/save/save_job.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

namespace milepost {

// A worker's coder, and the memory that a restore decodes through.
static constexpr std::uint64_t worker_bytes = std::uint64_t{8} << 20;
// Left to the index. With what the workers do not take while it is written, enough for 100,000 leaves.
static constexpr std::uint64_t index_bytes = std::uint64_t{16} << 20;

MemoryPlan::MemoryPlan(const CheckpointManagerOptions& options) : bound(options.staging_bytes) {
  if (bound == 0) {
    const auto physical =
        static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    bound = std::max(staging_bytes_min, physical / 4);
  }
  // Each worker may hold two coding blocks; beside those, enough for the writes in flight.
  constexpr std::uint64_t writes = 8;
  const std::uint64_t block = coding_block_bytes();
  const int wanted =
      options.worker_threads > 0 ? options.worker_threads : static_cast<int>(std::thread::hardware_concurrency());
  workers = std::clamp<int>(static_cast<int>(bound / 2 / (2 * block + worker_bytes)), 1, std::max(1, wanted));
  const std::uint64_t blocks = std::min<std::uint64_t>(2 * workers + writes, (bound / 2 - index_bytes) / block);
  coding.trace_name = "coding bytes";
  coding.block_bytes = block;
  coding.capacity_bytes = blocks * block;
  staging.trace_name = "staging bytes";
  staging.block_bytes = chunk_bytes_max;
  coder_bytes = workers * worker_bytes;
  staging.capacity_bytes = bound - coding.capacity_bytes - coder_bytes - index_bytes;
}

}  // namespace milepost
