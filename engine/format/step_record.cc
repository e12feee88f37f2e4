#include "milepost/engine/format/step_record.h"

#include "milepost/engine/format/format_version.h"
#include "milepost/engine/format/json_writer.h"
#include "milepost/engine/format/names.h"
#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace milepost {
namespace {

constexpr std::string_view digest_line_begin = "{\"xxh3_128\":\"";
constexpr std::string_view digest_line_end = "\",\n";
constexpr std::size_t digest_hex_bytes = 32;
constexpr std::size_t digest_line_bytes = digest_line_begin.size() + digest_hex_bytes + digest_line_end.size();
constexpr std::size_t metric_name_bytes_max = 1024;
constexpr int custom_metadata_depth_max = 32;
// With these a record of some thousand items stays below step_record_bytes_max, however much JSON escapes.
constexpr std::size_t custom_metadata_bytes_max = std::size_t{4} << 20;
constexpr std::size_t metrics_max = 1000;
static_assert(custom_metadata_depth_max < json_depth_max);

// `body` is all of an object behind its '{' and first field.
std::string with_digest_line(const std::string& body) {
  std::string text(digest_line_begin);
  text += Digest::of(body).hex();
  text += digest_line_end;
  return text + body;
}

Result<void> check_digest_line(std::string_view text) {
  const std::string_view line = text.substr(0, digest_line_bytes);
  if (line.size() != digest_line_bytes || !line.starts_with(digest_line_begin) || !line.ends_with(digest_line_end)) {
    return corrupt("its first line is no digest");
  }
  const std::optional<Digest> digest = Digest::from_hex(line.substr(digest_line_begin.size(), digest_hex_bytes));
  if (!digest) return corrupt("its first line is no digest");
  if (Digest::of(text.substr(digest_line_bytes)) != *digest) return corrupt("its digest does not match its content");
  return {};
}

// The shortest decimal that reads back as the same double.
std::string metric_text(double value) {
  if (std::isnan(value)) return "nan";
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

std::optional<double> parse_metric(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || metric_text(value) != text) return std::nullopt;
  return value;
}

Result<Metrics> read_metrics(JsonValue object) {
  Metrics metrics;
  const JsonValue::Children children = object.children();
  for (auto it = children.begin(); it != children.end(); ++it) {
    const std::string_view name = *(*it).as_string();
    ++it;
    if (name.empty() || name.size() > metric_name_bytes_max) {
      return corrupt("metrics: a name that is empty or longer than 1024 bytes");
    }
    const std::optional<double> value = parse_metric((*it).as_string().value_or(""));
    if (!value)
      return corrupt("metrics: " + std::string(name) + ": expected a number in quotes, found " + (*it).describe());
    metrics.emplace(name, *value);
  }
  return metrics;
}

Result<ItemRecord> read_item(JsonValue value, std::size_t index) {
  MILEPOST_ASSIGN(JsonFields fields, JsonFields::of(value, "items[" + std::to_string(index) + "]"));
  ItemRecord item;
  MILEPOST_ASSIGN(item.name, fields.string("name", name_bytes_max));
  MILEPOST_ASSIGN(item.manifest_bytes, fields.u64("manifest_bytes", manifest_bytes_max));
  MILEPOST_ASSIGN(item.manifest_digest, fields.digest("manifest_digest"));
  MILEPOST_ASSIGN(item.leaf_count, fields.u64("leaf_count"));
  MILEPOST_ASSIGN(item.raw_bytes, fields.u64("raw_bytes"));
  MILEPOST_ASSIGN(item.stored_bytes, fields.u64("stored_bytes"));
  MILEPOST_TRY(fields.finish());
  if (auto checked = check_item_name(item.name); checked.has_error()) {
    return fields.fail("name: " + checked.error().message());
  }
  return item;
}

Result<std::vector<ItemRecord>> read_items(JsonValue array) {
  std::vector<ItemRecord> items;
  for (const JsonValue value : array.children()) {
    MILEPOST_ASSIGN(ItemRecord item, read_item(value, items.size()));
    if (!items.empty() && item.name <= items.back().name) return corrupt("items: their names do not ascend");
    items.push_back(std::move(item));
  }
  return items;
}

// Containers within containers, the outermost included.
int depth_of(JsonValue value) {
  if (!value.is(JsonKind::array) && !value.is(JsonKind::object)) return 0;
  int depth = 0;
  for (const JsonValue child : value.children()) depth = std::max(depth, depth_of(child));
  return depth + 1;
}

Result<std::string> read_custom_metadata(JsonValue value) {
  if (depth_of(value) > custom_metadata_depth_max) {
    return corrupt("custom_metadata: nested more than " + std::to_string(custom_metadata_depth_max) + " deep");
  }
  std::string json;
  value.append_to(json);
  return json;
}

// By the name of an item: its handler. Only items that have one.
Result<void> read_handlers(JsonValue object, std::vector<ItemRecord>& items) {
  const JsonValue::Children children = object.children();
  for (auto it = children.begin(); it != children.end(); ++it) {
    const std::string_view name = *(*it).as_string();
    ++it;
    // Items ascend by name.
    const auto item = std::lower_bound(items.begin(), items.end(), name,
                                       [](const ItemRecord& i, std::string_view wanted) { return i.name < wanted; });
    if (item == items.end() || item->name != name) return corrupt("handlers: there is no item " + std::string(name));
    const auto handler = (*it).as_string();
    if (!handler || !is_file_name(*handler)) {
      return corrupt("handlers: " + std::string(name) + ": expected the name of a handler, found " + (*it).describe());
    }
    item->handler = *handler;
  }
  return {};
}

Result<SaveFigures> read_save(JsonValue value) {
  MILEPOST_ASSIGN(JsonFields fields, JsonFields::of(value, "save"));
  SaveFigures save;
  MILEPOST_ASSIGN(save.mode, fields.string("mode", name_bytes_max));
  MILEPOST_ASSIGN(save.codec, fields.string("codec", name_bytes_max));
  MILEPOST_ASSIGN(save.waited_ns, fields.i64("waited_ns", 0));
  MILEPOST_ASSIGN(save.captured_ns, fields.i64("captured_ns", 0));
  MILEPOST_ASSIGN(save.written_ns, fields.i64("written_ns", 0));
  MILEPOST_ASSIGN(save.retries, fields.u64("retries"));
  MILEPOST_TRY(fields.finish());
  return save;
}

Result<StepRecord> read_step_record(JsonValue root) {
  MILEPOST_ASSIGN(JsonFields fields, JsonFields::of(root, ""));
  MILEPOST_ASSIGN(const bool newer, read_format_version(fields));
  MILEPOST_TRY(fields.any("xxh3_128"));
  StepRecord record;
  MILEPOST_ASSIGN(record.step, fields.i64("step", 0));
  MILEPOST_ASSIGN(record.attempt, fields.string("attempt", uuid_bytes));
  MILEPOST_ASSIGN(record.world_size, fields.u32("world_size", 1));
  MILEPOST_ASSIGN(record.init_unix_ns, fields.i64("init_unix_ns"));
  MILEPOST_ASSIGN(record.commit_unix_ns, fields.i64("commit_unix_ns"));
  MILEPOST_ASSIGN(const JsonValue metrics, fields.object("metrics"));
  MILEPOST_ASSIGN(record.metrics, read_metrics(metrics));
  MILEPOST_ASSIGN(const JsonValue items, fields.array("items"));
  MILEPOST_ASSIGN(record.items, read_items(items));
  if (const auto handlers = fields.optional("handlers")) {
    if (!handlers->is(JsonKind::object)) return corrupt("handlers: expected an object, found " + handlers->describe());
    MILEPOST_TRY(read_handlers(*handlers, record.items));
  }
  if (const auto save = fields.optional("save")) {
    MILEPOST_ASSIGN(record.save, read_save(*save));
  }
  MILEPOST_ASSIGN(const JsonValue custom, fields.any("custom_metadata"));
  MILEPOST_ASSIGN(record.custom_metadata_json, read_custom_metadata(custom));
  if (!newer) MILEPOST_TRY(fields.finish());
  if (!is_uuid(record.attempt)) return corrupt("attempt: not a uuid");
  return record;
}

Result<RootRecord> read_root_record(JsonValue root) {
  MILEPOST_ASSIGN(JsonFields fields, JsonFields::of(root, ""));
  MILEPOST_ASSIGN(const bool newer, read_format_version(fields));
  MILEPOST_TRY(fields.any("xxh3_128"));
  RootRecord record;
  MILEPOST_ASSIGN(record.uuid, fields.string("uuid", uuid_bytes));
  MILEPOST_ASSIGN(record.created_unix_ns, fields.i64("created_unix_ns"));
  MILEPOST_ASSIGN(const JsonValue custom, fields.any("custom_metadata"));
  MILEPOST_ASSIGN(record.custom_metadata_json, read_custom_metadata(custom));
  if (!newer) MILEPOST_TRY(fields.finish());
  if (!is_uuid(record.uuid)) return corrupt("uuid: not a uuid");
  return record;
}

template <class Record>
Result<Record> decode(std::string_view text, const char* what, Result<Record> (*read)(JsonValue)) {
  if (text.size() > step_record_bytes_max) return corrupt("larger than 16 MiB").within(what);
  auto checked = check_digest_line(text);
  if (checked.has_error()) return checked.error().within(what);
  auto document = JsonDocument::parse(text);
  if (document.has_error()) return document.error().within(what);
  auto record = read(document->root());
  if (record.has_error()) return record.error().within(what);
  return record;
}

void append_item(std::string& out, const ItemRecord& item) {
  out += '{';
  append_json_field(out, "name", item.name);
  append_json_field(out, "manifest_bytes", item.manifest_bytes);
  append_json_field(out, "manifest_digest", item.manifest_digest.hex());
  append_json_field(out, "leaf_count", item.leaf_count);
  append_json_field(out, "raw_bytes", item.raw_bytes);
  append_json_field(out, "stored_bytes", item.stored_bytes);
  out += '}';
}

void append_handlers(std::string& out, const std::vector<ItemRecord>& items) {
  out += ",\n\"handlers\":{";
  for (const ItemRecord& item : items) {
    if (item.handler.empty()) continue;
    append_json_field(out, item.name, item.handler);
  }
  out += '}';
}

void append_save(std::string& out, const SaveFigures& save) {
  out += ",\n\"save\":{";
  append_json_field(out, "mode", save.mode);
  append_json_field(out, "codec", save.codec);
  append_json_field(out, "waited_ns", save.waited_ns);
  append_json_field(out, "captured_ns", save.captured_ns);
  append_json_field(out, "written_ns", save.written_ns);
  append_json_field(out, "retries", save.retries);
  out += '}';
}

}  // namespace

