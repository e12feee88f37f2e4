// Names on disk: steps, items, attempts, files (docs/format.md). Pure functions.
#pragma once

#include "milepost/io/error.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace milepost {

inline constexpr std::string_view root_record_name = "milepost.json";
inline constexpr std::string_view step_record_name = "step.json";
inline constexpr std::string_view manifest_name = "manifest.json";
inline constexpr std::size_t name_bytes_max = 255;
inline constexpr std::size_t uuid_bytes = 36;
inline constexpr std::size_t step_digits_max = 19;

// invalid_argument unless a name can be that of a file: 1 to 255 bytes of UTF-8 without '/', control characters
// or a leading '.'.
Result<void> check_file_name(std::string_view name);
bool is_file_name(std::string_view name);
// The same, and not reserved (step.json).
Result<void> check_item_name(std::string_view name);

// ".tmp-<step>-<uuid>": an attempt in progress; ".tmp-file-<uuid>": one of a file at the root, which is of no step.
std::string attempt_directory_name(std::optional<std::int64_t> step, std::string_view uuid);
bool is_attempt_directory_name(std::string_view name);
// ".trash-<step>-<uuid>", ".trash-file-<uuid>": being deleted.
std::string trash_directory_name(std::int64_t step, std::string_view uuid);
bool is_trash_directory_name(std::string_view name);
// What an attempt's directory is called when it is trash.
std::string trash_name_of_attempt(std::string_view attempt);

// "data-<rank>.safetensors", "data-<rank>.bin", "chunks-<rank>.bin"
std::string data_file_name(std::uint32_t rank, bool safetensors);
std::string table_file_name(std::uint32_t rank);

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
// A number of 0 to 2^63 - 1 in decimal digits, leading zeros allowed.
std::optional<std::int64_t> parse_decimal(std::string_view digits);

// A random (version 4) uuid, 36 characters.
std::string make_uuid();
// 36 characters: lower-case hexadecimal digits and dashes where a uuid has them.
bool is_uuid(std::string_view text);

}  // namespace milepost
