#include "milepost/io/digest.h"

#include <gtest/gtest.h>

#include <string>

namespace milepost {
namespace {

// From the xxHash project's own sanity tests and `printf '' | xxh128sum`.
TEST(Digest, IsXxh3Of128Bits) { EXPECT_EQ(Digest::of("").hex(), "99aa06d3014798d86001c324468d497f"); }

TEST(Digest, HexRoundTripsAndRefusesAnythingElse) {
  const Digest digest = Digest::of("milepost");
  EXPECT_EQ(Digest::from_hex(digest.hex()), digest);
  EXPECT_FALSE(Digest::from_hex(digest.hex() + "0"));
  EXPECT_FALSE(Digest::from_hex(std::string(32, 'G')));
  EXPECT_FALSE(Digest::from_hex(std::string(32, 'A')));
}

TEST(DigestStream, EqualsTheDigestOfTheWhole) {
  std::string text(100'000, 'a');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 % 251);
  DigestStream stream;
  const auto bytes = std::as_bytes(std::span(text));
  stream.update(bytes.first(1));
  stream.update(bytes.subspan(1, 70'000));
  stream.update(bytes.subspan(70'001));
  EXPECT_EQ(stream.finish(), Digest::of(text));
}

}  // namespace
}  // namespace milepost
