// How far a search goes: a short form whenever the tests run, the whole when tools/prove asks for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>

namespace milepost::testing {

// Whether MILEPOST_PROVE is set.
inline bool in_full() { return std::getenv("MILEPOST_PROVE") != nullptr; }

template <class Count> Count trials(Count in_short, Count whole) { return in_full() ? whole : in_short; }

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool under_sanitizer = true;
#else
inline constexpr bool under_sanitizer = false;
#endif

// In how long steps what can be enumerated is: all of it, but for the short form under a sanitizer, which is slow.
inline std::size_t stride_under_sanitizer(std::size_t in_short) {
  return under_sanitizer ? trials<std::size_t>(in_short, 1) : 1;
}

// Where a random search begins: MILEPOST_SEED, so that a failure can be had again.
inline std::uint64_t seed() {
  const char* text = std::getenv("MILEPOST_SEED");
  return text ? std::strtoull(text, nullptr, 10) : 1;
}

// A line for the table of tools/prove.
inline void report_trials(std::string_view what, std::size_t count) {
  std::cout << "trials: " << what << ": " << count << '\n';
}

}  // namespace milepost::testing
