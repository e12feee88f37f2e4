// Numbers and names as people read them.
#pragma once

#include "milepost/io/error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace milepost::tool {

// "512 B", "1.4 GiB": three digits at most before the unit, binary units.
std::string human_bytes(std::uint64_t bytes);
// "850 ms", "2.1 s", "3.5 min", "2.0 h".
std::string human_seconds(double seconds);
// "12 s", "3 min", "5 h", "3 days": how long ago.
std::string human_age(double seconds);
// "90", "90s", "30m", "1h30m", "7d", "2w": seconds; none if it is no duration.
std::optional<double> parse_duration(std::string_view text);
// "2026-11-21 22:40:01", local time.
std::string local_time(std::int64_t unix_ns);
// "2026-11-21T22:40:01.123456789Z"
std::string utc_time(std::int64_t unix_ns);
// "1.23x": raw bytes over stored bytes; "-" where either is zero.
std::string human_ratio(double raw_bytes, double stored_bytes);
// "1 leaf", "3 leaves".
std::string counted(std::uint64_t count, std::string_view one, std::string_view many);

// The shortest decimal that reads back as the same value.
std::string shortest(double value);
std::string shortest(float value);

// Names and strings come from files that anybody may have written: what could steer a terminal
// (control characters, C1 included) is shown as an escape.
std::string printable(std::string_view text);
// The same, between double quotes, cut to about `columns` with an ellipsis.
std::string quoted(std::string_view text, std::size_t columns);
// Columns that UTF-8 text takes, near enough: its code points.
std::size_t display_width(std::string_view text);

}  // namespace milepost::tool
