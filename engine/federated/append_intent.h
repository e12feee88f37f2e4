// What is written down before bytes are appended to a file, so that it can be told afterwards what became of them.
// Pure functions.
//
// All integers are little-endian:
//   byte  size
//   0     8     "MPAPPEND"; zeros: void
//   8     8     size of the file before
//   16    8     bytes that are appended
//   24    16    digest of the last 4096 bytes before (or of all, if there are fewer)
//   40    16    digest of bytes 0 to 40 and of what is appended
//   56          what is appended; bytes behind it mean nothing
#pragma once

#include "milepost/io/digest.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace milepost {

// How many bytes before the end are digested, at most.
inline constexpr std::uint64_t append_context_bytes = 4096;
// What the beginning of a record is overwritten with when it is over.
inline constexpr std::array<std::byte, 8> void_append_intent{};

struct AppendIntent {
  std::uint64_t size = 0;
  Digest context;
  std::string appended;
};

std::vector<std::byte> encode_append_intent(const AppendIntent& intent);
// None if the record is void, or was not written whole: then nothing was appended.
std::optional<AppendIntent> decode_append_intent(std::span<const std::byte> record);

enum class AppendOutcome : std::uint8_t {
  whole,    // all of it is there
  torn,     // a part is: some of the bytes, zeros for others, perhaps fewer
  foreign,  // nothing is, or what somebody else has written
};
// By what is in the file behind `size` now. What is appended has no zero bytes of its own.
AppendOutcome append_outcome(const AppendIntent& intent, std::string_view found);

}  // namespace milepost
