// What a save is given and a restore gives back: named trees.
#pragma once

#include "milepost/engine/state/tree.h"

#include <string>
#include <vector>

namespace milepost {

struct Item {
  std::string name;
  Tree tree;
  std::string handler = {};  // what made the tree of something else (engine/item_handler.h); empty: it is the state
};
using Items = std::vector<Item>;

}  // namespace milepost
