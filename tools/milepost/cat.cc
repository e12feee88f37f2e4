// milepost cat: the values of one leaf.
#include "tools/milepost/blocks.h"
#include "tools/milepost/checkpoint_directory.h"
#include "tools/milepost/commands.h"
#include "tools/milepost/elements.h"
#include "tools/milepost/leaf_index.h"
#include "tools/milepost/terminal.h"
#include "tools/milepost/text.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <cstdio>
#include <functional>

namespace milepost::tool {
namespace {

// Elements read at a time, so that a leaf of any size needs little memory.
constexpr std::uint64_t block_bytes_max = std::uint64_t{64} << 20;

struct FoundLeaf {
  std::string item;
  Leaf leaf;
};

Result<FoundLeaf> find_leaf(StepReader& reader, const CatOptions& options) {
  if (!options.item.empty()) MILEPOST_TRY(reader.manifest(options.item));
  std::vector<FoundLeaf> found;
  std::string below;  // a leaf below the path, where that is no leaf itself
  for (const ItemRecord& item : reader.record().items) {
    if (!options.item.empty() && item.name != options.item) continue;
    MILEPOST_ASSIGN(const Manifest* manifest, reader.manifest(item.name));
    const Tree* node = manifest->tree.find(options.path);
    if (node == nullptr) continue;
    for (Leaf& leaf : leaves_of(*manifest)) {
      if (!node->is_leaf()) {
        if (below.empty() && path_matches(options.path, leaf.path)) below = leaf.path;
      } else if (leaf.value == node) {
        found.push_back({item.name, std::move(leaf)});
      }
    }
  }
  if (found.size() == 1) return std::move(found.front());
  if (found.size() > 1) {
    std::string names;
    for (const FoundLeaf& candidate : found) names += (names.empty() ? "" : ", ") + candidate.item;
    return Error(ErrorCode::invalid_argument, options.path + " is in several items: choose one with --item: " + names);
  }
  if (!below.empty()) {
    return Error(ErrorCode::invalid_argument, options.path + " holds other leaves: name one, such as " + below);
  }
  return Error(ErrorCode::not_found, "step " + std::to_string(reader.record().step) + " has no leaf " + options.path +
                                         "; milepost show lists them");
}

// Reads the first `elements` elements of a stored leaf, in order, some at a time, and gives each
// part, packed, to `take`; the last may hold more than was asked for.
Result<void> read_elements(StepReader& reader, const FoundLeaf& found, std::int64_t elements,
                           const std::function<void(const Tensor&)>& take) {
  const StoredLeaf& stored = *found.leaf.stored;
  const auto read = [&](std::vector<LeafSlice> slices) -> Result<void> {
    RestoreItem item = {.name = found.item, .target = {}, .select = {}, .slices = std::move(slices)};
    // A pattern, to restore(); an exact match is picked below, should a name hold a wildcard.
    item.select = {found.leaf.path};
    MILEPOST_ASSIGN(Restored restored, reader.restore({.items = {std::move(item)}}));
    const Tree* leaf = restored.tree().find(found.leaf.path);
    if (leaf == nullptr) return Error(ErrorCode::internal, found.leaf.path + " was not restored");
    if (const auto* tensor = leaf->get_if<Tensor>()) {
      take(*tensor);
    } else if (const auto* text = leaf->get_if<std::string>()) {
      take(Tensor::of(reinterpret_cast<const std::uint8_t*>(text->data()), {static_cast<std::int64_t>(text->size())}));
    } else if (const auto* bytes = leaf->get_if<Tree::Bytes>()) {
      take(
          Tensor::of(reinterpret_cast<const std::uint8_t*>(bytes->data()), {static_cast<std::int64_t>(bytes->size())}));
    }
    return {};
  };

  const std::int64_t total = element_count(stored.shape).value_or(0);
  if (total == 0) return {};
  const auto block_max = static_cast<std::int64_t>(block_bytes_max * 8) / bits_of(stored.dtype);
  if (stored.stored_as != StoredAs::tensor || !is_byte_sized(stored.dtype) || total <= std::min(elements, block_max)) {
    return read({});
  }
  for (const Block& block : leading_blocks(stored.shape, elements, block_max)) {
    MILEPOST_TRY(read({{.path = found.leaf.path, .start = block.start, .extent = block.extent}}));
  }
  return {};
}

std::string heading(const FoundLeaf& found) {
  std::string text = found.item + ": " + found.leaf.path;
  text = coloured(Colour::bold, printable(text)) + "  " + type_name(found.leaf);
  if (found.leaf.stored != nullptr && found.leaf.stored->stored_as == StoredAs::tensor) {
    text += to_string(found.leaf.stored->shape);
  }
  return text + "  " + human_bytes(found.leaf.bytes) + "\n";
}

Json heading_json(const StepReader& reader, const FoundLeaf& found) {
  Json document = {
      {"step", reader.record().step}, {"item", found.item}, {"path", found.leaf.path}, {"type", type_name(found.leaf)}};
  if (found.leaf.stored != nullptr && found.leaf.stored->stored_as == StoredAs::tensor) {
    document["shape"] = found.leaf.stored->shape;
  }
  document["bytes"] = found.leaf.bytes;
  return document;
}

// "[3, 0, 8]": of the element at a row-major position.
std::string index_text(const Shape& shape, std::int64_t position) {
  const Strides strides = contiguous_strides(shape);
  Shape index(shape.size());
  for (std::size_t d = 0; d < shape.size(); ++d) index[d] = position / strides[d] % shape[d];
  return to_string(index);
}

// Aligned values, the index of the first at the head of each line; a new line for each row.
std::string values_text(const Shape& shape, const std::vector<std::string>& values) {
  std::size_t width = 0;
  for (const std::string& value : values) width = std::max(width, value.size());
  const auto last = static_cast<std::int64_t>(values.size());
  const std::int64_t row = shape.empty() ? 1 : shape.back();
  const std::size_t index_width = shape.empty() || last == 0 ? 0 : index_text(shape, last - 1).size() + 1;
  const std::size_t columns = terminal_columns() > 0 ? terminal_columns() : 100;
  const std::size_t room = columns > index_width ? columns - index_width : 0;
  std::int64_t line = 1;  // values on a line: a power of two, so that lines begin at round indices
  while (line < 16 && 2 * static_cast<std::size_t>(line) * (width + 2) <= room) line *= 2;

  std::string text;
  for (std::int64_t at = 0; at < last;) {
    std::string index = shape.empty() ? "" : index_text(shape, at);
    const std::size_t used = index.size();
    text += coloured(Colour::dim, index) + std::string(index_width - std::min(index_width, used), ' ');
    const std::int64_t row_end = at - at % row + row;
    const std::int64_t end = std::min({at + line, row_end, last});
    for (; at < end; ++at) {
      const std::string& value = values[static_cast<std::size_t>(at)];
      text += std::string((index_width > 0 ? 2 : 0) + (last > 1 ? width - value.size() : 0), ' ') + value;
    }
    text += '\n';
  }
  return text;
}

// "00000010  61 62 63 ..."
std::string hex_dump(const std::byte* data, std::size_t size) {
  std::string text;
  char part[24];
  for (std::size_t i = 0; i < size; ++i) {
    if (i % 16 == 0) {
      std::snprintf(part, sizeof part, "%s%08zx ", i > 0 ? "\n" : "", i);
      text += part;
    }
    std::snprintf(part, sizeof part, " %02x", std::to_integer<unsigned>(data[i]));
    text += part;
  }
  return text + "\n";
}

std::string base16(const std::byte* data, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(data[i]) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(data[i]) & 15];
  }
  return text;
}

