#include "milepost/engine/format/chunk_table.h"
#include "milepost/engine/format/format_version.h"
#include "milepost/engine/format/leaf_text.h"
#include "milepost/engine/format/manifest.h"
#include "milepost/engine/format/names.h"
#include "milepost/engine/format/shard_check.h"
#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

#include <algorithm>

namespace milepost {
namespace {

constexpr std::uint64_t bytes_max = std::uint64_t{1} << 62;  // of a file or stream: sums of two never overflow

Error not_a(std::string_view expected, JsonValue found) {
  return corrupt("expected " + std::string(expected) + ", found " + found.describe());
}

Result<Stream> read_stream(JsonValue value, std::size_t index) {
  MILEPOST_ASSIGN(JsonFields fields, JsonFields::of(value, "streams[" + std::to_string(index) + "]"));
  Stream stream;
  MILEPOST_ASSIGN(stream.rank, fields.u32("rank"));
  MILEPOST_ASSIGN(stream.raw_bytes, fields.u64("raw_bytes", bytes_max));
  MILEPOST_ASSIGN(stream.data_file, fields.string("data_file", name_bytes_max));
  MILEPOST_ASSIGN(stream.data_file_bytes, fields.u64("data_file_bytes", bytes_max));
  MILEPOST_ASSIGN(stream.data_offset, fields.u64("data_offset", bytes_max));
  MILEPOST_ASSIGN(stream.table_file, fields.string("table_file", name_bytes_max));
  MILEPOST_ASSIGN(stream.chunk_count, fields.u64("chunk_count", bytes_max / 64));
  MILEPOST_ASSIGN(stream.table_digest, fields.digest("table_digest"));
  MILEPOST_TRY(fields.finish());
  for (const std::string& name : {stream.data_file, stream.table_file}) {
    if (!is_file_name(name)) return fields.fail("not the name of a file beside the manifest");
  }
  if (stream.data_offset > stream.data_file_bytes) return fields.fail("data_offset is beyond the end of the data file");
  // Chunks hold 1 to chunk_bytes_max bytes each.
  if (stream.chunk_count > stream.raw_bytes ||
      stream.chunk_count < stream.raw_bytes / chunk_bytes_max + (stream.raw_bytes % chunk_bytes_max != 0)) {
    return fields.fail("chunk_count " + std::to_string(stream.chunk_count) + " does not fit " +
                       std::to_string(stream.raw_bytes) + " raw bytes");
  }
  return stream;
}

Result<std::vector<Stream>> read_streams(JsonValue array) {
  std::vector<Stream> streams;
  std::vector<std::string> names{std::string(manifest_name)};
  for (const JsonValue value : array.children()) {
    MILEPOST_ASSIGN(Stream stream, read_stream(value, streams.size()));
    if (!streams.empty() && stream.rank <= streams.back().rank) return corrupt("streams: ranks do not ascend");
    names.push_back(stream.data_file);
    names.push_back(stream.table_file);
    streams.push_back(std::move(stream));
  }
  std::sort(names.begin(), names.end());
  if (std::adjacent_find(names.begin(), names.end()) != names.end()) {
    return corrupt("streams: one file name has two uses");
  }
  return streams;
}

Result<Shape> read_shape(JsonValue value) {
  if (!value.is(JsonKind::array)) return not_a("a shape", value);
  Shape shape;
  for (const JsonValue element : value.children()) {
    const std::optional<std::int64_t> extent = element.as_i64();
    if (!extent || *extent < 0) return not_a("an integer from 0 to 2^63 - 1", element);
    if (shape.size() == tensor_rank_max) return corrupt("more than " + std::to_string(tensor_rank_max) + " dimensions");
    shape.push_back(*extent);
  }
  return shape;
}

// [stream, offset] for a shard that is the whole tensor, or [stream, offset, start, extent].
Result<Shard> read_shard(JsonValue value, const Shape& shape) {
  if (!value.is(JsonKind::array)) return not_a("a shard", value);
  Shard shard;
  std::size_t position = 0;
  for (const JsonValue part : value.children()) {
    if (position < 2) {
      const std::optional<std::uint64_t> number = part.as_u64();
      if (!number) return not_a("an integer from 0 to 2^64 - 1", part);
      if (position == 1) {
        shard.offset = *number;
      } else if (*number > std::numeric_limits<std::uint32_t>::max()) {
        return corrupt("stream " + part.describe() + " does not exist");
      } else {
        shard.stream = static_cast<std::uint32_t>(*number);
      }
    } else if (position < 4) {
      MILEPOST_ASSIGN((position == 2 ? shard.start : shard.extent), read_shape(part));
    }
    ++position;
  }
  if (position != 2 && position != 4) {
    return corrupt("expected a shard of 2 or 4 parts, found " + std::to_string(position));
  }
  // An extent without dimensions is that of a scalar only: everywhere else it would stand for the whole tensor.
  if (position == 4 && shard.is_whole() && !shape.empty())
    return corrupt("another number of dimensions than the tensor");
  return shard;
}

Result<StoredLeaf> read_leaf(JsonValue value) {
  StoredLeaf leaf;
  if (!value.is(JsonKind::array)) return not_a("a leaf", value);
  std::size_t position = 0;
  for (const JsonValue part : value.children()) {
    if (position == 0) {
      const std::string_view name = part.as_string().value_or("");
      const std::optional<DType> dtype = dtype_from_name(name);
      if (dtype) {
        leaf.dtype = *dtype;
      } else if (name == "string" || name == "bytes") {
        leaf.stored_as = name == "string" ? StoredAs::string : StoredAs::bytes;
      } else {
        return not_a("a dtype, \"string\" or \"bytes\"", part);
      }
    } else if (position == 1) {
      MILEPOST_ASSIGN(leaf.shape, read_shape(part));
    } else if (position == 2) {
      if (!part.is(JsonKind::array)) return not_a("an array of shards", part);
      for (const JsonValue shard : part.children()) {
        if (leaf.shards.size() == leaf_shards_max) {
          return corrupt("more than " + std::to_string(leaf_shards_max) + " shards");
        }
        auto read = read_shard(shard, leaf.shape);
        if (read.has_error()) return read.error().within("shard " + std::to_string(leaf.shards.size()));
        leaf.shards.push_back(std::move(*read));
      }
    }
    ++position;
  }
  if (position != 3) return corrupt("expected a leaf of 3 parts, found " + std::to_string(position));
  if (leaf.stored_as != StoredAs::tensor && leaf.shape.size() != 1) {
    return corrupt("a string or bytes with shape " + to_string(leaf.shape));
  }
  return leaf;
}

// Builds the tree, which takes the stored leaves one after the other.
class TreeReader {
 public:
  explicit TreeReader(const std::vector<StoredLeaf>& leaves) : leaves_(leaves) {}

