#include "milepost/io/codec/codec.h"

#include "bench/sample_data.h"
#include "tests/io/random_bytes.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace milepost {
namespace {

using ByteVector = std::vector<std::byte>;
using testing::random_bytes;

struct Stored {
  EncodedChunk chunk;
  ByteVector bytes;
};

// Codes, and checks everything that encode() promises besides the way back.
Stored encode(const Codec& codec, ElementKind kind, const ByteVector& raw) {
  static ChunkEncoder encoder;
  Stored stored;
  stored.bytes.resize(encoded_bytes_max(raw.size()));
  stored.chunk = encoder.encode(codec, kind, raw, stored.bytes).value();
  if (stored.chunk.encoding == ChunkEncoding::raw) {
    EXPECT_EQ(stored.chunk.stored_bytes, raw.size());
    stored.bytes = raw;
  } else {
    EXPECT_LT(stored.chunk.stored_bytes, raw.size());
    stored.bytes.resize(stored.chunk.stored_bytes);
  }
  stored.bytes.shrink_to_fit();  // so that a sanitizer sees a read past the end
  EXPECT_EQ(stored.chunk.raw_digest, Digest::of(raw));
  EXPECT_EQ(stored.chunk.stored_digest, Digest::of(stored.bytes));
  return stored;
}

Result<void> decode(const Stored& stored, ElementKind kind, ByteVector& raw) {
  static ChunkDecoder decoder;
  return decoder.decode(stored.chunk.encoding, kind, stored.bytes, stored.chunk.stored_digest, raw,
                        stored.chunk.raw_digest);
}

Stored expect_round_trip(const Codec& codec, ElementKind kind, const ByteVector& raw) {
  const Stored stored = encode(codec, kind, raw);
  ByteVector decoded(raw.size(), std::byte{0xA5});
  const auto result = decode(stored, kind, decoded);
  EXPECT_TRUE(result.has_value()) << result.error().to_string();
  EXPECT_TRUE(decoded == raw);
  return stored;
}

constexpr ElementKind kinds[] = {ElementKind::other, ElementKind::f16, ElementKind::bf16, ElementKind::f32,
                                 ElementKind::f64};

template <class T> ByteVector repeated(std::initializer_list<T> values, std::size_t count) {
  std::vector<T> all;
  while (all.size() < count) all.insert(all.end(), values.begin(), values.end());
  return sample::bytes_of(all);
}

TEST(Codec, NamesRoundTripAndOthersAreRefused) {
  for (const char* text : {"none", "fast", "zstd:1", "zstd:7", "zstd:19"}) {
    EXPECT_EQ(Codec::parse(text).value().to_string(), text);
  }
  EXPECT_EQ(Codec::parse("zstd").value().to_string(), "zstd:1");
  for (const char* text : {"", "Fast", "zstd:", "zstd:0", "zstd:20", "zstd:-1", "zstd:3x", "zstd: 3", "lz4"}) {
    const auto parsed = Codec::parse(text);
    ASSERT_TRUE(parsed.has_error()) << text;
    EXPECT_EQ(parsed.error().code(), ErrorCode::invalid_argument);
  }
}

RC_GTEST_PROP(ChunkCodec, RoundTripsAnyBytes, ()) {
  // Runs of random bytes, of one value, and of words that look like weights, in any order and cut anywhere.
  const auto kind = *rc::gen::elementOf(std::vector<ElementKind>(std::begin(kinds), std::end(kinds)));
  const auto codec =
      *rc::gen::elementOf(std::vector<Codec>{Codec::none(), Codec::fast(), Codec::fast(), Codec::zstd(1)});
  const auto runs = *rc::gen::inRange(0, 4);
  ByteVector raw;
  for (int i = 0; i < runs; ++i) {
    const auto count = static_cast<std::size_t>(*rc::gen::inRange(0, 20'000));
    const auto seed = *rc::gen::inRange(0u, 1000u);
    ByteVector run;
    switch (*rc::gen::inRange(0, 4)) {
      case 0: run = random_bytes(count, seed); break;
      case 1: run.assign(count, static_cast<std::byte>(seed)); break;
      case 2: run = sample::bytes_of(sample::weights(count / 4, seed)); break;
      default: run = sample::bytes_of(sample::map(sample::weights(count / 2, seed), sample::to_bf16)); break;
    }
    raw.insert(raw.end(), run.begin(), run.end());
  }
  raw.resize(raw.size() - std::min<std::size_t>(raw.size(), *rc::gen::inRange(0u, 9u)));
  const Stored stored = encode(codec, kind, raw);
  ByteVector decoded(raw.size());
  RC_ASSERT(decode(stored, kind, decoded).has_value());
  RC_ASSERT(decoded == raw);
}

TEST(ChunkCodec, RoundTripsEverySmallSize) {
  for (const ElementKind kind : kinds) {
    for (std::size_t bytes = 0; bytes < 600; bytes += bytes < 20 ? 1 : 7) {
      const ByteVector weights = sample::bytes_of(sample::weights(200));
      expect_round_trip(Codec::fast(), kind, ByteVector(weights.begin(), weights.begin() + static_cast<int>(bytes)));
      expect_round_trip(Codec::fast(), kind, ByteVector(bytes));
      expect_round_trip(Codec::zstd(1), kind, ByteVector(bytes));
    }
  }
}

TEST(ChunkCodec, RoundTripsSpecialValues) {
  using Limits = std::numeric_limits<float>;
  const auto specials = repeated<float>(
      {0.0f, -0.0f, Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(), Limits::signaling_NaN(),
       Limits::denorm_min(), -Limits::denorm_min(), Limits::max(), Limits::lowest(), Limits::min(), 1.0f},
      5000);
  for (const ElementKind kind : kinds) expect_round_trip(Codec::fast(), kind, specials);
  // Weights with a special value now and then: escapes.
  auto values = sample::weights(300'001);
  for (std::size_t i = 0; i < values.size(); i += 97) values[i] = i % 2 ? Limits::quiet_NaN() : -0.0f;
  const auto stored = expect_round_trip(Codec::fast(), ElementKind::f32, sample::bytes_of(values));
  EXPECT_EQ(stored.chunk.encoding, ChunkEncoding::float_planes);
}

TEST(ChunkCodec, RoundTripsWhatTheSampleMisses) {
  // Whole regions differ from the rest.
  auto values = sample::weights(600'000);
  std::mt19937 random(1);
  for (std::size_t i = 200'000; i < 206'000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    std::memcpy(&values[i], &bits, sizeof(bits));
  }
  for (std::size_t i = 300'000; i < 500'000; ++i) values[i] = 0;
  expect_round_trip(Codec::fast(), ElementKind::f32, sample::bytes_of(values));
  // Constant as far as the sample goes.
  ByteVector almost_zeros(std::size_t{2} << 20);
  almost_zeros[777'777] = std::byte{1};
  for (const ElementKind kind : kinds) {
    EXPECT_LT(expect_round_trip(Codec::fast(), kind, almost_zeros).bytes.size(), 4096u);
  }
  // More escapes, outside of the sample, than are allowed: the window is given up.
  auto clustered = sample::weights(262'144);
  for (auto& value : clustered) value = std::copysign(1 + std::fabs(value), value);
  for (std::size_t i = 0; i < clustered.size(); i += 3) clustered[i] *= 2;
  for (std::size_t i = 1'000; i < 16'000; ++i) clustered[i] = std::ldexp(1.0f, static_cast<int>(i % 200) - 100);
  expect_round_trip(Codec::fast(), ElementKind::f32, sample::bytes_of(clustered));
}

TEST(ChunkCodec, RandomBytesAreStoredRaw) {
  const auto raw = random_bytes(300'000, 1);
  for (const ElementKind kind : kinds) {
    EXPECT_EQ(expect_round_trip(Codec::fast(), kind, raw).chunk.encoding, ChunkEncoding::raw);
  }
  EXPECT_EQ(expect_round_trip(Codec::zstd(3), ElementKind::f32, raw).chunk.encoding, ChunkEncoding::raw);
  EXPECT_EQ(expect_round_trip(Codec::none(), ElementKind::f32, ByteVector(5000)).chunk.encoding, ChunkEncoding::raw);
}

// Floors of the ratio; the made-up state is somewhat less compressible than trained state is.
TEST(ChunkCodec, TrainingStateShrinks) {
  const auto ratio = [](const char* data, ElementKind kind) {
    const auto raw = sample::make(data, std::size_t{2} << 20);
    return static_cast<double>(raw.size()) /
           static_cast<double>(expect_round_trip(Codec::fast(), kind, raw).bytes.size());
  };
  EXPECT_GT(ratio("p", ElementKind::f32), 1.195);
  EXPECT_GT(ratio("m", ElementKind::f32), 1.185);
  EXPECT_GT(ratio("v", ElementKind::f32), 1.245);
  EXPECT_GT(ratio("bf16", ElementKind::bf16), 1.49);
  EXPECT_GT(ratio("fp16", ElementKind::f16), 1.15);
  EXPECT_GT(ratio("bf16_in_f32", ElementKind::f32), 2.9);
  EXPECT_GT(ratio("sparse", ElementKind::f32), 7.0);
  EXPECT_GT(ratio("zero_rows", ElementKind::f32), 3.3);
  EXPECT_GT(ratio("zeros", ElementKind::f32), 10'000);
  EXPECT_GT(ratio("text", ElementKind::other), 2.0);
}

// The example at the end of docs/format-float-planes.md: chunks that were written stay readable.
TEST(ChunkCodec, ReadsTheExampleOfTheFormat) {
  const unsigned char header[] = {0x80, 0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x24};
  const unsigned char frame[] = {0x28, 0xB5, 0x2F, 0xFD, 0x20, 0x80, 0xDD, 0x00, 0x00, 0x02, 0xC8, 0x05,
                                 0x05, 0xE0, 0x0F, 0x80, 0xC8, 0xDB, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55,
                                 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x01, 0x00};
  Stored example;
  example.bytes.resize(128);
  std::memcpy(example.bytes.data(), header, sizeof(header));
  std::memcpy(example.bytes.data() + 64, frame, sizeof(frame));
  const ByteVector expected = repeated<std::uint16_t>({0x3F80, 0xBF80}, 128);
  example.chunk = {ChunkEncoding::float_planes, 128, Digest::of(expected), Digest::of(example.bytes)};
  ByteVector decoded(expected.size());
  const auto result = decode(example, ElementKind::bf16, decoded);
  ASSERT_TRUE(result.has_value()) << result.error().to_string();
  EXPECT_TRUE(decoded == expected);
}

TEST(ChunkCodec, RawMayBeCheckedInPlace) {
  ByteVector raw = random_bytes(1000, 2);
  const Digest digest = Digest::of(raw);
  ChunkDecoder decoder;
  EXPECT_TRUE(decoder.decode(ChunkEncoding::raw, ElementKind::f32, raw, digest, raw, digest).has_value());
  raw[500] ^= std::byte{1};
  EXPECT_TRUE(decoder.decode(ChunkEncoding::raw, ElementKind::f32, raw, digest, raw, digest).has_error());
}

TEST(ChunkCodec, SaysWhichDigestFailed) {
  const auto raw = sample::make("p", 40'000);
  for (const Codec& codec : {Codec::none(), Codec::fast(), Codec::zstd(1)}) {
    const Stored good = encode(codec, ElementKind::f32, raw);
    ByteVector decoded(raw.size());
    Stored damaged = good;
    damaged.bytes[damaged.bytes.size() / 2] ^= std::byte{4};
    auto result = decode(damaged, ElementKind::f32, decoded);
    ASSERT_TRUE(result.has_error());
    EXPECT_EQ(result.error().code(), ErrorCode::corruption);
    EXPECT_NE(result.error().to_string().find("digest of the stored bytes"), std::string::npos);
    Stored promised_other = good;
    promised_other.chunk.raw_digest = Digest::of("other");
    result = decode(promised_other, ElementKind::f32, decoded);
    ASSERT_TRUE(result.has_error());
    EXPECT_NE(result.error().to_string().find("digest of the raw bytes"), std::string::npos);
  }
}

TEST(ChunkEncoder, RefusesATooSmallOutputAndAWrongLevel) {
  ChunkEncoder encoder;
  ByteVector raw(1000), out(999);
  auto result = encoder.encode(Codec::fast(), ElementKind::f32, raw, out);
  ASSERT_TRUE(result.has_error());
  EXPECT_EQ(result.error().code(), ErrorCode::invalid_argument);
  out.resize(1000);
  result = encoder.encode(Codec::zstd(20), ElementKind::f32, raw, out);
  ASSERT_TRUE(result.has_error());
  EXPECT_EQ(result.error().code(), ErrorCode::invalid_argument);
}

// From here on the stored bytes are hostile: their digests are right, what they say is not.
class HostileChunk : public ::testing::TestWithParam<const char*> {
 protected:
  // Decodes `bytes` as if they were what had been written. Whatever they say, decoding must end in
  // an error, or in exactly the raw bytes; a sanitizer watches over the memory.
  void expect_refused_or_exact(ByteVector bytes, bool must_be_refused = false) {
    bytes.shrink_to_fit();
    Stored stored{good_.chunk, std::move(bytes)};
    stored.chunk.stored_digest = Digest::of(stored.bytes);
    ByteVector decoded(raw_.size());
    const auto result = decode(stored, kind_, decoded);
    if (result.has_error()) {
      EXPECT_EQ(result.error().code(), ErrorCode::corruption) << result.error().to_string();
      EXPECT_FALSE(result.error().message().empty());
    } else {
      EXPECT_FALSE(must_be_refused);
      EXPECT_TRUE(decoded == raw_);
    }
  }

  void SetUp() override {
    const std::string what = GetParam();
    std::vector<float> values = sample::weights(333);
    values[10] = std::numeric_limits<float>::infinity();
    values[20] = 0;
    raw_ = sample::bytes_of(values);
    if (what == "f32_constant_planes") {
      raw_ = sample::bytes_of(sample::map(values, [](float x) { return std::uint32_t{sample::to_bf16(x)} << 16; }));
    } else if (what == "f16") {
      kind_ = ElementKind::f16;
      raw_ = sample::bytes_of(sample::map(sample::weights(999), sample::to_f16));
    } else if (what == "f64") {
      kind_ = ElementKind::f64;
      raw_ = sample::bytes_of(sample::map(values, [](float x) { return static_cast<double>(x); }));
    } else if (what == "zstd") {
      codec_ = Codec::zstd(1);
      raw_ = sample::make("text", 1000);
    }
    raw_.resize(raw_.size() - 1);  // a tail that is no whole element
    good_ = encode(codec_, kind_, raw_);
    ASSERT_NE(good_.chunk.encoding, ChunkEncoding::raw);
  }

  Codec codec_ = Codec::fast();
  ElementKind kind_ = ElementKind::f32;
  ByteVector raw_;
  Stored good_;
};

TEST_P(HostileChunk, EveryBitFlipIsRefusedOrHarmless) {
  for (std::size_t bit = 0; bit < 8 * good_.bytes.size(); ++bit) {
    ByteVector bytes = good_.bytes;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    expect_refused_or_exact(std::move(bytes));
  }
}

TEST_P(HostileChunk, EveryTruncationIsRefused) {
  for (std::size_t size = 0; size < good_.bytes.size(); ++size) {
    expect_refused_or_exact(ByteVector(good_.bytes.begin(), good_.bytes.begin() + static_cast<int>(size)), true);
  }
}

TEST_P(HostileChunk, TrailingBytesAreRefused) {
  for (const std::size_t extra : {1, 4, 64, 1000}) {
    ByteVector bytes = good_.bytes;
    bytes.resize(bytes.size() + extra);
    expect_refused_or_exact(std::move(bytes), true);
  }
}

TEST_P(HostileChunk, ExtremeBytesInTheHeadersAreRefusedOrHarmless) {
  const std::size_t headers = std::min<std::size_t>(good_.bytes.size(), 200);
  for (std::size_t i = 0; i < headers; ++i) {
    for (const std::size_t width : {1, 2, 4, 8}) {
      for (const std::byte value : {std::byte{0}, std::byte{0x7F}, std::byte{0xFF}}) {
        ByteVector bytes = good_.bytes;
        for (std::size_t k = i; k < std::min(i + width, bytes.size()); ++k) bytes[k] = value;
        expect_refused_or_exact(std::move(bytes));
      }
    }
  }
}

TEST_P(HostileChunk, AnotherRawSizeIsRefused) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, raw_.size() - 9, raw_.size() + 1, std::size_t{1} << 20}) {
    ByteVector decoded(size);
    EXPECT_TRUE(decode(good_, kind_, decoded).has_error()) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, HostileChunk, ::testing::Values("f32", "f32_constant_planes", "f16", "f64", "zstd"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST(HostileFrame, ABombIsRefused) {
  // A frame that says, and holds, far more than the chunk: 64 MiB of zeros in a few KiB.
  const ByteVector zeros(std::size_t{64} << 20);
  Stored bomb = encode(Codec::zstd(1), ElementKind::other, zeros);
  ASSERT_LT(bomb.bytes.size(), 10'000u);
  ByteVector decoded(4096);
  const auto result = decode(bomb, ElementKind::other, decoded);
  ASSERT_TRUE(result.has_error());
  EXPECT_EQ(result.error().code(), ErrorCode::corruption);
}

TEST(HostileFrame, TwoFramesAreRefused) {
  const auto raw = sample::make("text", 2000);
  const ByteVector half(raw.begin(), raw.begin() + 1000);
  Stored stored = encode(Codec::zstd(1), ElementKind::other, half);
  ByteVector twice = stored.bytes;
  twice.insert(twice.end(), stored.bytes.begin(), stored.bytes.end());
  stored.bytes = twice;
  stored.chunk.stored_digest = Digest::of(twice);
  ByteVector both(2000), one(1000);
  EXPECT_TRUE(decode(stored, ElementKind::other, both).has_error());
  EXPECT_TRUE(decode(stored, ElementKind::other, one).has_error());
}

TEST(HostileEncoding, RawBytesOfAnotherSizeAreRefused) {
  const Stored stored = encode(Codec::none(), ElementKind::other, random_bytes(1000, 1));
  for (const std::size_t size : {0, 999, 1001}) {
    ByteVector decoded(size);
    EXPECT_TRUE(decode(stored, ElementKind::other, decoded).has_error()) << size;
  }
}

TEST(HostileEncoding, EncodingsAndKindsThatDoNotExistAreRefused) {
  Stored stored = encode(Codec::fast(), ElementKind::f32, sample::make("p", 4000));
  ByteVector decoded(4000);
  EXPECT_TRUE(decode(stored, ElementKind::other, decoded).has_error());
  EXPECT_TRUE(decode(stored, static_cast<ElementKind>(9), decoded).has_error());
  EXPECT_TRUE(decode(stored, ElementKind::bf16, decoded).has_error());
  stored.chunk.encoding = static_cast<ChunkEncoding>(3);
  EXPECT_TRUE(decode(stored, ElementKind::f32, decoded).has_error());
}

}  // namespace
}  // namespace milepost
