// A manifest is refused, or it is one that is written again to the byte.
#include "milepost/engine/format/manifest.h"

#include "tests/fuzz/target.h"

namespace milepost::fuzz {
namespace {

const Target manifest_target("manifest", [](std::span<const std::byte> input) {
  const auto manifest = decode_manifest(as_text(input));
  if (manifest.has_error()) return;
  const std::string text = encode_manifest(*manifest);
  const auto again = decode_manifest(text);
  expect(again.has_value(), "a manifest that was written is refused");
  expect(encode_manifest(*again) == text, "a manifest changes when it is written and read");
});

}  // namespace
}  // namespace milepost::fuzz