  Result<Tree> read(JsonValue root) {
    auto tree = read_node(root, 0);
    if (tree.has_error()) return tree.error().within(path_.empty() ? "tree" : "tree: " + path_);
    if (next_ != leaves_.size()) {
      return corrupt("tree: holds " + std::to_string(next_) + " stored leaves; leaves: holds " +
                     std::to_string(leaves_.size()));
    }
    return tree;
  }

 private:
  Result<Tree> read_node(JsonValue value, int depth) {
    if (depth > tree_depth_max) return corrupt("nested more than " + std::to_string(tree_depth_max) + " deep");
    switch (value.kind()) {
      case JsonKind::object: return read_map(value, depth);
      case JsonKind::array: return read_list(value, depth);
      case JsonKind::string: break;
      default: return not_a("a map, a list or a leaf", value);
    }
    const std::string_view text = *value.as_string();
    if (text != stored_leaf_text) {
      auto leaf = parse_leaf_text(text);
      if (leaf.has_error()) return not_a("a leaf", value);
      return leaf;
    }
    if (next_ == leaves_.size()) return corrupt("more stored leaves than \"leaves\" holds");
    const StoredLeaf& leaf = leaves_[next_++];
    return Tree(Tensor::abstract(leaf.dtype, leaf.shape));
  }

