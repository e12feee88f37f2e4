// How the bound on memory is divided between staging, coding, the workers and the index.
#pragma once

#include "milepost/engine/checkpoint_manager_options.h"
#include "milepost/io/buffer_pool.h"

namespace milepost {

// Fewer workers than asked for if they would not fit.
struct MemoryPlan {
  explicit MemoryPlan(const CheckpointManagerOptions& options);

  std::uint64_t bound = 0;
  int workers = 1;
  std::uint64_t coder_bytes = 0;  // of all workers: their coders, or the memory that a restore decodes through
  BufferPoolOptions staging;      // blocks of chunk_bytes_max
  BufferPoolOptions coding;       // blocks of coding_block_bytes(), enough that no two workers wait for each other
};

}  // namespace milepost
