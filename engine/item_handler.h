// Items that are more than trees: JSON text, raw bytes, single arrays, files (engine/item_files.h), and whatever type
// of his own a user writes a handler for. A handler turns a value into a tree, which is saved like any other (so
// digests, compression and partial restores hold), and a tree back into a value:
//
//   template <> struct milepost::ItemHandler<Loader> {
//     static constexpr std::string_view name = "loader";   // recorded with the item
//     static Result<Tree> to_tree(const Loader& loader);
//     static Result<Loader> from_tree(Tree tree);
//   };
//
//   manager.save(step, {{"state", state}, make_item("loader", loader).value()});
//   Loader loader = manager.restore().value().get<Loader>("loader").value();
//
// Lifetime: a Tree holds its scalars, strings and bytes itself, and so does the item made of it. Tensors in it are
// views, which the handler must let own their memory (Tensor::allocate, Tensor::owning) or whose memory the caller
// must keep until the save is captured. Of the handlers here only that of Tensor makes views of the caller's memory.
#pragma once

#include "milepost/engine/items.h"

#include <concepts>
#include <string>
#include <string_view>
#include <utility>

namespace milepost {

template <class T> struct ItemHandler;

template <class T>
concept HandledItem = requires(const T& value, Tree tree) {
  { ItemHandler<T>::name } -> std::convertible_to<std::string_view>;
  { ItemHandler<T>::to_tree(value) } -> std::same_as<Result<Tree>>;
  { ItemHandler<T>::from_tree(std::move(tree)) } -> std::same_as<Result<T>>;
};

// invalid_argument unless it is empty (a tree) or could be the name of an item.
Result<void> check_handler_name(std::string_view name);
// failed_precondition unless the item was saved by that handler; names both.
Result<void> check_handler(const Item& item, std::string_view handler);

// The item to save. What to_tree fails with, naming the item.
template <HandledItem T> Result<Item> make_item(std::string name, const T& value) {
  auto tree = ItemHandler<T>::to_tree(value);
  if (tree.has_error()) return tree.error().within("item " + name);
  return Item{std::move(name), std::move(tree).value(), std::string(ItemHandler<T>::name)};
}

// The value of an item that was restored. failed_precondition if another handler saved it; what from_tree fails with.
template <HandledItem T> Result<T> value_of(const Item& item) {
  if (auto checked = check_handler(item, ItemHandler<T>::name); checked.has_error()) return checked.error();
  auto value = ItemHandler<T>::from_tree(item.tree);
  if (value.has_error()) return value.error().within("item " + item.name);
  return value;
}

// A JSON document: comes back byte for byte. Strict JSON in UTF-8, nested at most 40 deep, no key twice in one object;
// invalid_argument otherwise.
struct JsonText {
  std::string text;
};
template <> struct ItemHandler<JsonText> {
  static constexpr std::string_view name = "json";
  static Result<Tree> to_tree(const JsonText& json);
  static Result<JsonText> from_tree(Tree tree);
};

// Raw bytes.
template <> struct ItemHandler<Tree::Bytes> {
  static constexpr std::string_view name = "bytes";
  static Result<Tree> to_tree(const Tree::Bytes& bytes) { return Tree(bytes); }
  static Result<Tree::Bytes> from_tree(Tree tree);
};

// A single array.
template <> struct ItemHandler<Tensor> {
  static constexpr std::string_view name = "array";
  static Result<Tree> to_tree(const Tensor& array) { return Tree(array); }
  static Result<Tensor> from_tree(Tree tree);
};

// A tree as it is.
template <> struct ItemHandler<Tree> {
  static constexpr std::string_view name = "";
  static Result<Tree> to_tree(const Tree& tree) { return tree; }
  static Result<Tree> from_tree(Tree tree) { return tree; }
};

}  // namespace milepost
