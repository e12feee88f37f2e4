#include "milepost/engine/format/json_reader.h"

#include "milepost/engine/format/json_writer.h"
#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace milepost {
namespace {

// At most 40 bytes of a text, cut between characters.
std::string shortened(std::string_view text) {
  constexpr std::size_t bytes_max = 40;
  if (text.size() <= bytes_max) return std::string(text);
  std::size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, shortened(text));
  return out;
}

}  // namespace

// Receives the events of nlohmann's parser, which is iterative, and stops it at the first fault.
class JsonDocumentBuilder {
 public:
  using Node = JsonDocument::Node;

  explicit JsonDocumentBuilder(JsonDocument& document) : document_(document) {}
  std::string take_fault() { return std::move(fault_); }

  bool null() { return add(0, 0, JsonKind::null); }
  bool boolean(bool value) { return add(value ? 1 : 0, 0, JsonKind::boolean); }
  bool number_integer(std::int64_t value) {
    return add(static_cast<std::uint64_t>(value), 0,
               value < 0 ? JsonKind::negative_integer : JsonKind::unsigned_integer);
  }
  bool number_unsigned(std::uint64_t value) { return add(value, 0, JsonKind::unsigned_integer); }
  bool number_float(double, const std::string& text) { return add_text(text, JsonKind::real); }
  bool string(const std::string& text) { return add_text(text, JsonKind::string); }
  bool binary(const std::vector<std::uint8_t>&) { return false; }  // not in JSON text
  bool start_object(std::size_t) { return open(JsonKind::object); }
  bool start_array(std::size_t) { return open(JsonKind::array); }
  bool end_array() { return close(); }

  bool key(const std::string& text) {
    Open& object = open_.back();
    if (object.last_key != 0 && object.ascending && document_.text_of(document_.nodes_[object.last_key]) >= text) {
      object.ascending = false;
    }
    object.last_key = static_cast<std::uint32_t>(document_.nodes_.size());
    return add_text(text, JsonKind::string);
  }

  bool end_object() {
    document_.nodes_[open_.back().index].ascending = open_.back().ascending;
    if (!open_.back().ascending && !check_keys(open_.back().index)) return false;
    return close();
  }

  bool parse_error(std::size_t position, const std::string&, const std::exception&) {
    fault_ = "malformed JSON at byte " + std::to_string(position);
    return false;
  }

 private:
  struct Open {
    std::uint32_t index;
    std::uint32_t last_key = 0;  // 0, which is the root's index, for none
    bool ascending = true;
  };

  bool add(std::uint64_t value, std::uint32_t extent, JsonKind kind) {
    document_.nodes_.push_back({value, extent, kind, true});
    return true;
  }

  bool add_text(const std::string& text, JsonKind kind) {
    const std::size_t begin = document_.text_.size();
    document_.text_.insert(document_.text_.end(), text.begin(), text.end());
    return add(begin, static_cast<std::uint32_t>(text.size()), kind);
  }

  bool open(JsonKind kind) {
    if (open_.size() == static_cast<std::size_t>(json_depth_max)) {
      fault_ = "JSON nested more than " + std::to_string(json_depth_max) + " deep";
      return false;
    }
    open_.push_back({static_cast<std::uint32_t>(document_.nodes_.size())});
    return add(0, 0, kind);
  }

  bool close() {
    document_.nodes_[open_.back().index].extent = static_cast<std::uint32_t>(document_.nodes_.size());
    open_.pop_back();
    return true;
  }

  // Looks for a duplicate among keys that do not ascend.
  bool check_keys(std::uint32_t object) {
    std::vector<std::string_view> keys;
    for (std::uint32_t at = object + 1; at < document_.nodes_.size();) {
      keys.push_back(document_.text_of(document_.nodes_[at]));
      const Node& value = document_.nodes_[at + 1];
      const bool container = value.kind == JsonKind::array || value.kind == JsonKind::object;
      at = container ? value.extent : at + 2;
    }
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice == keys.end()) return true;
    fault_ = "duplicate key " + quoted(*twice);
    return false;
  }

  JsonDocument& document_;
  std::vector<Open> open_;
  std::string fault_;
};

Result<JsonDocument> JsonDocument::parse(std::string_view text) {
  // Node indices are 32 bits wide, and a node takes at least one byte of text.
  if (text.size() >= std::numeric_limits<std::uint32_t>::max()) return corrupt("JSON of more than 4 GiB");
  // The parser takes a NUL byte for the end of its input, and skips a byte order mark.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return corrupt("malformed JSON at byte " + std::to_string(nul + 1) + ": a NUL byte");
  }
  if (text.starts_with("\xEF\xBB\xBF")) return corrupt("malformed JSON at byte 1: a byte order mark");
  JsonDocument document;
  // As many nodes as well-formed JSON has: growing as they come would take three times their memory.
  const auto separators =
      std::count_if(text.begin(), text.end(), [](char c) { return c == ',' || c == ':' || c == '[' || c == '{'; });
  document.nodes_.reserve(std::min(static_cast<std::size_t>(separators), text.size() / 2) + 1);
  document.text_.reserve(text.size());
  JsonDocumentBuilder builder(document);
  if (!nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &builder))
    return corrupt(builder.take_fault());
  return document;
}

JsonValue JsonDocument::root() const { return JsonValue(*this, 0); }

std::optional<std::uint64_t> JsonValue::as_u64() const {
  if (!is(JsonKind::unsigned_integer)) return std::nullopt;
  return node().value;
}

