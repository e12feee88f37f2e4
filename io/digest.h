// The digest of everything that milepost writes: xxh3-128 (https://xxhash.com). It detects damage;
// it does not authenticate.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace milepost {

struct Digest {
  // Canonical (big-endian) form, as `xxh128sum` prints it.
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Digest&) const = default;

  static Digest of(std::span<const std::byte> data);
  static Digest of(std::string_view text);
  // 32 lower-case hexadecimal digits.
  std::string hex() const;
  static std::optional<Digest> from_hex(std::string_view text);
};

// The same digest over data that comes in parts. Not thread-safe.
class DigestStream {
 public:
  DigestStream();
  void update(std::span<const std::byte> data);
  Digest finish() const;

 private:
  // Holds an XXH3_state_t, which wants 64-byte alignment, without showing xxhash.h to users.
  alignas(64) std::array<std::byte, 576> state_;
};

}  // namespace milepost
