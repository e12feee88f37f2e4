#include "milepost/engine/federated/value.h"

#include "milepost/io/signal_guard.h"

#include <map>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace milepost {
namespace {

Error within_leaf(Error error, const std::string& path) {
  return std::move(error).within(path.empty() ? "the value" : "leaf " + path);
}

Result<Tree::Bytes> bytes_of(const ProgramObject& object) try { return object.to_bytes(); } catch (...) {
  return error_of_current_exception("to_bytes");
}

// A place in the tree that is filled in later.
struct Gap {
  std::string path;
  std::size_t leaf = 0;  // its number among the leaves
  Tree* place = nullptr;
  std::size_t source = 0;  // which of the distinct references
};

struct Missing {
  std::string path;
  std::size_t leaf = 0;
  Error error;
};

// The tree with nulls where references stand, and what is missing.
class Outline {
 public:
  explicit Outline(const ProgramValue& value) { fill(value, "", tree); }

  Tree tree;
  std::vector<Gap> gaps;                               // in the order of the leaves
  std::vector<MaterializableValueReference*> sources;  // distinct
  std::optional<Missing> fault;                        // the first of an object

 private:
  void fill(const ProgramValue& value, const std::string& path, Tree& place) {
    std::visit([&](const auto& node) { fill_node(node, path, place); }, value.value());
  }

  void fill_node(const Tree& leaf, const std::string&, Tree& place) {
    place = leaf;
    ++leaf_;
  }

  void fill_node(const ProgramValue::List& list, const std::string& path, Tree& place) {
    auto& children = place.value().emplace<Tree::List>(list.size());
    for (std::size_t i = 0; i < list.size(); ++i) fill(list[i], join_path(path, i), children[i]);
  }

  void fill_node(const ProgramValue::Map& map, const std::string& path, Tree& place) {
    auto& children = place.value().emplace<Tree::Map>();
    for (const auto& [key, child] : map) {
      fill(child, join_path(path, key), children.emplace_hint(children.end(), key, Tree())->second);
    }
  }

  void fill_node(const ValueReference& reference, const std::string& path, Tree& place) {
    const auto [it, is_new] = index_.emplace(reference.get(), sources.size());
    if (is_new) sources.push_back(reference.get());
    gaps.push_back({path, leaf_++, &place, it->second});
  }

  void fill_node(const ProgramValue::Object& object, const std::string& path, Tree& place) {
    auto bytes = bytes_of(*object);
    if (bytes.has_value()) {
      place = Tree(std::move(bytes).value());
    } else if (!fault) {
      fault = Missing{path, leaf_, bytes.error()};
    }
    ++leaf_;
  }

  std::size_t leaf_ = 0;
  std::map<MaterializableValueReference*, std::size_t> index_;
};

Result<Tree> get_value_of(MaterializableValueReference& source) try { return source.get_value(); } catch (...) {
  return error_of_current_exception("the value");
}

// One after the other could wait for ever: a value may depend on another one's being asked for.
std::vector<Result<Tree>> await_all(const std::vector<MaterializableValueReference*>& sources) {
  std::vector<Result<Tree>> values(sources.size(), Tree());
  std::vector<std::thread> threads;
  threads.reserve(sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    try {
      const BlockAllSignals inherited_by_the_thread;
      threads.emplace_back([&values, &sources, i] { values[i] = get_value_of(*sources[i]); });
    } catch (const std::system_error& thrown) {
      values[i] = Error(ErrorCode::unavailable, std::string("no thread to wait on: ") + thrown.what());
    }
  }
  for (std::thread& thread : threads) thread.join();
  return values;
}

}  // namespace

Error error_of_current_exception(std::string_view what) {
  const std::string prefix(what);
  try {
    throw;
  } catch (const CheckpointError& thrown) {
    return thrown.error();
  } catch (const std::exception& thrown) {
    return Error(ErrorCode::failed_precondition, prefix + " threw: " + thrown.what());
  } catch (...) {
    return Error(ErrorCode::failed_precondition, prefix + " threw");
  }
}

Tensor tensor_of(float number) {
  auto owner = std::make_shared<float>(number);
  float* const data = owner.get();
  return Tensor::owning(std::move(owner), data, DType::f32, {});
}

ProgramValue::ProgramValue(Tree tree) {
  if (auto* list = tree.get_if<Tree::List>()) {
    value_ = List(std::make_move_iterator(list->begin()), std::make_move_iterator(list->end()));
  } else if (auto* map = tree.get_if<Tree::Map>()) {
    auto& children = value_.emplace<Map>();
    for (auto& [key, child] : *map) children.emplace_hint(children.end(), key, std::move(child));
  } else {
    value_ = std::move(tree);
  }
}

ProgramValue::ProgramValue(ValueReference reference) {
  if (reference) value_ = std::move(reference);
}

ProgramValue::ProgramValue(Object object) {
  if (object) value_ = std::move(object);
}

ProgramValue& ProgramValue::operator[](std::string_view key) {
  if (get_if<std::nullptr_t>()) value_ = Map();
  auto* const children = std::get_if<Map>(&value_);
  if (children == nullptr) throw std::logic_error("ProgramValue::operator[] on a " + describe());
  const auto it = children->lower_bound(key);
  if (it != children->end() && it->first == key) return it->second;
  return children->emplace_hint(it, key, ProgramValue())->second;
}

std::string ProgramValue::describe() const {
  if (const auto* leaf = std::get_if<Tree>(&value_)) return leaf->describe();
  static constexpr const char* names[] = {"", "list", "map", "reference", "object"};
  static_assert(std::size(names) == std::variant_size_v<Value>);
  return names[value_.index()];
}

Result<Tree> materialize(const ProgramValue& value) {
  Outline outline(value);
  const std::vector<Result<Tree>> values = await_all(outline.sources);
  for (const Gap& gap : outline.gaps) {
    const Result<Tree>& found = values[gap.source];
    if (found.has_value()) {
      *gap.place = *found;
    } else if (!outline.fault || gap.leaf < outline.fault->leaf) {
      outline.fault = Missing{gap.path, gap.leaf, found.error()};
    }
  }
  if (outline.fault) return within_leaf(outline.fault->error, outline.fault->path);
  return std::move(outline.tree);
}

}  // namespace milepost