std::optional<std::int64_t> JsonValue::as_i64() const {
  const auto value = static_cast<std::int64_t>(node().value);
  if (is(JsonKind::negative_integer) || (is(JsonKind::unsigned_integer) && value >= 0)) return value;
  return std::nullopt;
}

std::optional<std::string_view> JsonValue::as_string() const {
  if (!is(JsonKind::string)) return std::nullopt;
  return text();
}

JsonValue::Children JsonValue::children() const {
  const std::uint32_t first = index_ + 1;
  const std::uint32_t last = is_container() ? node().extent : first;
  return {Iterator(JsonValue(*document_, first)), Iterator(JsonValue(*document_, last))};
}

std::size_t JsonValue::child_count() const {
  std::size_t count = 0;
  for ([[maybe_unused]] const JsonValue child : children()) ++count;
  return count;
}

std::string JsonValue::describe() const {
  switch (kind()) {
    case JsonKind::null: return "null";
    case JsonKind::boolean: return node().value != 0 ? "true" : "false";
    case JsonKind::unsigned_integer: return std::to_string(node().value);
    case JsonKind::negative_integer: return std::to_string(static_cast<std::int64_t>(node().value));
    case JsonKind::real: return shortened(text());
    case JsonKind::string: return quoted(text());
    case JsonKind::array: return "an array";
    case JsonKind::object: return "an object";
  }
  return "";
}

void JsonValue::append_to(std::string& out) const {
  switch (kind()) {
    case JsonKind::real: out += text(); return;
    case JsonKind::string: append_json_string(out, text()); return;
    case JsonKind::array:
    case JsonKind::object: break;
    default: out += describe(); return;
  }
  const bool object = is(JsonKind::object);
  out += object ? '{' : '[';
  std::size_t position = 0;
  for (const JsonValue child : children()) {
    if (position > 0) out += object && position % 2 == 1 ? ':' : ',';
    child.append_to(out);
    ++position;
  }
  out += object ? '}' : ']';
}

Result<JsonFields> JsonFields::of(JsonValue object, std::string where) {
  JsonFields fields;
  fields.where_ = std::move(where);
  if (!object.is(JsonKind::object)) return fields.fail("expected an object, found " + object.describe());
  const JsonValue::Children children = object.children();
  for (auto it = children.begin(); it != children.end(); ++it) {
    const std::string_view name = *(*it).as_string();
    ++it;
    fields.fields_.push_back({name, *it});
  }
  return fields;
}

Error JsonFields::fail(std::string message) const {
  Error error = corrupt(std::move(message));
  if (!where_.empty()) error.within(where_);
  return error;
}

std::optional<JsonValue> JsonFields::optional(std::string_view name) {
  for (Field& field : fields_) {
    if (field.name != name) continue;
    field.used = true;
    return field.value;
  }
  return std::nullopt;
}

Result<JsonValue> JsonFields::any(std::string_view name) {
  if (const auto value = optional(name)) return *value;
  return fail("no field " + quoted(name));
}

Result<JsonValue> JsonFields::of_kind(std::string_view name, JsonKind kind) {
  MILEPOST_ASSIGN(const JsonValue value, any(name));
  if (value.is(kind)) return value;
  return fail(std::string(name) + ": expected an " + (kind == JsonKind::array ? "array" : "object") + ", found " +
              value.describe());
}

Result<std::uint64_t> JsonFields::u64(std::string_view name, std::uint64_t max) {
  MILEPOST_ASSIGN(const JsonValue value, any(name));
  const std::optional<std::uint64_t> number = value.as_u64();
  if (number && *number <= max) return *number;
  return fail(std::string(name) + ": expected an integer from 0 to " + std::to_string(max) + ", found " +
              value.describe());
}

Result<std::uint32_t> JsonFields::u32(std::string_view name, std::uint32_t min) {
  MILEPOST_ASSIGN(const std::uint64_t number, u64(name, std::numeric_limits<std::uint32_t>::max()));
  if (number >= min) return static_cast<std::uint32_t>(number);
  return fail(std::string(name) + ": expected at least " + std::to_string(min) + ", found " + std::to_string(number));
}

Result<std::int64_t> JsonFields::i64(std::string_view name, std::int64_t min) {
  MILEPOST_ASSIGN(const JsonValue value, any(name));
  const std::optional<std::int64_t> number = value.as_i64();
  if (number && *number >= min) return *number;
  return fail(std::string(name) + ": expected an integer from " + std::to_string(min) + " to 2^63 - 1, found " +
              value.describe());
}

Result<std::string> JsonFields::string(std::string_view name, std::size_t bytes_max) {
  MILEPOST_ASSIGN(const JsonValue value, any(name));
  const std::optional<std::string_view> text = value.as_string();
  if (text && text->size() <= bytes_max) return std::string(*text);
  return fail(std::string(name) + ": expected a string of up to " + std::to_string(bytes_max) + " bytes, found " +
              value.describe());
}

Result<Digest> JsonFields::digest(std::string_view name) {
  MILEPOST_ASSIGN(const JsonValue value, any(name));
  const std::optional<Digest> digest = Digest::from_hex(value.as_string().value_or(""));
  if (digest) return *digest;
  return fail(std::string(name) + ": expected 32 lower-case hexadecimal digits, found " + value.describe());
}

Result<void> JsonFields::finish() const {
  for (const Field& field : fields_) {
    if (!field.used) return fail("unknown field " + quoted(field.name));
  }
  return {};
}

}  // namespace milepost
