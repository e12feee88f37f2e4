// Hands the inputs of libFuzzer to the only target of the program.
#include "tests/fuzz/target.h"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const milepost::fuzz::Run run = milepost::fuzz::targets().begin()->second;
  run(std::as_bytes(std::span(data, size)));
  return 0;
}
