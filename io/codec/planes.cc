#include "milepost/io/codec/planes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "milepost/io/codec/planes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace milepost {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

std::uint8_t distance(std::byte value, std::uint8_t base) {
  return static_cast<std::uint8_t>(static_cast<std::uint8_t>(value) - base);
}

// Replaces the place holder of an escape; false if there is none left or it needed no escape.
bool patch(const std::byte* escapes, std::size_t escape_count, std::uint8_t base, std::size_t& used, std::byte& value) {
  if (used == escape_count) return false;
  value = escapes[used++];
  return distance(value, base) >= nibble_escape;
}

// How far a vector kernel has come; the scalar code that follows it does the rest.
struct Progress {
  std::size_t elements = 0;
  std::size_t escapes = 0;
  bool well_formed = true;
};

#if HWY_TARGET == HWY_SCALAR

template <bool> std::size_t split2(const std::byte*, std::size_t, const PlanePointers&) { return 0; }
template <bool> std::size_t split4(const std::byte*, std::size_t, const PlanePointers&) { return 0; }
template <bool> std::size_t split8(const std::byte*, std::size_t, const PlanePointers&) { return 0; }
template <bool> std::size_t merge2(const ConstPlanePointers&, std::size_t, std::byte*) { return 0; }
template <bool> std::size_t merge4(const ConstPlanePointers&, std::size_t, std::byte*) { return 0; }
template <bool> std::size_t merge8(const ConstPlanePointers&, std::size_t, std::byte*) { return 0; }
Progress pack_vectors(const std::byte*, std::size_t, std::uint8_t, std::byte*, std::byte*) { return {}; }
Progress unpack_vectors(const std::byte*, std::size_t, std::uint8_t, const std::byte*, std::size_t, std::byte*) {
  return {};
}

#else

using Bytes = hn::ScalableTag<std::uint8_t>;
using Halves = hn::Repartition<std::uint16_t, Bytes>;
using Words = hn::Repartition<std::uint32_t, Bytes>;

HWY_INLINE const std::uint8_t* in(const std::byte* p) { return reinterpret_cast<const std::uint8_t*>(p); }
HWY_INLINE std::uint8_t* out(std::byte* p) { return reinterpret_cast<std::uint8_t*>(p); }

template <class V> HWY_INLINE void split_four(V a, V b, V c, V d, std::byte* const* planes, std::size_t i) {
  const Bytes bytes;
  const Halves halves;
  const auto a2 = hn::BitCast(halves, a);
  const auto b2 = hn::BitCast(halves, b);
  const auto c2 = hn::BitCast(halves, c);
  const auto d2 = hn::BitCast(halves, d);
  const auto low_ab = hn::BitCast(bytes, hn::ConcatEven(halves, b2, a2));
  const auto low_cd = hn::BitCast(bytes, hn::ConcatEven(halves, d2, c2));
  const auto high_ab = hn::BitCast(bytes, hn::ConcatOdd(halves, b2, a2));
  const auto high_cd = hn::BitCast(bytes, hn::ConcatOdd(halves, d2, c2));
  hn::StoreU(hn::ConcatEven(bytes, low_cd, low_ab), bytes, out(planes[0] + i));
  hn::StoreU(hn::ConcatOdd(bytes, low_cd, low_ab), bytes, out(planes[1] + i));
  hn::StoreU(hn::ConcatEven(bytes, high_cd, high_ab), bytes, out(planes[2] + i));
  hn::StoreU(hn::ConcatOdd(bytes, high_cd, high_ab), bytes, out(planes[3] + i));
}

template <bool rotate> std::size_t split2(const std::byte* words, std::size_t count, const PlanePointers& planes) {
  const Bytes bytes;
  const Halves halves;
  const std::size_t lanes = hn::Lanes(bytes);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto a = hn::BitCast(halves, hn::LoadU(bytes, in(words + 2 * i)));
    auto b = hn::BitCast(halves, hn::LoadU(bytes, in(words + 2 * i + lanes)));
    if constexpr (rotate) {
      a = hn::Or(hn::Add(a, a), hn::ShiftRight<15>(a));
      b = hn::Or(hn::Add(b, b), hn::ShiftRight<15>(b));
    }
    const auto a1 = hn::BitCast(bytes, a);
    const auto b1 = hn::BitCast(bytes, b);
    hn::StoreU(hn::ConcatEven(bytes, b1, a1), bytes, out(planes[0] + i));
    hn::StoreU(hn::ConcatOdd(bytes, b1, a1), bytes, out(planes[1] + i));
  }
  return i;
}

