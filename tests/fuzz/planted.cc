// A parser with a hole, which tools/fuzz must find before it searches the others: it believes a length.
#include "tests/fuzz/target.h"

#include <memory>

namespace milepost::fuzz {
namespace {

const Target planted_target("planted", [](std::span<const std::byte> input) {
  const std::size_t length = take<std::uint8_t>(input);
  if (input.empty() || static_cast<char>(input[0]) != 'M') return;
  const std::unique_ptr<std::byte[]> exact(new std::byte[input.size()]);
  std::memcpy(exact.get(), input.data(), input.size());
  std::byte sum{0};
  for (std::size_t i = 0; i < length; ++i) sum ^= exact[i];
  expect(sum != std::byte{0x5A} || length != 200, "the parser with a hole");
});

}  // namespace
}  // namespace milepost::fuzz
