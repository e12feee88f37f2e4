// Step records and root records. The first byte says which; and whether the digest is put right, behind which no
// fuzzer would come otherwise.
#include "milepost/engine/format/step_record.h"

#include "tests/fuzz/target.h"

namespace milepost::fuzz {
namespace {

std::string sealed(std::string_view body) {
  return "{\"xxh3_128\":\"" + Digest::of(body).hex() + "\",\n" + std::string(body);
}

template <class Decode, class Encode>
void read_and_write(const std::string& text, const Decode& decode, const Encode& encode) {
  const auto record = decode(text);
  if (record.has_error()) return;
  const std::string written = encode(*record);
  const auto again = decode(written);
  expect(again.has_value(), "a record that was written is refused");
  expect(encode(*again) == written, "a record changes when it is written and read");
}

const Target step_record_target("step_record", [](std::span<const std::byte> input) {
  const auto how = take<std::uint8_t>(input);
  const std::string text = how & 1 ? sealed(as_text(input)) : std::string(as_text(input));
  if (how & 2) {
    read_and_write(text, decode_root_record, encode_root_record);
  } else {
    read_and_write(text, decode_step_record, encode_step_record);
  }
});

}  // namespace
}  // namespace milepost::fuzz
