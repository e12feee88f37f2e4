#include "milepost/engine/format/leaf_text.h"

#include "milepost/engine/format/json_writer.h"
#include "milepost/engine/format/manifest.h"
#include "milepost/io/try.h"

#include <array>
#include <bit>
#include <cassert>

namespace milepost {
namespace {

constexpr char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// RFC 4648, padded.
void append_base64(std::string& out, const Tree::Bytes& bytes) {
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    unsigned group = std::to_integer<unsigned>(bytes[i]) << 16;
    if (left > 1) group |= std::to_integer<unsigned>(bytes[i + 1]) << 8;
    if (left > 2) group |= std::to_integer<unsigned>(bytes[i + 2]);
    out += base64_digits[group >> 18];
    out += base64_digits[group >> 12 & 63];
    out += left > 1 ? base64_digits[group >> 6 & 63] : '=';
    out += left > 2 ? base64_digits[group & 63] : '=';
  }
}

std::optional<Tree::Bytes> parse_base64(std::string_view text) {
  static constexpr auto values = [] {
    std::array<signed char, 256> table{};
    for (signed char& value : table) value = -1;
    for (int i = 0; i < 64; ++i) table[static_cast<unsigned char>(base64_digits[i])] = static_cast<signed char>(i);
    return table;
  }();
  Tree::Bytes bytes;
  bytes.reserve(text.size() / 4 * 3);
  if (text.size() % 4 != 0) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const int padding = !last || text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
    unsigned group = 0;
    for (int k = 0; k < 4 - padding; ++k) {
      const int value = values[static_cast<unsigned char>(text[i + static_cast<std::size_t>(k)])];
      if (value < 0) return std::nullopt;
      group |= static_cast<unsigned>(value) << (18 - 6 * k);
    }
    // What the padding leaves unused must be zero, so that bytes have one text only.
    if ((group & ((1U << (8 * padding)) - 1)) != 0) return std::nullopt;
    for (int k = 0; k < 3 - padding; ++k) bytes.push_back(static_cast<std::byte>(group >> (16 - 8 * k)));
  }
  return bytes;
}

// An integer as to_chars writes it: no plus, no leading zeros, no "-0".
template <class Integer> std::optional<Integer> parse_integer(std::string_view text) {
  Integer value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  std::string canonical;
  append_json_integer(canonical, value);
  if (canonical != text) return std::nullopt;
  return value;
}

void append_double(std::string& out, double value) {
  static constexpr char digits[] = "0123456789abcdef";
  const auto bits = std::bit_cast<std::uint64_t>(value);
  out += "0x";
  for (int shift = 60; shift >= 0; shift -= 4) out += digits[bits >> shift & 15];
}

std::optional<double> parse_double(std::string_view text) {
  if (text.size() != 18 || !text.starts_with("0x")) return std::nullopt;
  std::uint64_t bits = 0;
  for (const char c : text.substr(2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    bits = bits << 4 | static_cast<unsigned>(digit);
  }
  return std::bit_cast<double>(bits);
}

std::optional<Tree> parse_tagged(char tag, std::string_view text) {
  switch (tag) {
    case 'b':
      if (text == "0" || text == "1") return Tree(text == "1");
      break;
    case 'i':
      if (const auto value = parse_integer<std::int64_t>(text)) return Tree(*value);
      break;
    case 'u':
      if (const auto value = parse_integer<std::uint64_t>(text)) return Tree(*value);
      break;
    case 'f':
      if (const auto value = parse_double(text)) return Tree(*value);
      break;
    case 's':
      if (text.size() <= inline_bytes_max) return Tree(std::string(text));
      break;
    case 'x':
      if (auto value = parse_base64(text); value && value->size() <= inline_bytes_max) return Tree(std::move(*value));
      break;
    default: break;
  }
  return std::nullopt;
}

}  // namespace

void append_leaf_text(std::string& out, const Tree& leaf) {
  assert(leaf.is_leaf());
  if (is_stored(leaf)) return append_json_string(out, stored_leaf_text);
  if (const auto* text = leaf.get_if<std::string>()) {
    append_json_string(out, "s:" + *text);
    return;
  }
  out += '"';
  if (const auto* boolean = leaf.get_if<bool>()) {
    out += *boolean ? "b:1" : "b:0";
  } else if (const auto* integer = leaf.get_if<std::int64_t>()) {
    out += "i:";
    append_json_integer(out, *integer);
  } else if (const auto* natural = leaf.get_if<std::uint64_t>()) {
    out += "u:";
    append_json_integer(out, *natural);
  } else if (const auto* real = leaf.get_if<double>()) {
    out += "f:";
    append_double(out, *real);
  } else if (const auto* bytes = leaf.get_if<Tree::Bytes>()) {
    out += "x:";
    append_base64(out, *bytes);
  } else {
    out += 'n';
  }
  out += '"';
}

Result<Tree> parse_leaf_text(std::string_view text) {
  if (text == "n") return Tree();
  if (text.size() >= 2 && text[1] == ':') {
    if (std::optional<Tree> leaf = parse_tagged(text[0], text.substr(2))) return std::move(*leaf);
  }
  return Error(ErrorCode::corruption, "no leaf is written like this");
}

}  // namespace milepost
