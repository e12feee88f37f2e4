// JSON: refused, or written compact, which reads as the same again.
#include "milepost/engine/format/json_reader.h"

#include "tests/fuzz/target.h"

namespace milepost::fuzz {
namespace {

const Target json_target("json", [](std::span<const std::byte> input) {
  const auto document = JsonDocument::parse(as_text(input));
  if (document.has_error()) return;
  std::string text;
  document->root().append_to(text);
  const auto again = JsonDocument::parse(text);
  expect(again.has_value(), "JSON that was written is refused");
  std::string twice;
  again->root().append_to(twice);
  expect(twice == text, "JSON changes when it is written and read");
  document->root().describe();
});

}  // namespace
}  // namespace milepost::fuzz