Result<std::string> compact_custom_metadata(std::string_view json) {
  if (json == "null") return std::string(json);  // there is none: save() need not wait for a parser
  const auto invalid = [](const Error& error) {
    return Error(ErrorCode::invalid_argument, error.message()).within("custom metadata");
  };
  auto document = JsonDocument::parse(json);
  if (document.has_error()) return invalid(document.error());
  auto compact = read_custom_metadata(document->root());
  if (compact.has_error()) return invalid(compact.error());
  if (compact->size() > custom_metadata_bytes_max) {
    return Error(ErrorCode::invalid_argument, "custom metadata: more than 4 MiB");
  }
  return compact;
}

Result<void> check_metrics(const Metrics& metrics) {
  if (metrics.size() > metrics_max) return Error(ErrorCode::invalid_argument, "more than 1000 metrics");
  for (const auto& [name, value] : metrics) {
    if (name.empty() || name.size() > metric_name_bytes_max || !is_valid_utf8(name)) {
      return Error(ErrorCode::invalid_argument, "the name of a metric must be UTF-8 of 1 to 1024 bytes");
    }
  }
  return {};
}

std::string encode_step_record(const StepRecord& record) {
  const bool has_handlers = std::any_of(record.items.begin(), record.items.end(),
                                        [](const ItemRecord& item) { return !item.handler.empty(); });
  std::string out = "\"format\":";
  append_format_version(out, has_handlers || record.save ? 1 : 0);
  out += ",\n\"step\":";
  append_json_integer(out, record.step);
  out += ",\n\"attempt\":";
  append_json_string(out, record.attempt);
  out += ",\n\"world_size\":";
  append_json_integer(out, record.world_size);
  out += ",\n\"init_unix_ns\":";
  append_json_integer(out, record.init_unix_ns);
  out += ",\n\"commit_unix_ns\":";
  append_json_integer(out, record.commit_unix_ns);
  out += ",\n\"metrics\":{";
  for (const auto& [name, value] : record.metrics) {
    if (out.back() != '{') out += ',';
    append_json_string(out, name);
    out += ":\"" + metric_text(value) + "\"";
  }
  out += "},\n\"items\":[";
  for (const ItemRecord& item : record.items) {
    out += out.back() == '[' ? "\n" : ",\n";
    append_item(out, item);
  }
  out += ']';
  if (has_handlers) append_handlers(out, record.items);
  if (record.save) append_save(out, *record.save);
  out += ",\n\"custom_metadata\":";
  out += record.custom_metadata_json;
  out += "}\n";
  return with_digest_line(out);
}

Result<StepRecord> decode_step_record(std::string_view text) { return decode(text, "step record", read_step_record); }

std::string encode_root_record(const RootRecord& record) {
  std::string out = "\"format\":";
  append_format_version(out);
  out += ",\n\"uuid\":";
  append_json_string(out, record.uuid);
  out += ",\n\"created_unix_ns\":";
  append_json_integer(out, record.created_unix_ns);
  out += ",\n\"custom_metadata\":";
  out += record.custom_metadata_json;
  out += "}\n";
  return with_digest_line(out);
}

Result<RootRecord> decode_root_record(std::string_view text) { return decode(text, "root record", read_root_record); }

}  // namespace milepost
