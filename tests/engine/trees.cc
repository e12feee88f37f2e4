#include "tests/engine/trees.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>

namespace milepost::testing {
namespace {

// SplitMix64: quick, also where everything is instrumented.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t operator()() {
    std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
  }

 private:
  std::uint64_t state_;
};

template <std::size_t width>
void copy_row(const std::byte* from, std::int64_t stride_bytes, std::int64_t count, std::byte*& out) {
  if (stride_bytes == width) {
    const std::size_t bytes = static_cast<std::size_t>(count) * width;
    std::memcpy(out, from, bytes);
    out += bytes;
    return;
  }
  for (std::int64_t i = 0; i < count; ++i, out += width) std::memcpy(out, from + i * stride_bytes, width);
}

// Floats of a narrow range, noise, or nearly nothing: each codec has to do with each.
void fill(std::vector<std::byte>& memory, DType dtype, std::uint64_t seed) {
  Random random(seed);
  const auto put = [&](auto value, std::size_t at) {
    if (at + sizeof(value) <= memory.size()) std::memcpy(memory.data() + at, &value, sizeof(value));
  };
  switch (seed % 3) {
    case 0:
      for (std::size_t i = 0; i < memory.size(); i += 8) put(static_cast<std::uint64_t>(random()), i);
      break;
    case 1:
      for (std::size_t i = 0; i < memory.size(); i += 4) {
        const float value = static_cast<float>(static_cast<std::int64_t>(random() % 20001) - 10000) * 1e-6F;
        put(dtype == DType::bf16 ? std::bit_cast<std::uint32_t>(value) >> 16 : std::bit_cast<std::uint32_t>(value), i);
      }
      break;
    default:
      for (std::size_t i = 0; i < memory.size(); i += 1 + random() % 64)
        memory[i] = static_cast<std::byte>(random() % 4);
  }
}

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> bytes(size);
  fill(bytes, DType::u8, 3 * seed);
  return bytes;
}

std::string random_text(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  std::string text(size, ' ');
  for (char& c : text) c = static_cast<char>('a' + random() % 26);
  return text;
}

// Byte distance between two elements that are the furthest from each other, one way and the other.
std::pair<std::int64_t, std::int64_t> reach(const Tensor& tensor) {
  std::int64_t low = 0;
  std::int64_t high = 0;
  for (std::size_t d = 0; d < tensor.shape().size(); ++d) {
    const std::int64_t distance = (tensor.shape()[d] - 1) * tensor.strides()[d] * (bits_of(tensor.dtype()) / 8);
    (distance < 0 ? low : high) += distance;
  }
  return {low, high};
}

Tree random_leaf(Random& random) {
  const std::uint64_t seed = random();
  switch (random() % 12) {
    case 0: return Tree();
    case 1: return Tree(random() % 2 == 0);
    case 2: return Tree(static_cast<std::int64_t>(seed));
    case 3: return Tree(static_cast<std::uint64_t>(seed));
    case 4: return Tree(std::bit_cast<double>(static_cast<std::uint64_t>(seed)));
    case 5: return Tree(random_text(random() % 20, seed));
    case 6: return Tree(random_text(4090 + random() % 20, seed));
    case 7: return Tree(random_bytes(random() % 20, seed));
    case 8: return Tree(random_bytes(4090 + random() % 20, seed));
    default: break;
  }
  const auto dtype = static_cast<DType>(random() % dtype_count);
  Shape shape;
  for (std::size_t rank = random() % 4; rank > 0; --rank) shape.push_back(static_cast<std::int64_t>(random() % 9));
  if (!is_byte_sized(dtype)) shape.push_back(static_cast<std::int64_t>(4 * (random() % 5)));
  return make_tensor(dtype, shape, layouts[random() % std::size(layouts)], seed);
}

Tree random_node(Random& random, int depth) {
  const std::uint64_t kind = random() % 10;
  if (depth >= 4 || kind < 4) return random_leaf(random);
  const std::size_t size = random() % 5;
  if (kind < 7) {
    Tree::List list;
    for (std::size_t i = 0; i < size; ++i) list.push_back(random_node(random, depth + 1));
    return list;
  }
  static constexpr const char* keys[] = {"a", "b/c", "~", "0", "weights", "\xC3\xA9", "a b", "\"\\", ".."};
  Tree::Map map;
  for (std::size_t i = 0; i < size; ++i) map[keys[random() % std::size(keys)]] = random_node(random, depth + 1);
  return map;
}

