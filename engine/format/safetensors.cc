#include "milepost/engine/format/safetensors.h"

#include "milepost/engine/format/json_reader.h"
#include "milepost/engine/format/json_writer.h"
#include "milepost/engine/state/tree.h"
#include "milepost/io/try.h"

#include <algorithm>

namespace milepost {
namespace {

constexpr std::size_t length_bytes = 8;
constexpr std::uint64_t json_bytes_max = 100'000'000;
constexpr std::string_view metadata_name = "__metadata__";

Error corrupt_header(std::string message) {
  return Error(ErrorCode::corruption, std::move(message)).within("safetensors header");
}

Error invalid_header(std::string message) {
  return Error(ErrorCode::invalid_argument, std::move(message)).within("safetensors header");
}

void append_entry(std::string& json, const SafetensorsEntry& entry) {
  append_json_string(json, entry.name);
  json += ":{\"dtype\":\"";
  json += name_of(entry.dtype);
  json += "\",\"shape\":[";
  for (std::size_t i = 0; i < entry.shape.size(); ++i) {
    if (i > 0) json += ',';
    append_json_integer(json, entry.shape[i]);
  }
  json += "],\"data_offsets\":[";
  append_json_integer(json, entry.begin);
  json += ',';
  append_json_integer(json, entry.end);
  json += "]}";
}

// What writer and reader agree on: the entries follow each other, and each is as long as its shape says.
Result<void> check_layout(const std::vector<SafetensorsEntry>& entries) {
  std::uint64_t end = 0;
  for (const SafetensorsEntry& entry : entries) {
    const auto fail = [&entry](const std::string& what) {
      return Error(ErrorCode::corruption, "tensor " + entry.name + ": " + what);
    };
    if (entry.begin != end) {
      return fail("begins at " + std::to_string(entry.begin) + ", not at " + std::to_string(end) +
                  " where the one before it ends");
    }
    if (entry.end < entry.begin) return fail("ends before it begins");
    end = entry.end;
    if (!element_count(entry.shape)) return fail("shape " + to_string(entry.shape) + " is too large");
    const std::optional<std::uint64_t> bytes = packed_bytes(entry.dtype, entry.shape);
    if (!bytes) return fail("shape " + to_string(entry.shape) + " is not a whole number of bytes");
    if (entry.end - entry.begin != *bytes) {
      return fail(std::to_string(entry.end - entry.begin) + " bytes, but its shape needs " + std::to_string(*bytes));
    }
  }
  return {};
}

Result<void> check_names(const std::vector<SafetensorsEntry>& entries) {
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
    return invalid_header("two tensors of the name " + std::string(*twice));
  }
  if (std::binary_search(names.begin(), names.end(), metadata_name)) {
    return invalid_header("no tensor can have the name __metadata__");
  }
  return {};
}

Result<void> read_metadata(JsonValue value, std::map<std::string, std::string>& metadata) {
  if (!value.is(JsonKind::object)) return corrupt_header("__metadata__: expected an object, found " + value.describe());
  const JsonValue::Children children = value.children();
  for (auto it = children.begin(); it != children.end(); ++it) {
    const std::string_view key = *(*it).as_string();
    ++it;
    const std::optional<std::string_view> text = (*it).as_string();
    if (!text) return corrupt_header("__metadata__: expected a string, found " + (*it).describe());
    metadata.emplace(key, *text);
  }
  return {};
}

Result<SafetensorsEntry> read_entry(std::string_view name, JsonValue value) {
  MILEPOST_ASSIGN(JsonFields fields, JsonFields::of(value, "tensor " + std::string(name)));
  SafetensorsEntry entry;
  entry.name = name;
  MILEPOST_ASSIGN(const std::string dtype_name, fields.string("dtype", 16));
  const std::optional<DType> dtype = dtype_from_name(dtype_name);
  if (!dtype) return fields.fail("unknown dtype " + dtype_name);
  entry.dtype = *dtype;
  MILEPOST_ASSIGN(const JsonValue shape, fields.array("shape"));
  for (const JsonValue extent : shape.children()) {
    const std::optional<std::int64_t> number = extent.as_i64();
    if (!number || *number < 0)
      return fields.fail("shape: expected an integer from 0 to 2^63 - 1, found " + extent.describe());
    entry.shape.push_back(*number);
  }
  MILEPOST_ASSIGN(const JsonValue offsets, fields.array("data_offsets"));
  std::size_t count = 0;
  for (const JsonValue offset : offsets.children()) {
    const std::optional<std::uint64_t> number = offset.as_u64();
    if (!number) return fields.fail("data_offsets: expected an integer from 0 to 2^64 - 1, found " + offset.describe());
    (count == 0 ? entry.begin : entry.end) = *number;
    ++count;
  }
  if (count != 2) return fields.fail("data_offsets: expected 2 integers, found " + std::to_string(count));
  MILEPOST_TRY(fields.finish());
  return entry;
}

}  // namespace

