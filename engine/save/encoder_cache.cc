#include "milepost/engine/save/encoder_cache.h"

#include <utility>

namespace milepost {

std::unique_ptr<ChunkEncoder> EncoderCache::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return std::make_unique<ChunkEncoder>();
  auto encoder = std::move(free_.back());
  free_.pop_back();
  return encoder;
}

void EncoderCache::put(std::unique_ptr<ChunkEncoder> encoder) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(encoder));
}

}  // namespace milepost
