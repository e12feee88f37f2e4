// What a save is given and a restore gives back: named trees.
#pragma once

#include "milepost/engine/state/tree.h"

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace milepost {

// What the only item of a step is called that was saved without a name.
inline constexpr std::string_view default_item_name = "default";

struct Item {
  std::string name;
  Tree tree;
  std::string handler = {};  // what made the tree of something else (engine/item_handler.h); empty: it is the state
};
using Items = std::vector<Item>;

// An item that is somebody else's.
struct ItemView {
  ItemView(std::string_view item_name, const Tree& item_tree, std::string_view item_handler = {})
      : name(item_name), tree(&item_tree), handler(item_handler) {}
  ItemView(const Item& item) : ItemView(item.name, item.tree, item.handler) {}

  std::string_view name;
  const Tree* tree;
  std::string_view handler;
};

// What a save is given: {{"model", model}, {"loader", loader}}, or Items. A parameter, not to be kept: it copies no
// tree, and so costs nothing for steps that are not saved.
class ItemsView {
 public:
  ItemsView(std::initializer_list<ItemView> items) : views_(items) {}
  ItemsView(const Items& items) : views_(items.begin(), items.end()) {}

  auto begin() const { return views_.begin(); }
  auto end() const { return views_.end(); }

  Items copy() const {
    Items items;
    items.reserve(views_.size());
    for (const ItemView& view : views_)
      items.push_back({std::string(view.name), *view.tree, std::string(view.handler)});
    return items;
  }

 private:
  std::vector<ItemView> views_;
};

}  // namespace milepost
