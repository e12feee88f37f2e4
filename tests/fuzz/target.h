// What a fuzzer calls: each parser of hostile bytes has a target, in a file of its name. libFuzzer drives one of them
// (tools/fuzz); replay_test.cc runs the corpus and what is near it through all, built by any compiler.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace milepost::fuzz {

// Throws if one of the target's expectations is not met; must not fail otherwise, whatever the input.
using Run = void (*)(std::span<const std::byte> input);

// Registers a target before main().
struct Target {
  Target(std::string name, Run run);
};
const std::map<std::string, Run>& targets();

// Throws std::logic_error.
void expect(bool holds, std::string_view what);

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Takes what a target wants to know beside the bytes to parse from the beginning of the input; zeros, if it is too
// short.
template <class Number> Number take(std::span<const std::byte>& input) {
  static_assert(std::is_integral_v<Number>);
  Number number = 0;
  const std::size_t bytes = std::min(sizeof(number), input.size());
  if (bytes > 0) std::memcpy(&number, input.data(), bytes);
  input = input.subspan(bytes);
  return number;
}

}  // namespace milepost::fuzz