void write_out(const void* data, std::size_t size) { std::fwrite(data, 1, size, stdout); }

// All bytes of a leaf that is a string or bytes, wherever they lie.
Result<std::vector<std::byte>> read_bytes(StepReader& reader, const FoundLeaf& found) {
  std::vector<std::byte> result;
  if (found.leaf.stored != nullptr) {
    MILEPOST_TRY(read_elements(
        reader, found, element_count(found.leaf.stored->shape).value_or(0),
        [&](const Tensor& part) { result.insert(result.end(), part.data(), part.data() + part.byte_count()); }));
  } else if (const auto* text = found.leaf.value->get_if<std::string>()) {
    const auto* data = reinterpret_cast<const std::byte*>(text->data());
    result.assign(data, data + text->size());
  } else if (const auto* bytes = found.leaf.value->get_if<Tree::Bytes>()) {
    result = *bytes;
  }
  return result;
}

Result<int> cat_text_or_bytes(StepReader& reader, const FoundLeaf& found, const CommonOptions& common,
                              const CatOptions& options) {
  MILEPOST_ASSIGN(std::vector<std::byte> bytes, read_bytes(reader, found));
  if (options.raw) {
    write_out(bytes.data(), bytes.size());
    return status_ok;
  }
  const bool is_string = type_name(found.leaf).starts_with("string");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (common.json) {
    Json document = heading_json(reader, found);
    document[is_string ? "value" : "value_hex"] = is_string ? std::string(text) : base16(bytes.data(), bytes.size());
    print_json(document);
  } else if (is_string) {
    std::printf("%s\n", printable(text).c_str());
  } else {
    const std::size_t shown =
        options.limit == 0 ? bytes.size() : std::min(bytes.size(), static_cast<std::size_t>(options.limit));
    std::fputs((heading(found) + hex_dump(bytes.data(), shown)).c_str(), stdout);
    if (shown < bytes.size()) std::printf("%zu bytes more; --limit 0 shows all\n", bytes.size() - shown);
  }
  return status_ok;
}

