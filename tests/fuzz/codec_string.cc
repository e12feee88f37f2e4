// The name of a codec.
#include "milepost/io/codec/codec.h"

#include "tests/fuzz/target.h"

namespace milepost::fuzz {
namespace {

const Target codec_string_target("codec_string", [](std::span<const std::byte> input) {
  const auto codec = Codec::parse(as_text(input));
  if (codec.has_error()) return;
  const auto again = Codec::parse(codec->to_string());
  expect(again.has_value() && again->kind == codec->kind && again->level == codec->level,
         "a codec changes when it is named and read");
});

}  // namespace
}  // namespace milepost::fuzz
