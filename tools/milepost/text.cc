#include "tools/milepost/text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <span>

namespace milepost::tool {
namespace {

std::string formatted(const char* format, auto... values) {
  std::array<char, 128> text{};
  const int length = std::snprintf(text.data(), text.size(), format, values...);
  return {text.data(), static_cast<std::size_t>(length)};
}

template <class T> std::string shortest_of(T value) {
  std::array<char, 40> text{};
  const auto result = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), result.ptr};
}

std::tm broken_down(std::int64_t unix_ns, bool local) {
  std::int64_t seconds = unix_ns / 1'000'000'000 - (unix_ns % 1'000'000'000 < 0 ? 1 : 0);
  const auto time = static_cast<std::time_t>(seconds);
  std::tm result{};
  if (local) {
    localtime_r(&time, &result);
  } else {
    gmtime_r(&time, &result);
  }
  return result;
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  static constexpr std::array units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  // What would round to 1000 or more goes into the next unit: "0.98 MiB" is narrower than "1003 KiB".
  for (; value >= 999.5 && unit + 1 < units.size(); ++unit) value /= 1024;
  return formatted(value < 9.995 ? "%.2f %s" : value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

std::string human_seconds(double seconds) {
  if (seconds < 0) return "-";
  if (seconds < 0.9995) return formatted("%.0f ms", seconds * 1000);
  if (seconds < 9.995) return formatted("%.2f s", seconds);
  if (seconds < 99.95) return formatted("%.1f s", seconds);
  if (seconds < 3600) return formatted("%.1f min", seconds / 60);
  return formatted("%.1f h", seconds / 3600);
}

std::string human_age(double seconds) {
  if (seconds < 0) return "now";  // another machine's clock
  if (seconds < 90) return formatted("%.0f s", seconds);
  if (seconds < 90 * 60) return formatted("%.0f min", seconds / 60);
  if (seconds < 36 * 3600) return formatted("%.0f h", seconds / 3600);
  return formatted("%.0f days", seconds / 86400);
}

std::optional<double> parse_duration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const char* const begin = text.data();
  double seconds = 0;
  while (!text.empty()) {
    double number = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
    if (parsed.ec != std::errc{} || !std::isfinite(number) || number < 0) return std::nullopt;
    if (parsed.ptr == end && text.data() != begin) return std::nullopt;  // "1h30": of what?
    const char unit = parsed.ptr == end ? 's' : *parsed.ptr;
    switch (unit) {
      case 's': break;
      case 'm': number *= 60; break;
      case 'h': number *= 3600; break;
      case 'd': number *= 86400; break;
      case 'w': number *= 7 * 86400; break;
      default: return std::nullopt;
    }
    seconds += number;
    text = parsed.ptr == end ? "" : std::string_view(parsed.ptr + 1, end);
  }
  return std::isfinite(seconds) ? std::optional(seconds) : std::nullopt;
}

std::string local_time(std::int64_t unix_ns) {
  const std::tm time = broken_down(unix_ns, true);
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%F %T", &time)};
}

std::string utc_time(std::int64_t unix_ns) {
  const std::tm time = broken_down(unix_ns, false);
  std::array<char, 64> text{};
  const std::string seconds(text.data(), std::strftime(text.data(), text.size(), "%FT%T", &time));
  const std::int64_t rest = unix_ns % 1'000'000'000;
  return seconds + formatted(".%09lldZ", static_cast<long long>(rest < 0 ? rest + 1'000'000'000 : rest));
}

std::string human_ratio(double raw_bytes, double stored_bytes) {
  if (raw_bytes <= 0 || stored_bytes <= 0) return "-";
  const double ratio = raw_bytes / stored_bytes;
  return formatted(ratio < 99.995 ? "%.2fx" : "%.0fx", ratio);
}

std::string counted(std::uint64_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

std::string shortest(double value) { return shortest_of(value); }
std::string shortest(float value) { return shortest_of(value); }

std::string printable(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (byte == '\n') {
      result += "\\n";
    } else if (byte == '\t') {
      result += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      result += formatted("\\x%02x", byte);
    } else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080 to U+009F
      result += formatted("\\u%04x", next);
      ++i;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::string quoted(std::string_view text, std::size_t columns) {
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size() && seen < columns; ++seen) {
    ++end;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
  }
  return "\"" + printable(text.substr(0, end)) + (end < text.size() ? "…\"" : "\"");
}

std::size_t display_width(std::string_view text) {
  std::size_t columns = 0;
  for (const char c : text) columns += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return columns;
}

}  // namespace milepost::tool
