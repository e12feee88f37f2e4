#include "milepost/io/digest.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#if defined(__x86_64__)
// Chooses AVX2 or AVX-512 at run time, four times as fast as the SSE2 that a library is built with.
#include <xxh_x86dispatch.h>
#endif

#include <new>

namespace milepost {
namespace {

Digest canonical(XXH128_hash_t hash) {
  Digest digest;
  static_assert(sizeof(XXH128_canonical_t) == sizeof(digest.bytes));
  XXH128_canonicalFromHash(reinterpret_cast<XXH128_canonical_t*>(digest.bytes.data()), hash);
  return digest;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

Digest Digest::of(std::span<const std::byte> data) { return canonical(XXH3_128bits(data.data(), data.size())); }

Digest Digest::of(std::string_view text) { return of(std::as_bytes(std::span(text))); }

std::string Digest::hex() const {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::optional<Digest> Digest::from_hex(std::string_view text) {
  Digest digest;
  if (text.size() != 2 * digest.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return digest;
}

static_assert(sizeof(XXH3_state_t) <= 576 && alignof(XXH3_state_t) <= 64);

DigestStream::DigestStream() {
  auto* state = new (state_.data()) XXH3_state_t;
  XXH3_128bits_reset(state);
}

void DigestStream::update(std::span<const std::byte> data) {
  XXH3_128bits_update(reinterpret_cast<XXH3_state_t*>(state_.data()), data.data(), data.size());
}

Digest DigestStream::finish() const {
  return canonical(XXH3_128bits_digest(reinterpret_cast<const XXH3_state_t*>(state_.data())));
}

}  // namespace milepost
