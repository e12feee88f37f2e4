// Leaves as strings of the manifest's tree (docs/format.md): "t" for a stored leaf, and null,
// scalars and small strings and bytes in themselves. Internal to engine/format.
#pragma once

#include "milepost/engine/state/tree.h"

#include <string>
#include <string_view>

namespace milepost {

inline constexpr std::string_view stored_leaf_text = "t";

// Appends the JSON string, in quotes. Doubles keep every bit.
void append_leaf_text(std::string& out, const Tree& leaf);

// The leaf of a string that is not "t". corruption for anything that append_leaf_text does not write.
Result<Tree> parse_leaf_text(std::string_view text);

}  // namespace milepost
