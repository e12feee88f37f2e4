// What a save is given and a restore gives back: named trees.
#pragma once

#include "milepost/engine/state/tree.h"

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

}  // namespace milepost
