#include "milepost/engine/federated/structure.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace milepost {
namespace {

using Visit = std::function<void(const std::string& path, const ProgramValue& leaf)>;

void for_each_leaf(const ProgramValue& node, const std::string& path, const Visit& visit) {
  if (const auto* list = node.get_if<ProgramValue::List>()) {
    for (std::size_t i = 0; i < list->size(); ++i) for_each_leaf((*list)[i], join_path(path, i), visit);
  } else if (const auto* map = node.get_if<ProgramValue::Map>()) {
    for (const auto& [key, child] : *map) for_each_leaf(child, join_path(path, key), visit);
  } else {
    visit(path, node);
  }
}

// The kinds of an item's leaves, by their paths: what a target must have in order to fit.
class SavedKinds {
 public:
  explicit SavedKinds(const Manifest& manifest) {
    std::size_t next = 0;
    for_each_leaf(manifest.tree, [&](const std::string& path, const Tree& leaf) {
      Tree kind = leaf;
      if (leaf.get_if<Tensor>()) {
        const StoredAs stored_as = manifest.leaves[next++].stored_as;
        if (stored_as == StoredAs::string) kind = "";
        if (stored_as == StoredAs::bytes) kind = Tree::Bytes{};
      }
      kinds_.emplace(path, std::move(kind));
    });
  }

  // Null if there is no such leaf.
  Tree at(const std::string& path) const {
    const auto it = kinds_.find(path);
    return it == kinds_.end() ? Tree() : it->second;
  }

 private:
  std::map<std::string, Tree> kinds_;
};

// What a restore is to give: the types of the structure's leaves, without memory.
class Target {
 public:
  explicit Target(const Manifest& manifest) : manifest_(manifest) {}

  Tree of(const ProgramValue& node, const std::string& path) {
    return std::visit([&](const auto& value) { return of_node(value, path); }, node.value());
  }

 private:
  Tree of_node(const Tree& leaf, const std::string&) {
    const auto* tensor = leaf.get_if<Tensor>();
    return tensor ? Tree(Tensor::abstract(tensor->dtype(), tensor->shape())) : leaf;
  }
  Tree of_node(const ProgramValue::List& list, const std::string& path) {
    Tree::List children;
    for (const ProgramValue& child : list) children.push_back(of(child, join_path(path, children.size())));
    return children;
  }
  Tree of_node(const ProgramValue::Map& map, const std::string& path) {
    Tree::Map children;
    for (const auto& [key, child] : map) children.emplace(key, of(child, join_path(path, key)));
    return children;
  }
  Tree of_node(const ProgramValue::Object&, const std::string&) { return Tree::Bytes{}; }
  Tree of_node(const ValueReference&, const std::string& path) {
    if (!kinds_) kinds_.emplace(manifest_);
    return kinds_->at(path);
  }

  const Manifest& manifest_;
  std::optional<SavedKinds> kinds_;  // made when a reference asks
};

Result<void> check_leaf_count(const ProgramValue& structure, const Tree& saved) {
  std::size_t wanted = 0;
  std::size_t found = 0;
  for_each_leaf(structure, "", [&](const std::string&, const ProgramValue&) { ++wanted; });
  for_each_leaf(saved, [&](const std::string&, const Tree&) { ++found; });
  if (wanted == found) return {};
  return Error(ErrorCode::structure_mismatch, "the structure has " + std::to_string(wanted) +
                                                  (wanted == 1 ? " leaf" : " leaves") + ", the checkpoint " +
                                                  std::to_string(found));
}

Result<ProgramValue::Object> object_of(const ProgramObject& type, std::span<const std::byte> bytes) try {
  return type.from_bytes(bytes);
} catch (...) {
  return error_of_current_exception("from_bytes");
}

// Puts the leaves of a tree, in their order, in the places of the structure's.
class Assembly {
 public:
  explicit Assembly(Tree& tree) {
    for_each_leaf(tree, [&](const std::string&, Tree& leaf) { leaves_.push_back(&leaf); });
  }

  Result<ProgramValue> of(const ProgramValue& node, const std::string& path) {
    if (const auto* list = node.get_if<ProgramValue::List>()) {
      ProgramValue::List children;
      for (const ProgramValue& child : *list) {
        MILEPOST_ASSIGN(ProgramValue made, of(child, join_path(path, children.size())));
        children.push_back(std::move(made));
      }
      return ProgramValue(std::move(children));
    }
    if (const auto* map = node.get_if<ProgramValue::Map>()) {
      ProgramValue::Map children;
      for (const auto& [key, child] : *map) {
        MILEPOST_ASSIGN(ProgramValue made, of(child, join_path(path, key)));
        children.emplace_hint(children.end(), key, std::move(made));
      }
      return ProgramValue(std::move(children));
    }
    Tree leaf = std::move(*leaves_[next_++]);
    const auto* object = std::get_if<ProgramValue::Object>(&node.value());
    if (!object) return ProgramValue(std::move(leaf));
    const std::string where = path.empty() ? "the value" : "leaf " + path;
    const auto* bytes = leaf.get_if<Tree::Bytes>();
    if (!bytes) {
      return Error(ErrorCode::structure_mismatch,
                   where + ": the checkpoint has a " + leaf.describe() + ", the structure an object, kept as bytes");
    }
    auto made = object_of(**object, *bytes);
    if (made.has_error()) return made.error().within(where);
    return ProgramValue(std::move(made).value());
  }

 private:
  std::vector<Tree*> leaves_;
  std::size_t next_ = 0;
};

}  // namespace

Result<Tree> read_leaves(StepReader& reader, std::string_view item, const ProgramValue& structure,
                         StructureMatch match) {
  const auto explain = [&](Error error) {
    return std::move(error).within("step " + std::to_string(reader.record().step));
  };
  const auto manifest = reader.manifest(item);
  if (manifest.has_error()) return explain(manifest.error());
  RestoreItem request{.name = std::string(item)};
  if (match == StructureMatch::strict) {
    request.target = Target(**manifest).of(structure, "");
    if (auto valid = check_tree(*request.target); valid.has_error()) {
      return explain(valid.error().within("the structure"));
    }
  } else if (auto counted = check_leaf_count(structure, (*manifest)->tree); counted.has_error()) {
    return explain(counted.error());
  }
  MILEPOST_ASSIGN(Restored restored, reader.restore({.items = {std::move(request)}}));
  return std::move(restored.tree());
}

Result<ProgramValue> assemble(Tree leaves, const ProgramValue& structure) { return Assembly(leaves).of(structure, ""); }

}  // namespace milepost