std::string difference_at(const std::string& path, const Tree& expected, const Tree& found) {
  const auto differ = [&](const std::string& how) { return (path.empty() ? "(root)" : path) + ": " + how; };
  if (expected.value().index() != found.value().index())
    return differ(expected.describe() + " became " + found.describe());
  if (const auto* map = expected.get_if<Tree::Map>()) {
    const auto& other = *found.get_if<Tree::Map>();
    if (map->size() != other.size()) return differ("a map of another size");
    for (const auto& [key, child] : *map) {
      const auto it = other.find(key);
      if (it == other.end()) return differ("has no " + key);
      if (auto text = difference_at(join_path(path, key), child, it->second); !text.empty()) return text;
    }
    return "";
  }
  if (const auto* list = expected.get_if<Tree::List>()) {
    const auto& other = *found.get_if<Tree::List>();
    if (list->size() != other.size()) return differ("a list of another size");
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (auto text = difference_at(join_path(path, i), (*list)[i], other[i]); !text.empty()) return text;
    }
    return "";
  }
  if (const auto* tensor = expected.get_if<Tensor>()) {
    const auto& other = *found.get_if<Tensor>();
    if (tensor->dtype() != other.dtype() || tensor->shape() != other.shape()) {
      return differ(expected.describe() + " became " + found.describe());
    }
    if (tensor->is_abstract() != other.is_abstract()) return differ("has no memory");
    if (tensor->is_abstract()) return "";
    const auto a = packed(*tensor);
    const auto b = packed(other);
    // Sanitizers look at each byte that std::mismatch reads.
    if (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0) return "";
    const auto at = std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin();
    return differ(expected.describe() + " differs at byte " + std::to_string(at));
  }
  if (const auto* value = expected.get_if<double>()) {
    const bool same = std::bit_cast<std::uint64_t>(*value) == std::bit_cast<std::uint64_t>(*found.get_if<double>());
    return same ? "" : differ("another double");
  }
  const bool same =
      (!expected.get_if<bool>() || *expected.get_if<bool>() == *found.get_if<bool>()) &&
      (!expected.get_if<std::int64_t>() || *expected.get_if<std::int64_t>() == *found.get_if<std::int64_t>()) &&
      (!expected.get_if<std::uint64_t>() || *expected.get_if<std::uint64_t>() == *found.get_if<std::uint64_t>()) &&
      (!expected.get_if<std::string>() || *expected.get_if<std::string>() == *found.get_if<std::string>()) &&
      (!expected.get_if<Tree::Bytes>() || *expected.get_if<Tree::Bytes>() == *found.get_if<Tree::Bytes>());
  return same ? "" : differ("another " + expected.describe());
}

}  // namespace

Tensor make_tensor(DType dtype, const Shape& shape, Layout layout, std::uint64_t seed) {
  const auto bytes = packed_bytes(dtype, shape);
  if (!is_byte_sized(dtype) || layout == Layout::packed || shape.empty() || bytes == 0u) {
    auto memory = std::make_shared<std::vector<std::byte>>(bytes.value());
    fill(*memory, dtype, seed);
    return Tensor::owning(memory, memory->data(), dtype, shape);
  }
  const std::int64_t gap = layout == Layout::sliced ? 2 : 1;
  Strides strides(shape.size());
  std::int64_t elements = gap;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t d = layout == Layout::transposed ? i : shape.size() - 1 - i;
    strides[d] = elements;
    elements *= shape[d] + (gap - 1);
  }
  std::int64_t first = 0;
  if (layout == Layout::broadcast) strides[0] = 0;
  if (layout == Layout::reversed) {
    for (std::size_t d = 0; d < shape.size(); ++d) {
      first += (shape[d] - 1) * strides[d];
      strides[d] = -strides[d];
    }
  }
  const std::int64_t width = bits_of(dtype) / 8;
  auto memory = std::make_shared<std::vector<std::byte>>(elements * width);
  fill(*memory, dtype, seed);
  return Tensor::owning(memory, memory->data() + first * width, dtype, shape, strides);
}

std::vector<std::byte> packed(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.byte_count());
  if (bytes.empty()) return bytes;
  if (!is_byte_sized(tensor.dtype())) {
    std::memcpy(bytes.data(), tensor.data(), bytes.size());
    return bytes;
  }
  const std::int64_t width = bits_of(tensor.dtype()) / 8;
  const std::size_t rows =
      tensor.shape().empty() ? 0 : tensor.shape().size() - 1;  // dimensions counted outside of a row
  const std::int64_t count = tensor.shape().empty() ? 1 : tensor.shape().back();
  const std::int64_t stride = tensor.shape().empty() ? 0 : tensor.strides().back() * width;
  Shape index(rows, 0);
  for (std::byte* out = bytes.data(); out != bytes.data() + bytes.size();) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < rows; ++d) at += index[d] * tensor.strides()[d] * width;
    const std::byte* from = tensor.data() + at;
    switch (width) {
      case 1: copy_row<1>(from, stride, count, out); break;
      case 2: copy_row<2>(from, stride, count, out); break;
      case 4: copy_row<4>(from, stride, count, out); break;
      default: copy_row<8>(from, stride, count, out);
    }
    for (std::size_t d = rows; d-- > 0 && ++index[d] == tensor.shape()[d];) index[d] = 0;
  }
  return bytes;
}

