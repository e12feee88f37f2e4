#include "milepost/engine/format/names.h"

#include "milepost/engine/state/tree.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <random>

namespace milepost {
namespace {

constexpr std::string_view attempt_prefix = ".tmp-";
constexpr std::string_view trash_prefix = ".trash-";
constexpr std::string_view of_a_file = "file";  // in place of a step

// What is wrong with a name, or null.
const char* fault_of_name(std::string_view name) {
  if (name.empty()) return "a name must not be empty";
  if (name.size() > name_bytes_max) return "a name must not be longer than 255 bytes";
  if (name.front() == '.') return "a name must not begin with a '.'";
  for (const char c : name) {
    if (c == '/') return "a name must not contain a '/'";
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return "a name must not contain control characters";
  }
  if (!is_valid_utf8(name)) return "a name must be UTF-8";
  return nullptr;
}

bool is_canonical(std::string_view digits) {
  const auto step = parse_decimal(digits);
  return step && std::to_string(*step) == digits;
}

// <prefix><step>-<uuid> or <prefix>file-<uuid>
bool is_step_and_uuid(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  const std::size_t dash = name.find('-');
  if (dash == std::string_view::npos || !is_uuid(name.substr(dash + 1))) return false;
  return name.substr(0, dash) == of_a_file || is_canonical(name.substr(0, dash));
}

std::string step_and_uuid(std::string_view prefix, std::optional<std::int64_t> step, std::string_view uuid) {
  return std::string(prefix) + (step ? std::to_string(*step) : std::string(of_a_file)) + "-" + std::string(uuid);
}

}  // namespace

Result<void> check_file_name(std::string_view name) {
  if (const char* fault = fault_of_name(name)) return Error(ErrorCode::invalid_argument, fault);
  return {};
}

bool is_file_name(std::string_view name) { return fault_of_name(name) == nullptr; }

Result<void> check_item_name(std::string_view name) {
  if (name == step_record_name) return Error(ErrorCode::invalid_argument, "the name step.json is reserved");
  return check_file_name(name);
}

std::optional<std::int64_t> parse_decimal(std::string_view digits) {
  if (digits.empty() || digits.size() > step_digits_max || !std::all_of(digits.begin(), digits.end(), is_digit)) {
    return std::nullopt;
  }
  std::int64_t number = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec != std::errc()) return std::nullopt;
  return number;
}

std::string attempt_directory_name(std::optional<std::int64_t> step, std::string_view uuid) {
  return step_and_uuid(attempt_prefix, step, uuid);
}

bool is_attempt_directory_name(std::string_view name) { return is_step_and_uuid(attempt_prefix, name); }

std::string trash_directory_name(std::int64_t step, std::string_view uuid) {
  return step_and_uuid(trash_prefix, step, uuid);
}

bool is_trash_directory_name(std::string_view name) { return is_step_and_uuid(trash_prefix, name); }

std::string trash_name_of_attempt(std::string_view attempt) {
  return std::string(trash_prefix) + std::string(attempt.substr(attempt_prefix.size()));
}

std::string data_file_name(std::uint32_t rank, bool safetensors) {
  return "data-" + std::to_string(rank) + (safetensors ? ".safetensors" : ".bin");
}

std::string table_file_name(std::uint32_t rank) { return "chunks-" + std::to_string(rank) + ".bin"; }

bool is_uuid(std::string_view text) {
  if (text.size() != uuid_bytes) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !is_digit(text[i]) && !(text[i] >= 'a' && text[i] <= 'f')) return false;
  }
  return true;
}

std::string make_uuid() {
  static constexpr char digits[] = "0123456789abcdef";
  std::array<unsigned char, 16> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    // Containers may forbid the call; the library has other sources.
    std::random_device device;
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(device());
  }
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0F) | 0x40);  // version 4
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3F) | 0x80);  // variant of RFC 4122
  std::string uuid;
  uuid.reserve(uuid_bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += digits[bytes[i] >> 4];
    uuid += digits[bytes[i] & 15];
  }
  return uuid;
}

}  // namespace milepost
