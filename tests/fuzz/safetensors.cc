// The header of a safetensors file of any size.
#include "milepost/engine/format/safetensors.h"

#include "tests/fuzz/target.h"

namespace milepost::fuzz {
namespace {

const Target safetensors_target("safetensors", [](std::span<const std::byte> input) {
  const auto file_bytes = take<std::uint64_t>(input);
  // As a file that ends where the input does; and as the beginning of one that goes on.
  for (const std::uint64_t bytes : {std::uint64_t{input.size()}, file_bytes}) {
    const auto header = decode_safetensors_header(input, bytes);
    if (header.has_error()) continue;
    const auto written = encode_safetensors_header(*header, 1);
    expect(written.has_value(), "a header cannot be written");
    const std::uint64_t data_bytes = header->entries.empty() ? 0 : header->entries.back().end;
    const auto again = decode_safetensors_header(std::as_bytes(std::span(*written)), written->size() + data_bytes);
    expect(again.has_value() && *again == *header, "a header changes when it is written and read");
  }
});

}  // namespace
}  // namespace milepost::fuzz
