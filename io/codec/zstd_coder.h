// zstd with its contexts kept from call to call. Not thread-safe; one for each worker.
#pragma once

#include "milepost/io/error.h"

#include <cstddef>
#include <memory>
#include <span>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace milepost {

inline constexpr int zstd_level_min = 1;
inline constexpr int zstd_level_max = 19;

// Both functions write one standard frame, with its content size, and return its size; 0 when it
// does not fit into `out` (content that does not shrink is no error here).
class ZstdEncoder {
 public:
  // Entropy coding alone: matches are as good as never found, nor looked for.
  std::size_t huffman(std::span<const std::byte> content, std::span<std::byte> out);
  std::size_t level(int level, std::span<const std::byte> content, std::span<std::byte> out);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> huffman_;
  std::unique_ptr<ZSTD_CCtx_s, Free> level_;
};

class ZstdDecoder {
 public:
  // Decodes `frame`, which must be exactly one frame that says it holds exactly content.size()
  // bytes, and does. Hostile frames are refused; nothing is allocated on their word.
  Result<void> decode(std::span<const std::byte> frame, std::span<std::byte> content);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
};

}  // namespace milepost
