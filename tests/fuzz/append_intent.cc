// The record of an append, and what is told from it. The first byte says whether its digest is put right.
#include "milepost/engine/federated/append_intent.h"

#include "tests/fuzz/target.h"

#include <algorithm>
#include <cstring>

namespace milepost::fuzz {
namespace {

// Gives the record the digest that it should have, if it is long enough.
void seal(std::vector<std::byte>& record) {
  AppendIntent intent;
  std::uint64_t bytes = 0;
  if (record.size() < encode_append_intent(intent).size()) return;
  std::memcpy(&intent.size, record.data() + 8, sizeof(intent.size));
  std::memcpy(&bytes, record.data() + 16, sizeof(bytes));
  std::memcpy(intent.context.bytes.data(), record.data() + 24, intent.context.bytes.size());
  bytes = std::min<std::uint64_t>(bytes, record.size() - encode_append_intent(intent).size());
  intent.appended = as_text(std::span(record).last(bytes));
  record = encode_append_intent(intent);
}

const Target append_intent_target("append_intent", [](std::span<const std::byte> input) {
  const bool right = take<std::uint8_t>(input) % 2 == 0;
  const std::size_t found_bytes_max = take<std::uint8_t>(input);
  const std::size_t found_bytes = std::min(found_bytes_max, input.size());
  const std::string_view found = as_text(input.first(found_bytes));
  std::vector<std::byte> record(input.begin() + found_bytes, input.end());
  if (right) seal(record);
  const auto intent = decode_append_intent(record);
  if (!intent) return;
  const auto written = encode_append_intent(*intent);
  expect(written.size() <= record.size() && std::equal(written.begin(), written.end(), record.begin()),
         "a record changes when it is read and written");
  expect(append_outcome(*intent, intent->appended) == AppendOutcome::whole, "what is whole is not seen to be");
  const bool whole = append_outcome(*intent, found) == AppendOutcome::whole;
  expect(whole == (found == intent->appended), "what is not whole is taken for it");
});

}  // namespace
}  // namespace milepost::fuzz