Result<int> cat_scalar(const StepReader& reader, const FoundLeaf& found, const CommonOptions& common) {
  const Tree& leaf = *found.leaf.value;
  Json document = heading_json(reader, found);
  std::string text = "null";
  document["value"] = nullptr;
  if (const auto* value = leaf.get_if<bool>()) {
    text = *value ? "true" : "false";
    document["value"] = *value;
  } else if (const auto* value_signed = leaf.get_if<std::int64_t>()) {
    text = std::to_string(*value_signed);
    document["value"] = *value_signed;
  } else if (const auto* value_unsigned = leaf.get_if<std::uint64_t>()) {
    text = std::to_string(*value_unsigned);
    document["value"] = *value_unsigned;
  } else if (const auto* number = leaf.get_if<double>()) {
    text = shortest(*number);
    document["value"] = json_number(*number);
  }
  if (common.json) {
    print_json(document);
  } else {
    std::printf("%s\n", text.c_str());
  }
  return status_ok;
}

Result<int> cat_raw(StepReader& reader, const FoundLeaf& found) {
  ProgressBar bar(found.leaf.path);
  std::uint64_t done = 0;
  MILEPOST_TRY(
      read_elements(reader, found, element_count(found.leaf.stored->shape).value_or(0), [&](const Tensor& part) {
        write_out(part.data(), part.byte_count());
        done += part.byte_count();
        bar.show(done, found.leaf.bytes);
      }));
  return status_ok;
}

