#include "examples/gpt/text.h"

#include <array>
#include <cassert>
#include <cerrno>
#include <fstream>
#include <iterator>

namespace gpt {

std::uint64_t CounterRandom::next() {
  // The seed is mixed before the counter is added: neighbouring seeds share no draws.
  auto mix = [](std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  };
  return mix(mix(seed + 0x9E3779B97F4A7C15u) + 0x9E3779B97F4A7C15u * ++counter);
}

double CounterRandom::next_uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

milepost::Result<Text> Text::read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return milepost::Error::from_errno(errno, "open " + path);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) return milepost::Error::from_errno(errno, "read " + path);
  return Text(bytes);
}

Text::Text(std::string_view bytes) : digest_(milepost::Digest::of(bytes)) {
  std::array<bool, 256> seen{};
  for (const char c : bytes) seen[static_cast<std::uint8_t>(c)] = true;
  std::array<std::uint8_t, 256> token_of{};
  for (std::size_t byte = 0; byte < seen.size(); ++byte) {
    if (!seen[byte]) continue;
    token_of[byte] = static_cast<std::uint8_t>(alphabet_.size());
    alphabet_.push_back(static_cast<char>(byte));
  }
  tokens_.reserve(bytes.size());
  for (const char c : bytes) tokens_.push_back(token_of[static_cast<std::uint8_t>(c)]);
}

Batch Text::draw(std::int64_t begin, std::int64_t end, CounterRandom& random, std::int64_t batch,
                 std::int64_t context) const {
  assert(end - begin > context);
  Batch result;
  result.inputs.reserve(static_cast<std::size_t>(batch * context));
  result.targets.reserve(static_cast<std::size_t>(batch * context));
  for (std::int64_t row = 0; row < batch; ++row) {
    const std::uint64_t places = static_cast<std::uint64_t>(end - begin - context);
    const auto start = tokens_.begin() + begin + static_cast<std::int64_t>(random.next() % places);
    result.inputs.insert(result.inputs.end(), start, start + context);
    result.targets.insert(result.targets.end(), start + 1, start + context + 1);
  }
  return result;
}

}  // namespace gpt