  Result<Tree> read_map(JsonValue object, int depth) {
    if (!object.has_ascending_keys()) return corrupt("the keys of a map do not ascend");
    Tree::Map map;
    const JsonValue::Children children = object.children();
    for (auto it = children.begin(); it != children.end(); ++it) {
      const std::string_view key = *(*it).as_string();
      ++it;
      if (key.empty() || key.size() > key_bytes_max) return corrupt("a key that is empty or longer than 1024 bytes");
      // Errors are rare: the path to them is found on the way back.
      auto child = read_node(*it, depth + 1);
      if (child.has_error()) return prefix_path(join_path("", key), child.error());
      map.emplace_hint(map.end(), key, std::move(*child));
    }
    return Tree(std::move(map));
  }

  Result<Tree> read_list(JsonValue array, int depth) {
    Tree::List list;
    for (const JsonValue value : array.children()) {
      auto child = read_node(value, depth + 1);
      if (child.has_error()) return prefix_path(std::to_string(list.size()), child.error());
      list.push_back(std::move(*child));
    }
    return Tree(std::move(list));
  }

  Error prefix_path(const std::string& component, Error error) {
    path_ = path_.empty() ? component : component + "/" + path_;
    return error;
  }

  const std::vector<StoredLeaf>& leaves_;
  std::size_t next_ = 0;
  std::string path_;  // of the error
};

Result<std::vector<StoredLeaf>> read_leaves(JsonValue array) {
  std::vector<StoredLeaf> leaves;
  leaves.reserve(array.child_count());
  for (const JsonValue value : array.children()) {
    auto leaf = read_leaf(value);
    if (leaf.has_error()) return leaf.error().within("leaves[" + std::to_string(leaves.size()) + "]");
    leaves.push_back(std::move(*leaf));
  }
  return leaves;
}

Result<void> check_names(const Manifest& manifest) {
  if (auto checked = check_item_name(manifest.item); checked.has_error()) {
    return corrupt("item: " + checked.error().message());
  }
  if (!is_uuid(manifest.attempt)) return corrupt("attempt: not a uuid");
  return {};
}

Result<Manifest> read_manifest(JsonValue root) {
  MILEPOST_ASSIGN(JsonFields fields, JsonFields::of(root, ""));
  MILEPOST_ASSIGN(const bool newer, read_format_version(fields));
  Manifest manifest;
  MILEPOST_ASSIGN(manifest.step, fields.i64("step", 0));
  MILEPOST_ASSIGN(manifest.item, fields.string("item", name_bytes_max));
  MILEPOST_ASSIGN(manifest.attempt, fields.string("attempt", uuid_bytes));
  MILEPOST_ASSIGN(manifest.codec, fields.string("codec", 64));
  MILEPOST_TRY(check_names(manifest));
  MILEPOST_ASSIGN(const JsonValue streams, fields.array("streams"));
  MILEPOST_ASSIGN(manifest.streams, read_streams(streams));
  MILEPOST_ASSIGN(const JsonValue leaves, fields.array("leaves"));
  MILEPOST_ASSIGN(manifest.leaves, read_leaves(leaves));
  MILEPOST_ASSIGN(const JsonValue tree, fields.any("tree"));
  // Before the tree is built, which needs valid shapes; so these errors know no paths yet.
  for (std::size_t i = 0; i < manifest.leaves.size(); ++i) {
    auto checked = check_leaf_shards(manifest.leaves[i], manifest.streams);
    if (checked.has_error()) return checked.error().within("leaves[" + std::to_string(i) + "]");
  }
  MILEPOST_ASSIGN(manifest.tree, TreeReader(manifest.leaves).read(tree));
  MILEPOST_TRY(check_streams_tiled(manifest));
  if (!newer) MILEPOST_TRY(fields.finish());
  return manifest;
}

}  // namespace

Result<Manifest> decode_manifest(std::string_view text) {
  if (text.size() > manifest_bytes_max)
    return corrupt("manifest: larger than " + std::to_string(manifest_bytes_max) + " bytes");
  auto document = JsonDocument::parse(text);
  if (document.has_error()) return document.error().within("manifest");
  auto manifest = read_manifest(document->root());
  if (manifest.has_error()) return manifest.error().within("manifest");
  return manifest;
}

}  // namespace milepost
