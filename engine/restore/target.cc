#include "milepost/engine/restore/target.h"

#include "milepost/engine/state/cast.h"
#include "milepost/engine/state/strided.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <map>
#include <utility>

namespace milepost {
namespace {

class Resolver {
 public:
  Resolver(const Manifest& manifest, RestoreItem& request)
      : manifest_(manifest), request_(request), pattern_hits_(request.select.size(), false) {
    for (const LeafSlice& slice : request.slices) {
      if (!slices_.emplace(slice.path, &slice).second) refuse(slice.path, "two slices of it are asked for");
    }
  }

  Result<ItemTarget> run() {
    ItemTarget result;
    result.leaves.reserve(manifest_.leaves.size());
    result_ = &result;
    Tree* target = request_.target ? &*request_.target : nullptr;
    std::string path;
    auto tree = visit(manifest_.tree, target, path);
    for (const auto& [slice_path, slice] : slices_) {
      const Tree* node = manifest_.tree.find(slice_path);
      if (!node || !node->get_if<Tensor>()) missing_.push_back("slice of " + slice_path + ": no such tensor");
    }
    for (std::size_t i = 0; i < pattern_hits_.size(); ++i) {
      if (!pattern_hits_[i]) missing_.push_back("pattern " + request_.select[i] + ": matches no leaf");
    }
    if (error_) return *error_;
    if (!missing_.empty()) return Error(ErrorCode::not_found, join(missing_));
    if (!differences_.empty()) {
      return Error(is_invalid_ ? ErrorCode::invalid_argument : ErrorCode::structure_mismatch,
                   "the target does not fit the checkpoint, " + std::to_string(differences_.size()) +
                       (differences_.size() == 1 ? " difference:\n  " : " differences:\n  ") + join(differences_));
    }
    if (tree) result.tree = std::move(*tree);
    return result;
  }

 private:
  static std::string join(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += (text.empty() ? "" : "\n  ") + line;
    return text;
  }

  void differ(const std::string& path, const std::string& what) {
    differences_.push_back((path.empty() ? "(root)" : path) + ": " + what);
  }

  // A difference that no checkpoint would be without.
  void refuse(const std::string& path, const std::string& what) {
    is_invalid_ = true;
    differ(path, what);
  }

  bool selected(const std::string& path) {
    if (request_.select.empty()) return true;
    bool any = false;
    for (std::size_t i = 0; i < request_.select.size(); ++i) {
      if (!path_matches(request_.select[i], path)) continue;
      pattern_hits_[i] = true;
      any = true;
    }
    return any;
  }

  // The result for a node; none if nothing below it is wanted.
  std::optional<Tree> visit(const Tree& saved, Tree* target, std::string& path) {
    if (request_.placeholders && target && target->get_if<std::nullptr_t>()) {
      pass_over(saved, path);
      return Tree();
    }
    if (const auto* map = saved.get_if<Tree::Map>()) return visit_map(*map, target, path);
    if (const auto* list = saved.get_if<Tree::List>()) return visit_list(*list, target, path);
    return visit_leaf(saved, target, path);
  }

  std::optional<Tree> visit_map(const Tree::Map& saved, Tree* target, std::string& path) {
    Tree::Map* given = target ? target->get_if<Tree::Map>() : nullptr;
    if (target && !given) return mismatch(Tree(saved), target, path);
    Tree::Map result;
    for (const auto& [key, child] : saved) {
      const std::string child_path = join_path(path, key);
      Tree* child_target = nullptr;
      if (given) {
        const auto it = given->find(key);
        if (it == given->end()) {
          note_absent(child, child_path);
          continue;
        }
        child_target = &it->second;
      }
      std::string scratch = child_path;
      if (auto made = visit(child, child_target, scratch)) result.emplace(key, std::move(*made));
    }
    if (given) {
      for (auto& [key, child] : *given) {
        if (saved.contains(key)) continue;
        note_surplus(child, join_path(path, key));
        result.emplace(key, child);
      }
    }
    if (result.empty() && !saved.empty() && !given) return std::nullopt;
    return Tree(std::move(result));
  }

  std::optional<Tree> visit_list(const Tree::List& saved, Tree* target, std::string& path) {
    Tree::List* given = target ? target->get_if<Tree::List>() : nullptr;
    if (target && !given) return mismatch(Tree(saved), target, path);
    Tree::List result;
    bool any = saved.empty();
    for (std::size_t i = 0; i < saved.size(); ++i) {
      std::string child_path = join_path(path, i);
      if (given && i >= given->size()) {
        note_absent(saved[i], child_path);
        continue;
      }
      auto made = visit(saved[i], given ? &(*given)[i] : nullptr, child_path);
      any = any || made.has_value();
      result.push_back(made ? std::move(*made) : Tree());  // null keeps the places of the others
    }
    if (given) {
      for (std::size_t i = saved.size(); i < given->size(); ++i) note_surplus((*given)[i], join_path(path, i));
    }
    if (!any && !given) return std::nullopt;
    return Tree(std::move(result));
  }