template <bool rotate> std::size_t split4(const std::byte* words, std::size_t count, const PlanePointers& planes) {
  const Bytes bytes;
  const Words words4;
  const std::size_t lanes = hn::Lanes(bytes);
  const auto load = [&](std::size_t at) HWY_ATTR {
    const auto word = hn::BitCast(words4, hn::LoadU(bytes, in(words + at)));
    if constexpr (rotate) return hn::RotateRight<31>(word);
    return word;
  };
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    split_four(load(4 * i), load(4 * i + lanes), load(4 * i + 2 * lanes), load(4 * i + 3 * lanes), planes.data(), i);
  }
  return i;
}

// Words of 8 bytes are handled as their low and high words of 4.
template <bool rotate> std::size_t split8(const std::byte* words, std::size_t count, const PlanePointers& planes) {
  const Bytes bytes;
  const Words words4;
  const std::size_t lanes = hn::Lanes(bytes);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::Vec<Words> low[4], high[4];
    for (std::size_t k = 0; k < 4; ++k) {
      const std::byte* from = words + 8 * i + 2 * k * lanes;
      const auto a = hn::BitCast(words4, hn::LoadU(bytes, in(from)));
      const auto b = hn::BitCast(words4, hn::LoadU(bytes, in(from + lanes)));
      low[k] = hn::ConcatEven(words4, b, a);
      high[k] = hn::ConcatOdd(words4, b, a);
      if constexpr (rotate) {
        const auto carry = hn::ShiftRight<31>(low[k]);
        low[k] = hn::Or(hn::Add(low[k], low[k]), hn::ShiftRight<31>(high[k]));
        high[k] = hn::Or(hn::Add(high[k], high[k]), carry);
      }
    }
    split_four(low[0], low[1], low[2], low[3], planes.data(), i);
    split_four(high[0], high[1], high[2], high[3], planes.data() + 4, i);
  }
  return i;
}

template <bool rotated> std::size_t merge2(const ConstPlanePointers& planes, std::size_t count, std::byte* words) {
  const Bytes bytes;
  const Halves halves;
  const hn::Rebind<std::uint8_t, Halves> narrow;
  const std::size_t lanes = hn::Lanes(halves);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto low = hn::PromoteTo(halves, hn::LoadU(narrow, in(planes[0] + i)));
    const auto high = hn::PromoteTo(halves, hn::LoadU(narrow, in(planes[1] + i)));
    auto word = hn::Or(low, hn::ShiftLeft<8>(high));
    if constexpr (rotated) word = hn::Or(hn::ShiftRight<1>(word), hn::ShiftLeft<15>(word));
    hn::StoreU(hn::BitCast(bytes, word), bytes, out(words + 2 * i));
  }
  return i;
}

HWY_INLINE hn::Vec<Words> merge_four(const std::byte* const* planes, std::size_t i) {
  const Words words4;
  const hn::Rebind<std::uint8_t, Words> narrow;
  const auto b0 = hn::PromoteTo(words4, hn::LoadU(narrow, in(planes[0] + i)));
  const auto b1 = hn::PromoteTo(words4, hn::LoadU(narrow, in(planes[1] + i)));
  const auto b2 = hn::PromoteTo(words4, hn::LoadU(narrow, in(planes[2] + i)));
  const auto b3 = hn::PromoteTo(words4, hn::LoadU(narrow, in(planes[3] + i)));
  return hn::Or(hn::Or(b0, hn::ShiftLeft<8>(b1)), hn::Or(hn::ShiftLeft<16>(b2), hn::ShiftLeft<24>(b3)));
}

template <bool rotated> std::size_t merge4(const ConstPlanePointers& planes, std::size_t count, std::byte* words) {
  const Bytes bytes;
  const std::size_t lanes = hn::Lanes(Words());
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto word = merge_four(planes.data(), i);
    if constexpr (rotated) word = hn::RotateRight<1>(word);
    hn::StoreU(hn::BitCast(bytes, word), bytes, out(words + 4 * i));
  }
  return i;
}

template <bool rotated> std::size_t merge8(const ConstPlanePointers& planes, std::size_t count, std::byte* words) {
  const Words words4;
  const std::size_t lanes = hn::Lanes(words4);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto low = merge_four(planes.data(), i);
    auto high = merge_four(planes.data() + 4, i);
    if constexpr (rotated) {
      const auto carry = hn::ShiftLeft<31>(low);
      low = hn::Or(hn::ShiftRight<1>(low), hn::ShiftLeft<31>(high));
      high = hn::Or(hn::ShiftRight<1>(high), carry);
    }
    hn::StoreInterleaved2(low, high, words4, reinterpret_cast<std::uint32_t*>(words + 8 * i));
  }
  return i;
}

