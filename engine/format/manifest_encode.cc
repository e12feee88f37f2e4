#include "milepost/engine/format/format_version.h"
#include "milepost/engine/format/json_writer.h"
#include "milepost/engine/format/leaf_text.h"
#include "milepost/engine/format/manifest.h"

#include <algorithm>

namespace milepost {
namespace {

void append_tree(std::string& out, const Tree& node) {
  if (const auto* map = node.get_if<Tree::Map>()) {
    out += '{';
    bool first = true;
    for (const auto& [key, child] : *map) {
      if (!first) out += ',';
      first = false;
      append_json_string(out, key);
      out += ':';
      append_tree(out, child);
    }
    out += '}';
  } else if (const auto* list = node.get_if<Tree::List>()) {
    out += '[';
    bool first = true;
    for (const Tree& child : *list) {
      if (!first) out += ',';
      first = false;
      append_tree(out, child);
    }
    out += ']';
  } else {
    append_leaf_text(out, node);
  }
}

void append_shape(std::string& out, const Shape& shape) {
  out += '[';
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ',';
    append_json_integer(out, shape[i]);
  }
  out += ']';
}

bool is_whole(const Shard& shard, const StoredLeaf& leaf) {
  return shard.extent == leaf.shape &&
         std::all_of(shard.start.begin(), shard.start.end(), [](auto s) { return s == 0; });
}

void append_leaf(std::string& out, const StoredLeaf& leaf) {
  out += "[\"";
  out += leaf.stored_as == StoredAs::string  ? "string"
         : leaf.stored_as == StoredAs::bytes ? "bytes"
                                             : name_of(leaf.dtype);
  out += "\",";
  append_shape(out, leaf.shape);
  out += ",[";
  bool first = true;
  for (const Shard& shard : leaf.shards) {
    if (!first) out += ',';
    first = false;
    out += '[';
    append_json_integer(out, shard.stream);
    out += ',';
    append_json_integer(out, shard.offset);
    if (!is_whole(shard, leaf)) {
      out += ',';
      append_shape(out, shard.start);
      out += ',';
      append_shape(out, shard.extent);
    }
    out += ']';
  }
  out += "]]";
}

void append_stream(std::string& out, const Stream& stream) {
  out += '{';
  append_json_field(out, "rank", stream.rank);
  append_json_field(out, "raw_bytes", stream.raw_bytes);
  append_json_field(out, "data_file", stream.data_file);
  append_json_field(out, "data_file_bytes", stream.data_file_bytes);
  append_json_field(out, "data_offset", stream.data_offset);
  append_json_field(out, "table_file", stream.table_file);
  append_json_field(out, "chunk_count", stream.chunk_count);
  append_json_field(out, "table_digest", stream.table_digest.hex());
  out += '}';
}

// Each element on a line of its own.
template <class Range, class Function> void append_lines(std::string& out, const Range& range, const Function& append) {
  out += '[';
  bool first = true;
  for (const auto& element : range) {
    out += first ? "\n" : ",\n";
    first = false;
    append(out, element);
  }
  out += ']';
}

}  // namespace

std::string encode_manifest(const Manifest& manifest) {
  std::string out;
  out.reserve(1024 + 256 * manifest.leaves.size());  // pages never touched cost nothing
  out += "{\"format\":";
  append_format_version(out);
  out += ",\n\"step\":";
  append_json_integer(out, manifest.step);
  out += ",\n\"item\":";
  append_json_string(out, manifest.item);
  out += ",\n\"attempt\":";
  append_json_string(out, manifest.attempt);
  out += ",\n\"codec\":";
  append_json_string(out, manifest.codec);
  out += ",\n\"streams\":";
  append_lines(out, manifest.streams, append_stream);
  out += ",\n\"tree\":";
  append_tree(out, manifest.tree);
  out += ",\n\"leaves\":";
  append_lines(out, manifest.leaves, append_leaf);
  out += "}\n";
  return out;
}

}  // namespace milepost
