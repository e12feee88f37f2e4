// What a save is given and a restore gives back: named trees.
#pragma once

#include "milepost/engine/state/tree.h"

#include <string>
#include <vector>

namespace milepost {

struct Item {
  std::string name;
  Tree tree;
};
using Items = std::vector<Item>;

}  // namespace milepost
