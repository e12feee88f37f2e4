// Chunk encoders that saves share.
#pragma once

#include "milepost/io/codec/codec.h"

#include <memory>
#include <mutex>
#include <vector>

namespace milepost {

// Coders are large and slow to make: workers borrow them. Thread-safe.
class EncoderCache {
 public:
  std::unique_ptr<ChunkEncoder> take();
  void put(std::unique_ptr<ChunkEncoder> encoder);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<ChunkEncoder>> free_;
};

}  // namespace milepost
