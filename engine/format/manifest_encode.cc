#include "milepost/engine/format/format_version.h"
#include "milepost/engine/format/json_writer.h"
#include "milepost/engine/format/leaf_text.h"
#include "milepost/engine/format/manifest.h"

#include <algorithm>
#include <utility>

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

// A rectangle that is as large as the tensor begins at its first element.
bool is_whole(const Shard& shard, const StoredLeaf& leaf) { return shard.is_whole() || shard.extent == leaf.shape; }

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

// An array with each element on a line of its own.
class Lines {
 public:
  explicit Lines(std::string& out) : out_(out) { out_ += '['; }
  std::string& next() {
    out_ += std::exchange(first_, false) ? "\n" : ",\n";
    return out_;
  }
  void end() { out_ += ']'; }

 private:
  std::string& out_;
  bool first_ = true;
};

}  // namespace

bool is_stored(const Tree& leaf) {
  if (leaf.get_if<Tensor>()) return true;
  if (const auto* text = leaf.get_if<std::string>()) return text->size() > inline_bytes_max;
  const auto* bytes = leaf.get_if<Tree::Bytes>();
  return bytes && bytes->size() > inline_bytes_max;
}

std::vector<std::string> paths_of_stored_leaves(const Tree& tree) {
  std::vector<std::string> paths;
  for_each_leaf(tree, [&](const std::string& path, const Tree& leaf) {
    if (is_stored(leaf)) paths.push_back(path);
  });
  return paths;
}

StoredLeaves StoredLeaves::of(const std::vector<StoredLeaf>& list) {
  return {list.size(), [&list](std::size_t i, const Tree&, StoredLeaf& leaf) { leaf = list[i]; }};
}

std::string encode_manifest(const Manifest& manifest) {
  return encode_manifest(manifest, manifest.tree, StoredLeaves::of(manifest.leaves));
}

std::string encode_manifest(const Manifest& manifest, const Tree& tree, const StoredLeaves& leaves) {
  std::string out;
  // Pages never touched cost nothing. What is larger than 32 MiB malloc always maps, and gives back when it is freed.
  constexpr std::size_t always_mapped = std::size_t{33} << 20;
  const std::size_t estimate = 1024 + 128 * leaves.count;
  out.reserve(estimate < (std::size_t{1} << 20) ? estimate : std::max(estimate, always_mapped));
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
  Lines stream_lines(out);
  for (const Stream& stream : manifest.streams) append_stream(stream_lines.next(), stream);
  stream_lines.end();
  out += ",\n\"tree\":";
  append_tree(out, tree);
  out += ",\n\"leaves\":";
  Lines leaf_lines(out);
  StoredLeaf leaf;
  std::size_t stored = 0;
  visit_leaves(tree, [&](const Tree& node) {
    if (!is_stored(node)) return;
    leaves.describe(stored++, node, leaf);
    append_leaf(leaf_lines.next(), leaf);
  });
  leaf_lines.end();
  out += "}\n";
  return out;
}

}  // namespace milepost
