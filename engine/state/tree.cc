#include "milepost/engine/state/tree.h"

#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

#include <charconv>
#include <stdexcept>

namespace milepost {
namespace {

// Of a tensor to be saved, in bytes: a view that repeats one element may claim to be larger, and so would its index be.
constexpr std::uint64_t state_bytes_max = std::uint64_t{1} << 44;

void append_escaped(std::string& path, std::string_view key) {
  while (true) {
    const std::size_t special = key.find_first_of("~/");
    path += key.substr(0, special);
    if (special == std::string_view::npos) return;
    path += key[special] == '~' ? "~0" : "~1";
    key.remove_prefix(special + 1);
  }
}

void append_index(std::string& path, std::size_t index) {
  char digits[20];
  path.append(digits, std::to_chars(digits, digits + sizeof(digits), index).ptr);
}

// Undoes append_escaped.
std::optional<std::string> unescape(std::string_view component) {
  std::string key;
  key.reserve(component.size());
  for (std::size_t i = 0; i < component.size(); ++i) {
    if (component[i] != '~') {
      key += component[i];
      continue;
    }
    if (++i == component.size() || (component[i] != '0' && component[i] != '1')) return std::nullopt;
    key += component[i] == '0' ? '~' : '/';
  }
  return key;
}

std::optional<std::size_t> parse_index(std::string_view component) {
  std::size_t index = 0;
  const char* const end = component.data() + component.size();
  const auto [ptr, error] = std::from_chars(component.data(), end, index);
  if (error != std::errc() || ptr != end || (component.size() > 1 && component[0] == '0')) return std::nullopt;
  return index;
}

const Tree* child_of(const Tree& node, std::string_view component) {
  if (const auto* map = node.get_if<Tree::Map>()) {
    const std::optional<std::string> key = unescape(component);
    if (!key) return nullptr;
    const auto it = map->find(*key);
    return it == map->end() ? nullptr : &it->second;
  }
  if (const auto* list = node.get_if<Tree::List>()) {
    const std::optional<std::size_t> index = parse_index(component);
    return index && *index < list->size() ? &(*list)[*index] : nullptr;
  }
  return nullptr;
}

// One path string grows and shrinks on the way through the whole tree.
template <class Node, class Function> void walk(Node& node, std::string& path, int depth, const Function& fn) {
  if (depth > tree_depth_max) return;
  const std::size_t path_bytes = path.size();
  if (auto* map = node.template get_if<Tree::Map>()) {
    for (auto& [key, child] : *map) {
      if (depth > 0) path += '/';
      append_escaped(path, key);
      walk(child, path, depth + 1, fn);
      path.resize(path_bytes);
    }
  } else if (auto* list = node.template get_if<Tree::List>()) {
    std::size_t index = 0;
    for (auto& child : *list) {
      if (depth > 0) path += '/';
      append_index(path, index++);
      walk(child, path, depth + 1, fn);
      path.resize(path_bytes);
    }
  } else {
    fn(path, node);
  }
}

Result<void> check_key(const std::string& key) {
  if (key.empty()) return invalid("an empty key");
  if (key.size() > key_bytes_max) return invalid("a key of more than " + std::to_string(key_bytes_max) + " bytes");
  if (!is_valid_utf8(key)) return invalid("a key that is not UTF-8");
  return {};
}

// What is wrong with a tree, and at which node. Faults are rare: the path is put together on the way back.
struct Fault {
  Error error;
  std::string path;

  Fault below(std::string component) && {
    path = path.empty() ? std::move(component) : std::move(component) + '/' + path;
    return std::move(*this);
  }
};

std::optional<Fault> fault_of(Result<void> checked) {
  if (checked.has_value()) return std::nullopt;
  return Fault{checked.error(), ""};
}

std::optional<Fault> find_fault(const Tree& node, bool memory_needed, int depth) {
  if (depth > tree_depth_max) return Fault{invalid("nested more than " + std::to_string(tree_depth_max) + " deep"), ""};
  if (const auto* map = node.get_if<Tree::Map>()) {
    for (const auto& [key, child] : *map) {
      if (auto fault = fault_of(check_key(key))) return fault;
      if (auto fault = find_fault(child, memory_needed, depth + 1)) return std::move(*fault).below(join_path("", key));
    }
  } else if (const auto* list = node.get_if<Tree::List>()) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      auto fault = find_fault((*list)[i], memory_needed, depth + 1);
      if (fault) return std::move(*fault).below(std::to_string(i));
    }
  } else if (const auto* tensor = node.get_if<Tensor>()) {
    if (memory_needed && tensor->is_abstract()) return Fault{invalid("the tensor has no memory"), ""};
    if (auto fault = fault_of(tensor->check())) return fault;
    if (memory_needed && tensor->byte_count() > state_bytes_max) {
      return Fault{invalid(node.describe() + " is larger than any memory"), ""};
    }
  } else if (const auto* text = node.get_if<std::string>()) {
    if (!is_valid_utf8(*text)) return Fault{invalid("a string that is not UTF-8; bytes can hold it"), ""};
  }
  return std::nullopt;
}

Result<void> check(const Tree& tree, bool memory_needed) {
  auto fault = find_fault(tree, memory_needed, 0);
  if (!fault) return {};
  if (fault->path.empty()) return std::move(fault->error);
  return std::move(fault->error).within("leaf " + fault->path);
}

}  // namespace

Tree& Tree::operator[](std::string_view key) {
  if (get_if<std::nullptr_t>()) value_ = Map();
  Map* const children = get_if<Map>();
  if (children == nullptr) throw std::logic_error("Tree::operator[] on a " + describe());
  const auto it = children->lower_bound(key);
  if (it != children->end() && it->first == key) return it->second;
  return children->emplace_hint(it, key, Tree())->second;
}

const Tree* Tree::find(std::string_view path) const {
  const Tree* node = this;
  if (path.empty()) return node;
  while (node != nullptr) {
    const std::size_t slash = path.find('/');
    node = child_of(*node, path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return node;
}

Tree* Tree::find(std::string_view path) { return const_cast<Tree*>(std::as_const(*this).find(path)); }

std::string Tree::describe() const {
  if (const auto* tensor = get_if<Tensor>()) {
    return "tensor " + std::string(name_of(tensor->dtype())) + to_string(tensor->shape());
  }
  static constexpr const char* names[] = {"null",   "bool",  "int64",  "uint64", "double",
                                          "string", "bytes", "tensor", "list",   "map"};
  static_assert(std::size(names) == std::variant_size_v<Value>);
  return names[value_.index()];
}

std::string join_path(std::string_view path, std::string_view key) {
  std::string joined(path);
  if (!joined.empty()) joined += '/';
  append_escaped(joined, key);
  return joined;
}

std::string join_path(std::string_view path, std::size_t index) {
  std::string joined(path);
  if (!joined.empty()) joined += '/';
  append_index(joined, index);
  return joined;
}

void for_each_leaf(const Tree& tree, const std::function<void(const std::string& path, const Tree& leaf)>& fn) {
  std::string path;
  walk(tree, path, 0, fn);
}

void for_each_leaf(Tree& tree, const std::function<void(const std::string& path, Tree& leaf)>& fn) {
  std::string path;
  walk(tree, path, 0, fn);
}

Result<void> check_tree(const Tree& tree) { return check(tree, false); }
Result<void> check_state(const Tree& tree) { return check(tree, true); }

}  // namespace milepost
