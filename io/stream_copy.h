// A memory copy for staging: stores bypass the cache (the copy is not read again soon). Where it
// helps, four pages are interleaved, which keeps more of the memory's channels busy.
#pragma once

#include <cstddef>

namespace milepost {

// Copies `bytes` from `from` to `to`, which do not overlap. Any alignment; fastest when `to` is
// 64-byte aligned and bytes is large (16 KiB and more). The stores are visible to other threads
// when it returns.
void stream_copy(std::byte* to, const std::byte* from, std::size_t bytes);

}  // namespace milepost