Progress pack_vectors(const std::byte* plane, std::size_t count, std::uint8_t base, std::byte* codes,
                      std::byte* escapes) {
  const Bytes bytes;
  const Halves halves;
  const std::size_t lanes = hn::Lanes(bytes);
  const auto first = hn::Set(bytes, base);
  const auto escape = hn::Set(bytes, nibble_escape);
  Progress done;
  // Two codes become a byte: the low byte of (odd << 8 | even) | (the same >> 4).
  const auto join = [&](auto code) HWY_ATTR {
    const auto pair = hn::BitCast(halves, code);
    return hn::BitCast(bytes, hn::Or(pair, hn::ShiftRight<4>(pair)));
  };
  const auto keep_escapes = [&](std::size_t at, auto code) HWY_ATTR {
    if (HWY_LIKELY(hn::AllFalse(bytes, hn::Eq(code, escape)))) return;
    for (std::size_t k = at; k < at + lanes; ++k) {
      if (distance(plane[k], base) >= nibble_escape) escapes[done.escapes++] = plane[k];
    }
  };
  for (; done.elements + 2 * lanes <= count; done.elements += 2 * lanes) {
    const std::size_t i = done.elements;
    const auto a = hn::Min(hn::Sub(hn::LoadU(bytes, in(plane + i)), first), escape);
    const auto b = hn::Min(hn::Sub(hn::LoadU(bytes, in(plane + i + lanes)), first), escape);
    hn::StoreU(hn::ConcatEven(bytes, join(b), join(a)), bytes, out(codes + i / 2));
    keep_escapes(i, a);
    keep_escapes(i + lanes, b);
  }
  return done;
}

Progress unpack_vectors(const std::byte* codes, std::size_t count, std::uint8_t base, const std::byte* escapes,
                        std::size_t escape_count, std::byte* plane) {
  const Bytes bytes;
  const Halves halves;
  const hn::Rebind<std::uint8_t, Halves> narrow;
  const std::size_t lanes = hn::Lanes(bytes);
  const auto first = hn::Set(bytes, base);
  const auto escape = hn::Set(bytes, nibble_escape);
  const auto low_bits = hn::Set(halves, std::uint16_t{0x0F0F});
  Progress done;
  for (; done.elements + lanes <= count; done.elements += lanes) {
    const std::size_t i = done.elements;
    const auto pair = hn::PromoteTo(halves, hn::LoadU(narrow, in(codes + i / 2)));
    const auto code = hn::BitCast(bytes, hn::And(hn::Or(pair, hn::ShiftLeft<4>(pair)), low_bits));
    hn::StoreU(hn::Add(code, first), bytes, out(plane + i));
    if (HWY_LIKELY(hn::AllFalse(bytes, hn::Eq(code, escape)))) continue;
    for (std::size_t k = i; k < i + lanes; ++k) {
      if (distance(plane[k], base) != nibble_escape) continue;
      if (!patch(escapes, escape_count, base, done.escapes, plane[k])) {
        done.well_formed = false;
        return done;
      }
    }
  }
  return done;
}

#endif

// The scalar code: what is left when no whole vector fits, or everything where there are no vectors.

template <class Word> Word rotate_left(Word word) {
  return static_cast<Word>(word << 1 | word >> (8 * sizeof(Word) - 1));
}

template <class Word> Word rotate_right(Word word) {
  return static_cast<Word>(word >> 1 | word << (8 * sizeof(Word) - 1));
}

template <class Word>
void split_tail(bool rotate, const std::byte* words, std::size_t begin, std::size_t end, const PlanePointers& planes) {
  for (std::size_t i = begin; i < end; ++i) {
    Word word;
    std::memcpy(&word, words + i * sizeof(Word), sizeof(Word));
    if (rotate) word = rotate_left(word);
    for (std::size_t k = 0; k < sizeof(Word); ++k) planes[k][i] = static_cast<std::byte>(word >> (8 * k) & 0xFF);
  }
}

template <class Word>
void merge_tail(bool rotated, const ConstPlanePointers& planes, std::size_t begin, std::size_t end, std::byte* words) {
  for (std::size_t i = begin; i < end; ++i) {
    Word word = 0;
    for (std::size_t k = 0; k < sizeof(Word); ++k) {
      word = static_cast<Word>(word | static_cast<Word>(planes[k][i]) << (8 * k));
    }
    if (rotated) word = rotate_right(word);
    std::memcpy(words + i * sizeof(Word), &word, sizeof(Word));
  }
}

