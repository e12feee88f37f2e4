// A tree: what an item of a checkpoint holds. Maps and lists of leaves, nested up to depth 32; a leaf
// is a tensor, a scalar, a string, bytes or null. A leaf is addressed by its path: the keys and list
// indices on the way to it, joined by '/', with "~1" for a '/' and "~0" for a '~' inside a key
// (RFC 6901 without the leading slash). The path of a tree that is a leaf itself is "".
//
// A value type. Copying a tree copies its structure; tensors stay views of the same memory.
#pragma once

#include "milepost/engine/state/tensor.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace milepost {

inline constexpr int tree_depth_max = 32;
inline constexpr std::size_t key_bytes_max = 1024;

class Tree {
 public:
  using List = std::vector<Tree>;
  using Map = std::map<std::string, Tree, std::less<>>;
  using Bytes = std::vector<std::byte>;
  using Value =
      std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Bytes, Tensor, List, Map>;

  Tree() : value_(nullptr) {}  // null
  Tree(std::nullptr_t) : value_(nullptr) {}
  Tree(bool value) : value_(value) {}
  Tree(int value) : value_(std::int64_t{value}) {}
  Tree(std::int64_t value) : value_(value) {}
  Tree(std::uint64_t value) : value_(value) {}
  Tree(double value) : value_(value) {}
  Tree(const char* value) : value_(std::string(value)) {}
  Tree(std::string value) : value_(std::move(value)) {}
  Tree(Bytes value) : value_(std::move(value)) {}
  Tree(Tensor value) : value_(std::move(value)) {}
  Tree(List value) : value_(std::move(value)) {}
  Tree(Map value) : value_(std::move(value)) {}

  static Tree map(Map children = {}) { return Tree(std::move(children)); }
  static Tree list(List children = {}) { return Tree(std::move(children)); }

  const Value& value() const { return value_; }
  Value& value() { return value_; }
  template <class T> const T* get_if() const { return std::get_if<T>(&value_); }
  template <class T> T* get_if() { return std::get_if<T>(&value_); }
  bool is_leaf() const { return !get_if<List>() && !get_if<Map>(); }

  // The child of that key; a null tree becomes a map, a missing child is created as null. Throws
  // std::logic_error on anything else.
  Tree& operator[](std::string_view key);
  // The node at a path, or null if there is none.
  const Tree* find(std::string_view path) const;
  Tree* find(std::string_view path);

  // The node's kind for messages: "map", "list", "tensor F32[2, 3]", "int64", "string", ...
  std::string describe() const;

 private:
  Value value_;
};

// Joins a path and the next key or index, escaping the key.
std::string join_path(std::string_view path, std::string_view key);
std::string join_path(std::string_view path, std::size_t index);

// Calls fn(path, leaf) for every leaf, maps in key order, lists in order: the leaf order of the formats.
// What lies deeper than tree_depth_max, which check_tree refuses, is not visited.
void for_each_leaf(const Tree& tree, const std::function<void(const std::string& path, const Tree& leaf)>& fn);
void for_each_leaf(Tree& tree, const std::function<void(const std::string& path, Tree& leaf)>& fn);
// The same without paths, of a tree that has been checked: fn(leaf).
template <class Function> void visit_leaves(const Tree& tree, const Function& fn) {
  if (const auto* map = tree.get_if<Tree::Map>()) {
    for (const auto& [key, child] : *map) visit_leaves(child, fn);
  } else if (const auto* list = tree.get_if<Tree::List>()) {
    for (const Tree& child : *list) visit_leaves(child, fn);
  } else {
    fn(tree);
  }
}

// invalid_argument unless depth, keys (UTF-8, 1 to 1024 bytes) and strings (UTF-8) can be stored and
// all tensors pass Tensor::check(); names the first leaf at fault.
Result<void> check_tree(const Tree& tree);
// The same, and no tensor may be abstract.
Result<void> check_state(const Tree& tree);

bool is_valid_utf8(std::string_view text);

// Whether a path matches a pattern: '*' any run of characters except '/', '**' any run, '?' one
// character except '/'. A pattern without wildcards also matches everything below it, and so an empty
// one matches every path. Takes at most about the product of the two lengths, whatever the pattern.
bool path_matches(std::string_view pattern, std::string_view path);

}  // namespace milepost