  // Counts the leaves of a node; whether any is selected.
  bool pass_over(const Tree& saved, const std::string& path) {
    bool wanted = false;
    for_each_leaf(saved, [&](const std::string& below, const Tree& leaf) {
      if (leaf.get_if<Tensor>()) ++next_leaf_;
      wanted |= selected(below.empty() ? path : path.empty() ? below : path + "/" + below);
    });
    return wanted;
  }

  // A container on one side only, or of another kind.
  std::optional<Tree> mismatch(const Tree& saved, Tree* target, const std::string& path) {
    const bool wanted = pass_over(saved, path);
    if (wanted || request_.select.empty()) {
      differ(path, "the checkpoint has a " + saved.describe() + ", the target a " + target->describe());
    }
    return *target;
  }

  void note_absent(const Tree& saved, const std::string& path) {
    bool wanted = saved.is_leaf() ? false : request_.select.empty();
    for_each_leaf(saved, [&](const std::string& below, const Tree& leaf) {
      if (leaf.get_if<Tensor>()) ++next_leaf_;
      const std::string full = below.empty() ? path : path + "/" + below;
      if (selected(full)) {
        differ(full, "missing in the target (the checkpoint has a " + leaf.describe() + ")");
        wanted = false;
      }
    });
    if (wanted) differ(path, "missing in the target (the checkpoint has an empty " + saved.describe() + ")");
  }

  void note_surplus(const Tree& given, const std::string& path) {
    bool any = false;
    for_each_leaf(given, [&](const std::string& below, const Tree& leaf) {
      any = true;
      const std::string full = below.empty() ? path : path + "/" + below;
      if (selected(full)) differ(full, "missing in the checkpoint (the target has a " + leaf.describe() + ")");
    });
    if (!any && request_.select.empty())
      differ(path, "missing in the checkpoint (the target has an empty " + given.describe() + ")");
  }

  std::optional<Tree> visit_leaf(const Tree& saved, Tree* target, const std::string& path) {
    const auto* stored = saved.get_if<Tensor>();
    const std::size_t leaf = stored ? next_leaf_++ : 0;
    if (!selected(path)) return target ? std::optional(*target) : std::nullopt;
    if (!stored) {
      if (target && target->value().index() != saved.value().index()) {
        differ(path, "the checkpoint has a " + saved.describe() + ", the target a " + target->describe());
      }
      return saved;
    }
    const StoredLeaf& entry = manifest_.leaves[leaf];
    if (entry.stored_as == StoredAs::tensor) return visit_tensor(entry, leaf, target, path);

    if (slices_.contains(path)) missing_.push_back("slice of " + path + ": no such tensor");
    const bool is_text = entry.stored_as == StoredAs::string;
    if (target && !(is_text ? target->get_if<std::string>() != nullptr : target->get_if<Tree::Bytes>() != nullptr)) {
      differ(path, std::string("the checkpoint has a ") + (is_text ? "string" : "bytes") + ", the target a " +
                       target->describe());
      return *target;
    }
    if (!differences_.empty()) return Tree();
    return bind(leaf, path, Shape(1, 0), DType::u8, entry.shape) ? std::optional(Tree()) : std::nullopt;
  }

  std::optional<Tree> visit_tensor(const StoredLeaf& entry, std::size_t leaf, Tree* target, const std::string& path) {
    Shape start(entry.shape.size(), 0);
    Shape extent = entry.shape;
    if (const auto slice = slices_.find(path); slice != slices_.end()) {
      start = slice->second->start;
      extent = slice->second->extent;
      if (!check_slice(entry, start, extent, path)) return Tree();
    }
    if (!target) {
      if (!differences_.empty()) return Tree();  // nothing will be read: allocate nothing
      if (!bind(leaf, path, std::move(start), entry.dtype, extent)) return std::nullopt;
      return Tree(result_->leaves.back().destination);
    }
    const auto* given = target->get_if<Tensor>();
    if (given) {
      if (const auto valid = given->check(); valid.has_error()) {
        refuse(path, valid.error().message());
        return *target;
      }
    }
    if (!given || !dtype_fits(entry.dtype, given->dtype()) || !shape_fits(entry.dtype, extent, given->shape())) {
      differ(path, "the checkpoint has a " + Tree(Tensor::abstract(entry.dtype, extent)).describe() +
                       ", the target a " + target->describe());
      return *target;
    }
    if (given->is_read_only()) {
      refuse(path, "the target is read-only memory");
      return *target;
    }
    Tree result = *target;
    if (given->is_abstract()) {
      if (!differences_.empty()) return Tree();
      if (!bind(leaf, path, std::move(start), given->dtype(), given->shape())) return std::nullopt;
      result = result_->leaves.back().destination;
    } else {
      result_->leaves.push_back({leaf, path, std::move(start), *given});
    }
    fit(result_->leaves.back(), extent);
    return result;
  }