void split(std::size_t element_bytes, bool rotate, const std::byte* words, std::size_t count,
           const PlanePointers& planes) {
  switch (element_bytes) {
    case 2: {
      const auto done = rotate ? split2<true>(words, count, planes) : split2<false>(words, count, planes);
      return split_tail<std::uint16_t>(rotate, words, done, count, planes);
    }
    case 4: {
      const auto done = rotate ? split4<true>(words, count, planes) : split4<false>(words, count, planes);
      return split_tail<std::uint32_t>(rotate, words, done, count, planes);
    }
    default: {
      const auto done = rotate ? split8<true>(words, count, planes) : split8<false>(words, count, planes);
      return split_tail<std::uint64_t>(rotate, words, done, count, planes);
    }
  }
}

void merge(std::size_t element_bytes, bool rotated, const ConstPlanePointers& planes, std::size_t count,
           std::byte* words) {
  switch (element_bytes) {
    case 2: {
      const auto done = rotated ? merge2<true>(planes, count, words) : merge2<false>(planes, count, words);
      return merge_tail<std::uint16_t>(rotated, planes, done, count, words);
    }
    case 4: {
      const auto done = rotated ? merge4<true>(planes, count, words) : merge4<false>(planes, count, words);
      return merge_tail<std::uint32_t>(rotated, planes, done, count, words);
    }
    default: {
      const auto done = rotated ? merge8<true>(planes, count, words) : merge8<false>(planes, count, words);
      return merge_tail<std::uint64_t>(rotated, planes, done, count, words);
    }
  }
}

std::size_t pack(const std::byte* plane, std::size_t count, std::uint8_t base, std::byte* codes, std::byte* escapes) {
  Progress done = pack_vectors(plane, count, base, codes, escapes);
  for (std::size_t i = done.elements; i < count; ++i) {
    const std::uint8_t code = std::min(distance(plane[i], base), nibble_escape);
    if (code == nibble_escape) escapes[done.escapes++] = plane[i];
    if (i % 2 == 0) {
      codes[i / 2] = std::byte{code};
    } else {
      codes[i / 2] |= static_cast<std::byte>(code << 4);
    }
  }
  return done.escapes;
}

std::optional<std::size_t> unpack(const std::byte* codes, std::size_t count, std::uint8_t base,
                                  const std::byte* escapes, std::size_t escape_count, std::byte* plane) {
  Progress done = unpack_vectors(codes, count, base, escapes, escape_count, plane);
  if (!done.well_formed) return std::nullopt;
  for (std::size_t i = done.elements; i < count; ++i) {
    const auto pair = static_cast<std::uint8_t>(codes[i / 2]);
    const auto code = static_cast<std::uint8_t>(i % 2 == 0 ? pair & 15 : pair >> 4);
    plane[i] = static_cast<std::byte>(base + code);
    if (code == nibble_escape && !patch(escapes, escape_count, base, done.escapes, plane[i])) return std::nullopt;
  }
  if (count % 2 != 0 && static_cast<std::uint8_t>(codes[count / 2]) >> 4 != 0) return std::nullopt;
  return done.escapes;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace milepost
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace milepost {

static_assert(std::endian::native == std::endian::little, "words are taken from memory as they are");

HWY_EXPORT(split);
HWY_EXPORT(merge);
HWY_EXPORT(pack);
HWY_EXPORT(unpack);

void split_planes(std::size_t element_bytes, bool rotate, const std::byte* words, std::size_t count,
                  const PlanePointers& planes) {
  HWY_DYNAMIC_DISPATCH(split)(element_bytes, rotate, words, count, planes);
}

void merge_planes(std::size_t element_bytes, bool rotated, const ConstPlanePointers& planes, std::size_t count,
                  std::byte* words) {
  HWY_DYNAMIC_DISPATCH(merge)(element_bytes, rotated, planes, count, words);
}

std::size_t pack_nibbles(const std::byte* plane, std::size_t count, std::uint8_t base, std::byte* codes,
                         std::byte* escapes) {
  return HWY_DYNAMIC_DISPATCH(pack)(plane, count, base, codes, escapes);
}

std::optional<std::size_t> unpack_nibbles(const std::byte* codes, std::size_t count, std::uint8_t base,
                                          const std::byte* escapes, std::size_t escape_count, std::byte* plane) {
  return HWY_DYNAMIC_DISPATCH(unpack)(codes, count, base, escapes, escape_count, plane);
}

}  // namespace milepost
#endif