Result<int> cat_stats(StepReader& reader, const FoundLeaf& found, const CommonOptions& common) {
  const StoredLeaf& stored = *found.leaf.stored;
  Statistics statistics(stored.dtype);
  {
    ProgressBar bar(found.leaf.path);
    std::uint64_t done = 0;
    MILEPOST_TRY(read_elements(reader, found, element_count(stored.shape).value_or(0), [&](const Tensor& part) {
      statistics.add(part.data(), part.element_count());
      done += part.byte_count();
      bar.show(done, found.leaf.bytes);
    }));
  }
  const bool any = statistics.finite() > 0;
  if (common.json) {
    Json document = heading_json(reader, found);
    document["stats"] = {{"count", statistics.count()},
                         {"min", any ? statistics.min_json() : Json(nullptr)},
                         {"max", any ? statistics.max_json() : Json(nullptr)},
                         {"mean", any ? json_number(statistics.mean()) : Json(nullptr)},
                         {"std", any ? json_number(statistics.standard_deviation()) : Json(nullptr)},
                         {"zeros", statistics.zeros()},
                         {"nan", statistics.nans()},
                         {"inf", statistics.infinities()}};
    print_json(document);
    return status_ok;
  }
  const auto count_cell = [&](std::int64_t count, Colour colour) -> Table::Cell {
    if (count == 0) return {"0"};
    char part[32];
    std::snprintf(part, sizeof part, " (%.3g %%)",
                  100.0 * static_cast<double>(count) / static_cast<double>(statistics.count()));
    return {std::to_string(count) + part, colour};
  };
  const auto number = [&](double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.7g", value);
    return Table::Cell{any ? text : "-"};
  };
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add({{"count"}, {std::to_string(statistics.count())}});
  table.add({{"min"}, {any ? statistics.min_text() : "-"}});
  table.add({{"max"}, {any ? statistics.max_text() : "-"}});
  table.add({{"mean"}, number(statistics.mean())});
  table.add({{"std"}, number(statistics.standard_deviation())});
  table.add({{"zeros"}, count_cell(statistics.zeros(), Colour::plain)});
  table.add({{"nan"}, count_cell(statistics.nans(), Colour::red)});
  table.add({{"inf"}, count_cell(statistics.infinities(), Colour::red)});
  std::fputs((heading(found) + table.to_string()).c_str(), stdout);
  return status_ok;
}

Result<int> cat_values(StepReader& reader, const FoundLeaf& found, const CommonOptions& common,
                       const CatOptions& options) {
  const StoredLeaf& stored = *found.leaf.stored;
  const std::int64_t total = element_count(stored.shape).value_or(0);
  const std::int64_t limit = options.limit == 0 ? total : std::min(total, options.limit);
  std::vector<std::string> texts;
  Json values = Json::array();
  std::int64_t seen = 0;
  MILEPOST_TRY(read_elements(reader, found, limit, [&](const Tensor& part) {
    for (std::int64_t i = 0; i < part.element_count() && seen < limit; ++i, ++seen) {
      if (common.json) {
        values.push_back(element_json(stored.dtype, part.data(), i));
      } else {
        texts.push_back(element_text(stored.dtype, part.data(), i));
      }
    }
  }));
  if (common.json) {
    Json document = heading_json(reader, found);
    document["truncated"] = limit < total;
    document["values"] = std::move(values);
    print_json(document);
    return status_ok;
  }
  std::fputs((heading(found) + values_text(stored.shape, texts)).c_str(), stdout);
  if (limit < total) {
    const std::string more = std::to_string(total - limit) + " elements more; --limit 0 shows all, --stats sums up";
    std::printf("%s\n", coloured(Colour::dim, more).c_str());
  }
  return status_ok;
}

}  // namespace

Result<int> run_cat(const CommonOptions& common, const CatOptions& options) {
  if (options.raw && stdout_is_terminal()) {
    return Error(ErrorCode::invalid_argument, "--raw writes bytes that are no text: send them to a file or a pipe");
  }
  MILEPOST_ASSIGN(CheckpointDirectory directory, CheckpointDirectory::open(common.directory, common.prefix));
  MILEPOST_ASSIGN(const std::int64_t step, directory.find_step(options.step));
  MILEPOST_ASSIGN(StepReader reader, directory.open_step(step));
  MILEPOST_ASSIGN(const FoundLeaf found, find_leaf(reader, options));
  const bool is_tensor = found.leaf.stored != nullptr && found.leaf.stored->stored_as == StoredAs::tensor;
  if (!is_tensor) {
    const bool is_text = found.leaf.stored != nullptr || found.leaf.value->get_if<std::string>() != nullptr ||
                         found.leaf.value->get_if<Tree::Bytes>() != nullptr;
    if (options.stats || (options.raw && !is_text)) {
      return Error(ErrorCode::invalid_argument, options.path + " is no tensor but " + type_name(found.leaf));
    }
    if (is_text) return cat_text_or_bytes(reader, found, common, options);
    return cat_scalar(reader, found, common);
  }
  if (options.raw) return cat_raw(reader, found);
  if (options.stats) return cat_stats(reader, found, common);
  return cat_values(reader, found, common, options);
}

}  // namespace milepost::tool
