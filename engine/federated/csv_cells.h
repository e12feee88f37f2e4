// A released value as the cells of a CSV row.
#pragma once

#include "milepost/engine/state/tree.h"

#include <string>
#include <vector>

namespace milepost {

struct CsvCell {
  std::string column;
  std::string text;
};

// A cell for each leaf, in the order of the leaves. The column is the keys and indices on the way to it, joined by '/'
// as they are; of a value that is a leaf, "". The text is what Python's str() gives (python_text.h).
//
// invalid_argument, naming the leaf, if check_state() refuses the value, two leaves have the same column, one has that
// of the key, or there is a zero byte in it, which readers of CSV do not take. no_space without memory for the text.
Result<std::vector<CsvCell>> csv_cells(const Tree& value, const std::string& key_column);

}  // namespace milepost