  bool dtype_fits(DType saved, DType given) const {
    return given == saved || (request_.cast && can_cast(saved, given));
  }

  bool shape_fits(DType saved, const Shape& extent, const Shape& given) const {
    return given == extent || (request_.fit && given.size() == extent.size() && is_byte_sized(saved));
  }

  // Cuts a destination down to the corner that it has in common with what was saved; the rest is padding.
  static void fit(LeafTarget& leaf, const Shape& extent) {
    const Tensor whole = leaf.destination;
    if (whole.shape() == extent) return;
    // One box for each dimension in which the target reaches further; together they are all but the corner.
    Shape start(extent.size(), 0);
    Shape size = whole.shape();
    for (std::size_t d = 0; d < extent.size(); ++d) {
      const std::int64_t common = std::min(extent[d], whole.shape()[d]);
      if (common < whole.shape()[d]) {
        start[d] = common;
        size[d] = whole.shape()[d] - common;
        if (element_count(size).value_or(0) != 0) leaf.padding.push_back(slice(whole, start, size));
        start[d] = 0;
      }
      size[d] = common;
    }
    leaf.destination = slice(whole, start, size);
  }

  bool check_slice(const StoredLeaf& entry, const Shape& start, const Shape& extent, const std::string& path) {
    bool fits = start.size() == entry.shape.size() && extent.size() == entry.shape.size();
    for (std::size_t d = 0; fits && d < start.size(); ++d) {
      fits = start[d] >= 0 && extent[d] >= 0 && start[d] <= entry.shape[d] && extent[d] <= entry.shape[d] - start[d];
    }
    if (!fits) {
      refuse(path,
             "the slice " + to_string(start) + " + " + to_string(extent) + " is not inside " + to_string(entry.shape));
    } else if (!is_byte_sized(entry.dtype)) {
      refuse(path,
             "elements of type " + std::string(name_of(entry.dtype)) + " are packed: only whole tensors can be read");
      fits = false;
    }
    return fits;
  }

  // Fresh memory.
  bool bind(std::size_t leaf, const std::string& path, Shape start, DType dtype, const Shape& extent) {
    auto tensor = Tensor::allocate(dtype, extent);
    if (tensor.has_error()) {
      if (!error_) error_ = tensor.error().within("leaf " + path);
      return false;
    }
    result_->leaves.push_back({leaf, path, std::move(start), std::move(tensor).value()});
    return true;
  }

  const Manifest& manifest_;
  RestoreItem& request_;
  std::map<std::string, const LeafSlice*, std::less<>> slices_;
  std::vector<bool> pattern_hits_;
  std::size_t next_leaf_ = 0;
  ItemTarget* result_ = nullptr;
  std::vector<std::string> differences_;
  bool is_invalid_ = false;
  std::vector<std::string> missing_;
  std::optional<Error> error_;
};

}  // namespace

Result<ItemTarget> resolve_target(const Manifest& manifest, RestoreItem request) {
  return Resolver(manifest, request).run();
}

void fill_padding(const ItemTarget& target) {
  for (const LeafTarget& leaf : target.leaves) {
    for (const Tensor& padding : leaf.padding) fill_zero(padding);
  }
}

void finish_target(const Manifest& manifest, ItemTarget& target) {
  for (const LeafTarget& leaf : target.leaves) {
    const StoredAs stored_as = manifest.leaves[leaf.leaf].stored_as;
    if (stored_as == StoredAs::tensor) continue;
    const std::byte* data = leaf.destination.data();
    const std::size_t size = leaf.destination.byte_count();
    Tree* node = target.tree.find(leaf.path);
    if (stored_as == StoredAs::string) {
      *node = std::string(reinterpret_cast<const char*>(data), size);
    } else {
      *node = Tree::Bytes(data, data + size);
    }
  }
}

}  // namespace milepost
