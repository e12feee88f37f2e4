#include "milepost/engine/federated/append_intent.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace milepost {
namespace {

constexpr std::string_view intent_magic = "MPAPPEND";
constexpr std::size_t digest_at = 40;
constexpr std::size_t intent_header_bytes = 56;

static_assert(std::endian::native == std::endian::little);

Digest digest_of(std::span<const std::byte> begin, std::string_view appended) {
  DigestStream stream;
  stream.update(begin.first(digest_at));
  stream.update(std::as_bytes(std::span(appended)));
  return stream.finish();
}

}  // namespace

std::vector<std::byte> encode_append_intent(const AppendIntent& intent) {
  std::vector<std::byte> record(intent_header_bytes + intent.appended.size());
  const std::uint64_t bytes = intent.appended.size();
  std::memcpy(record.data(), intent_magic.data(), intent_magic.size());
  std::memcpy(record.data() + 8, &intent.size, sizeof(intent.size));
  std::memcpy(record.data() + 16, &bytes, sizeof(bytes));
  std::memcpy(record.data() + 24, intent.context.bytes.data(), intent.context.bytes.size());
  const Digest digest = digest_of(record, intent.appended);
  std::memcpy(record.data() + digest_at, digest.bytes.data(), digest.bytes.size());
  std::memcpy(record.data() + intent_header_bytes, intent.appended.data(), intent.appended.size());
  return record;
}

std::optional<AppendIntent> decode_append_intent(std::span<const std::byte> record) {
  if (record.size() < intent_header_bytes || std::memcmp(record.data(), intent_magic.data(), intent_magic.size()) != 0)
    return std::nullopt;
  AppendIntent intent;
  std::uint64_t bytes = 0;
  Digest digest;
  std::memcpy(&intent.size, record.data() + 8, sizeof(intent.size));
  std::memcpy(&bytes, record.data() + 16, sizeof(bytes));
  std::memcpy(intent.context.bytes.data(), record.data() + 24, intent.context.bytes.size());
  std::memcpy(digest.bytes.data(), record.data() + digest_at, digest.bytes.size());
  if (bytes > record.size() - intent_header_bytes) return std::nullopt;
  intent.appended.assign(reinterpret_cast<const char*>(record.data()) + intent_header_bytes, bytes);
  if (digest_of(record, intent.appended) != digest) return std::nullopt;
  return intent;
}

AppendOutcome append_outcome(const AppendIntent& intent, std::string_view found) {
  if (found == intent.appended) return AppendOutcome::whole;
  if (found.empty() || found.size() > intent.appended.size()) return AppendOutcome::foreign;
  const bool torn = std::equal(found.begin(), found.end(), intent.appended.begin(),
                               [](char is, char was) { return is == was || is == '\0'; });
  return torn ? AppendOutcome::torn : AppendOutcome::foreign;
}

}  // namespace milepost
