#include "milepost/engine/federated/filtering_release_manager.h"

#include <variant>

namespace milepost {
namespace {

std::optional<ProgramValue> filtered(const ProgramValue& value, const std::string& path, const ReleaseFilter& filter) {
  if (const auto* list = value.get_if<ProgramValue::List>()) {
    ProgramValue::List left;
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (auto child = filtered((*list)[i], join_path(path, i), filter)) left.push_back(std::move(*child));
    }
    return left.empty() ? std::nullopt : std::optional<ProgramValue>(std::move(left));
  }
  if (const auto* map = value.get_if<ProgramValue::Map>()) {
    ProgramValue::Map left;
    for (const auto& [key, node] : *map) {
      if (auto child = filtered(node, join_path(path, key), filter))
        left.emplace_hint(left.end(), key, std::move(*child));
    }
    return left.empty() ? std::nullopt : std::optional<ProgramValue>(std::move(left));
  }
  return filter(path) ? std::optional<ProgramValue>(value) : std::nullopt;
}

}  // namespace

Result<std::optional<ProgramValue>> filter_value(const ProgramValue& value, const ReleaseFilter& filter) try {
  return filtered(value, "", filter);
} catch (...) {
  return error_of_current_exception("the filter");
}

}  // namespace milepost
