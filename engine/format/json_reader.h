// A strict reader of JSON that is assumed hostile. Internal to engine/format.
//
// The text becomes a flat array of nodes, 16 bytes each, in document order, so that memory stays
// proportional to the text and nothing recurses. Refused: malformed JSON, NUL bytes, a byte order
// mark, invalid UTF-8, nesting beyond json_depth_max, and a key twice in one object. Numbers with a
// fraction or an exponent, and integers beyond 64 bits, are kept as text: asking for an integer there
// is an error.
#pragma once

#include "milepost/io/digest.h"
#include "milepost/io/error.h"
#include "milepost/io/mapped_allocator.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace milepost {

inline constexpr int json_depth_max = 40;

enum class JsonKind : std::uint8_t { null, boolean, unsigned_integer, negative_integer, real, string, array, object };

class JsonValue;

// Owns the nodes; values point into it, so it must stay where it is while they are used.
class JsonDocument {
 public:
  // corruption, saying where and what.
  static Result<JsonDocument> parse(std::string_view text);
  JsonValue root() const;

 private:
  friend class JsonValue;
  friend class JsonDocumentBuilder;
  struct Node {
    std::uint64_t value;   // an integer's bits, or where the text of a string or real begins in text_
    std::uint32_t extent;  // bytes of a string or real; of an array or object the index behind its last node
    JsonKind kind;
    bool ascending;  // of an object: whether its keys ascend
  };
  static_assert(sizeof(Node) == 16);

  std::string_view text_of(const Node& node) const { return {text_.data() + node.value, node.extent}; }

  // Of a large manifest some 20 MB, and no longer needed when it has been read.
  std::vector<Node, MappedAllocator<Node>> nodes_;  // in an object each key is a string node before its value
  std::vector<char, MappedAllocator<char>> text_;
};

// A cheap reference to one node.
class JsonValue {
 public:
  class Iterator;
  struct Children;

  JsonValue(const JsonDocument& document, std::uint32_t index) : document_(&document), index_(index) {}

  JsonKind kind() const { return node().kind; }
  bool is(JsonKind kind) const { return node().kind == kind; }
  // Nothing unless the value is an integer that fits.
  std::optional<std::uint64_t> as_u64() const;
  std::optional<std::int64_t> as_i64() const;
  // Nothing unless the value is a string.
  std::optional<std::string_view> as_string() const;
  // Whether the keys of an object ascend strictly, by bytes.
  bool has_ascending_keys() const { return node().ascending; }
  // Of an array its elements; of an object key, value, key, value, ...; of anything else nothing.
  Children children() const;
  std::size_t child_count() const;

  // Short, for messages: an object, "text", 1.5
  std::string describe() const;
  // Compact JSON of the value; numbers with a fraction or exponent as they were written.
  void append_to(std::string& out) const;

 private:
  const JsonDocument::Node& node() const { return document_->nodes_[index_]; }
  bool is_container() const { return kind() == JsonKind::array || kind() == JsonKind::object; }
  std::string_view text() const { return document_->text_of(node()); }

  const JsonDocument* document_;
  std::uint32_t index_;
};

class JsonValue::Iterator {
 public:
  explicit Iterator(JsonValue at) : at_(at) {}
  JsonValue operator*() const { return at_; }
  Iterator& operator++() {
    at_.index_ = at_.is_container() ? at_.node().extent : at_.index_ + 1;
    return *this;
  }
  bool operator!=(const Iterator& other) const { return at_.index_ != other.at_.index_; }

 private:
  JsonValue at_;
};

struct JsonValue::Children {
  Iterator first;
  Iterator last;
  Iterator begin() const { return first; }
  Iterator end() const { return last; }
};

// Reads an object field by field: each must be there, of the right kind and in range, and none may be
// left over. Errors are corruption within `where`, and name the field.
class JsonFields {
 public:
  static Result<JsonFields> of(JsonValue object, std::string where);

  Result<std::uint64_t> u64(std::string_view name, std::uint64_t max = std::numeric_limits<std::uint64_t>::max());
  Result<std::uint32_t> u32(std::string_view name, std::uint32_t min = 0);
  Result<std::int64_t> i64(std::string_view name, std::int64_t min = std::numeric_limits<std::int64_t>::min());
  Result<std::string> string(std::string_view name, std::size_t bytes_max);
  Result<Digest> digest(std::string_view name);
  Result<JsonValue> array(std::string_view name) { return of_kind(name, JsonKind::array); }
  Result<JsonValue> object(std::string_view name) { return of_kind(name, JsonKind::object); }
  Result<JsonValue> any(std::string_view name);
  // Nothing if there is no such field.
  std::optional<JsonValue> optional(std::string_view name);

  // Refuses fields that were not asked for.
  Result<void> finish() const;
  Error fail(std::string message) const;

 private:
  struct Field {
    std::string_view name;
    JsonValue value;
    bool used = false;
  };
  Result<JsonValue> of_kind(std::string_view name, JsonKind kind);

  std::string where_;
  std::vector<Field> fields_;
};

}  // namespace milepost