Result<std::string> encode_safetensors_header(const SafetensorsHeader& header, std::size_t alignment) {
  MILEPOST_TRY(check_names(header.entries));
  if (auto checked = check_layout(header.entries); checked.has_error())
    return invalid_header(checked.error().message());
  SafetensorsEncoder encoder(header.entries.size(), header.metadata);
  for (const SafetensorsEntry& entry : header.entries) encoder.add(entry);
  return std::move(encoder).finish(alignment);
}

SafetensorsEncoder::SafetensorsEncoder(std::size_t expected_count, const std::map<std::string, std::string>& metadata)
    : text_(length_bytes, '\0') {
  text_.reserve(256 + 128 * expected_count);
  text_ += '{';
  if (metadata.empty()) return;
  append_json_string(text_, metadata_name);
  text_ += ":{";
  for (const auto& [key, value] : metadata) append_json_field(text_, key, value);
  text_ += '}';
}

void SafetensorsEncoder::add(const SafetensorsEntry& entry) {
  if (text_.size() > length_bytes + 1) text_ += ',';
  append_entry(text_, entry);
}

Result<std::string> SafetensorsEncoder::finish(std::size_t alignment) && {
  text_ += '}';
  text_.append((alignment - text_.size() % alignment) % alignment, ' ');
  const std::uint64_t json_bytes = text_.size() - length_bytes;
  if (json_bytes > json_bytes_max) return invalid_header("more than 100,000,000 bytes");
  for (std::size_t i = 0; i < length_bytes; ++i) text_[i] = static_cast<char>(json_bytes >> (8 * i));
  return std::move(text_);
}

Result<SafetensorsHeader> decode_safetensors_header(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  if (file_bytes < length_bytes) return corrupt_header("the file is shorter than 8 bytes");
  if (bytes.size() < length_bytes) return invalid_header("fewer bytes were given than the header has");
  std::uint64_t json_bytes = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) json_bytes |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  if (json_bytes > json_bytes_max) return corrupt_header("more than 100,000,000 bytes");
  if (length_bytes + json_bytes > file_bytes) return corrupt_header("exceeds the file");
  if (length_bytes + json_bytes > bytes.size()) return invalid_header("fewer bytes were given than the header has");
  const std::string_view json(reinterpret_cast<const char*>(bytes.data()) + length_bytes,
                              static_cast<std::size_t>(json_bytes));
  if (!is_valid_utf8(json)) return corrupt_header("not UTF-8");
  if (!json.starts_with('{')) return corrupt_header("does not begin with '{'");

  auto document = JsonDocument::parse(json);
  if (document.has_error()) return document.error().within("safetensors header");
  SafetensorsHeader header;
  const JsonValue::Children children = document->root().children();
  for (auto it = children.begin(); it != children.end(); ++it) {
    const std::string_view name = *(*it).as_string();
    ++it;
    if (name == metadata_name) {
      MILEPOST_TRY(read_metadata(*it, header.metadata));
      continue;
    }
    auto entry = read_entry(name, *it);
    if (entry.has_error()) return entry.error().within("safetensors header");
    header.entries.push_back(std::move(*entry));
  }

  // Stable: tensors without bytes keep their order among themselves.
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  if (auto checked = check_layout(header.entries); checked.has_error())
    return corrupt_header(checked.error().message());
  const std::uint64_t data_bytes = header.entries.empty() ? 0 : header.entries.back().end;
  if (data_bytes != file_bytes - length_bytes - json_bytes) {
    return corrupt_header("describes " + std::to_string(data_bytes) + " bytes; the file has " +
                          std::to_string(file_bytes - length_bytes - json_bytes));
  }
  return header;
}

}  // namespace milepost