std::string difference(const Tree& expected, const Tree& found) { return difference_at("", expected, found); }

Tree deep_copy(const Tree& tree) {
  Tree copy = tree;
  for_each_leaf(copy, [](const std::string&, Tree& leaf) {
    const auto* tensor = leaf.get_if<Tensor>();
    if (!tensor) return;
    auto memory = std::make_shared<std::vector<std::byte>>(packed(*tensor));
    leaf = Tensor::owning(memory, memory->data(), tensor->dtype(), tensor->shape());
  });
  return copy;
}

void scribble(const Tree& tree) {
  for_each_leaf(tree, [](const std::string&, const Tree& leaf) {
    const auto* tensor = leaf.get_if<Tensor>();
    if (!tensor || tensor->byte_count() == 0) return;
    if (tensor->is_contiguous()) {
      std::memset(tensor->data(), 0xA5, tensor->byte_count());
    } else {
      const auto [low, high] = reach(*tensor);
      std::memset(tensor->data() + low, 0xA5, static_cast<std::size_t>(high - low + bits_of(tensor->dtype()) / 8));
    }
  });
}

Tree target_like(const Tree& tree, Layout layout) {
  Tree target = tree;
  for_each_leaf(target, [&](const std::string&, Tree& leaf) {
    if (const auto* tensor = leaf.get_if<Tensor>()) {
      leaf = make_tensor(tensor->dtype(), tensor->shape(), layout, 0);
      scribble(leaf);
    }
    if (auto* value = leaf.get_if<std::int64_t>()) *value = ~*value;
    if (auto* text = leaf.get_if<std::string>()) *text = "another";
    if (auto* bytes = leaf.get_if<Tree::Bytes>()) bytes->assign(1, std::byte{1});
  });
  return target;
}

Tree abstract_like(const Tree& tree) {
  Tree target = tree;
  for_each_leaf(target, [](const std::string&, Tree& leaf) {
    if (const auto* tensor = leaf.get_if<Tensor>()) leaf = Tensor::abstract(tensor->dtype(), tensor->shape());
  });
  return target;
}

Tree random_tree(std::uint64_t seed) {
  Random random(seed);
  return random_node(random, 0);
}

Tree full_tree(std::uint64_t seed) {
  Tree tree;
  for (int i = 0; i < dtype_count; ++i) {
    const auto dtype = static_cast<DType>(i);
    Tree& of_dtype = tree[name_of(dtype)];
    for (const Layout layout : layouts) {
      of_dtype[std::to_string(static_cast<int>(layout))] = make_tensor(
          dtype, {5, 3, 4}, layout, seed + static_cast<std::uint64_t>(3 * i) + static_cast<std::uint64_t>(layout));
    }
    of_dtype["empty"] = make_tensor(dtype, {2, 0, 4}, Layout::packed, seed);
    of_dtype["none"] = make_tensor(dtype, {0}, Layout::packed, seed);
    if (is_byte_sized(dtype)) of_dtype["scalar"] = make_tensor(dtype, {}, Layout::packed, seed + 7);
  }
  tree["large"] = make_tensor(DType::f32, {300, 1000}, Layout::packed, 3 * seed + 1);
  tree["large transposed"] = make_tensor(DType::bf16, {600, 500}, Layout::transposed, 3 * seed + 1);
  Tree& values = tree["values"];
  values["null"] = Tree();
  values["true"] = true;
  values["int"] = std::int64_t{-1} << 63;
  values["uint"] = ~std::uint64_t{0};
  values["double"] = -0.0;
  values["nan"] = std::bit_cast<double>(std::uint64_t{0x7ff8000000000001});
  values["text"] = "\xC3\xA9 \"\\\n";
  values["no text"] = "";
  values["long text"] = random_text(10000, seed);
  values["longest inline"] = random_text(4096, seed);
  values["shortest stored"] = random_text(4097, seed);
  values["bytes"] = random_bytes(9, seed);
  values["no bytes"] = Tree::Bytes();
  values["long bytes"] = random_bytes(5000, seed);
  values["empty map"] = Tree::map();
  values["empty list"] = Tree::list();
  values["a/b~c"] = Tree::list({1, Tree::list({2, Tree::list()}), Tree::map({{"~1", 3}})});
  return tree;
}

Tree small_tree(std::uint64_t seed) {
  Tree tree;
  tree["w"] = make_tensor(DType::f32, {16, 10}, Layout::packed, 3 * seed + 1);
  tree["n"] = make_tensor(DType::i64, {7, 3}, Layout::transposed, 3 * seed);
  tree["step"] = static_cast<std::int64_t>(seed);
  tree["text"] = random_text(4200, seed);
  return tree;
}

}  // namespace milepost::testing
