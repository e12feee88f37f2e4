#include "milepost/engine/federated/csv_cells.h"

#include "milepost/engine/federated/python_text.h"
#include "milepost/io/try.h"

#include <new>
#include <set>
#include <utility>

namespace milepost {
namespace {

class Flattener {
 public:
  std::vector<CsvCell> cells;

  void flatten(const Tree& node, const std::string& column, bool is_root) {
    const auto below = [&](std::string key) { return is_root ? std::move(key) : column + '/' + key; };
    if (const auto* map = node.get_if<Tree::Map>()) {
      for (const auto& [key, child] : *map) flatten(child, below(key), false);
    } else if (const auto* list = node.get_if<Tree::List>()) {
      for (std::size_t i = 0; i < list->size(); ++i) flatten((*list)[i], below(std::to_string(i)), false);
    } else {
      cells.push_back({column, {}});
      cells.back().text = python_text(node);
    }
  }
};

Error invalid_cell(const CsvCell& cell, std::string what) {
  return Error(ErrorCode::invalid_argument, "column \"" + cell.column + "\": " + what);
}

}  // namespace

Result<std::vector<CsvCell>> csv_cells(const Tree& value, const std::string& key_column) {
  MILEPOST_TRY(check_state(value));
  Flattener flattener;
  try {
    flattener.flatten(value, "", true);
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::no_space, "column \"" + (flattener.cells.empty() ? "" : flattener.cells.back().column) +
                                          "\": no memory to print it");
  }
  std::set<std::string_view> columns;
  for (const CsvCell& cell : flattener.cells) {
    if (cell.column == key_column) return invalid_cell(cell, "a leaf cannot be called like the column of the keys");
    if (!columns.insert(cell.column).second) return invalid_cell(cell, "two leaves are called like this");
    if (cell.column.find('\0') != cell.column.npos || cell.text.find('\0') != cell.text.npos) {
      return invalid_cell(cell, "readers of CSV take no zero bytes");
    }
  }
  return std::move(flattener.cells);
}

}  // namespace milepost
