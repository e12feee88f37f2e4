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
  Resolver(const Manifest& manifest, const RestoreItem& request, const ReadLeafFn& read)
      : manifest_(manifest), request_(request), read_(read), pattern_hits_(request.select.size(), false) {
    for (const LeafSlice& slice : request.slices) {
      if (!slices_.emplace(slice.path, &slice).second) refuse(slice.path, "two slices of it are asked for");
    }
  }

  Result<ItemTarget> in_place(Tree& target) {
    place(manifest_.tree, target, "");
    return result();
  }

  Result<ItemTarget> fresh(Tree& tree) {
    auto made = make(manifest_.tree, "");
    if (made) tree = std::move(*made);
    return result();
  }

 private:
  Result<ItemTarget> result() {
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
    return std::move(result_);
  }

  static std::string join(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += (text.empty() ? "" : "\n  ") + line;
    return text;
  }

  void differ(const std::string& path, const std::string& what) {
    differences_.push_back((path.empty() ? "(root)" : path) + ": " + what);
  }

  void differ(const std::string& path, const Tree& saved, const Tree& target) {
    differ(path, "the checkpoint has a " + saved.describe() + ", the target a " + target.describe());
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

  // --- In place: the target keeps its structure, and leaves of it are filled or replaced.

  void place(const Tree& saved, Tree& target, const std::string& path) {
    if (request_.placeholders && target.get_if<std::nullptr_t>()) {
      pass_over(saved, path);
    } else if (const auto* map = saved.get_if<Tree::Map>()) {
      auto* given = target.get_if<Tree::Map>();
      given ? place_map(*map, *given, path) : mismatch(saved, target, path);
    } else if (const auto* list = saved.get_if<Tree::List>()) {
      auto* given = target.get_if<Tree::List>();
      given ? place_list(*list, *given, path) : mismatch(saved, target, path);
    } else {
      place_leaf(saved, target, path);
    }
  }

  void place_map(const Tree::Map& saved, Tree::Map& given, const std::string& path) {
    for (const auto& [key, child] : saved) {
      const auto it = given.find(key);
      if (it == given.end()) {
        note_absent(child, join_path(path, key));
      } else {
        place(child, it->second, join_path(path, key));
      }
    }
    for (const auto& [key, child] : given) {
      if (!saved.contains(key)) note_surplus(child, join_path(path, key));
    }
  }

  void place_list(const Tree::List& saved, Tree::List& given, const std::string& path) {
    for (std::size_t i = 0; i < saved.size(); ++i) {
      if (i >= given.size()) {
        note_absent(saved[i], join_path(path, i));
      } else {
        place(saved[i], given[i], join_path(path, i));
      }
    }
    for (std::size_t i = saved.size(); i < given.size(); ++i) note_surplus(given[i], join_path(path, i));
  }

  void place_leaf(const Tree& saved, Tree& target, const std::string& path) {
    const bool stored = saved.get_if<Tensor>() != nullptr;
    const std::size_t leaf = stored ? next_leaf_++ : 0;
    if (!selected(path)) return;
    if (!stored) {
      if (target.value().index() != saved.value().index()) {
        differ(path, saved, target);
      } else {
        result_.replacements.push_back({&target, saved});
      }
      return;
    }
    const StoredLeaf& entry = manifest_.leaves[leaf];
    if (entry.stored_as == StoredAs::tensor) return place_tensor(entry, leaf, target, path);
    const bool is_text = entry.stored_as == StoredAs::string;
    if (is_text ? target.get_if<std::string>() == nullptr : target.get_if<Tree::Bytes>() == nullptr) {
      differ(path, is_text ? Tree("") : Tree(Tree::Bytes()), target);
    }
    read_text(entry, leaf, path);
  }

  void place_tensor(const StoredLeaf& entry, std::size_t leaf, Tree& target, const std::string& path) {
    const LeafSlice* const part = slice_of(path);
    if (part && !check_slice(entry, *part, path)) return;
    const Shape& extent = part ? part->extent : entry.shape;
    const auto* given = target.get_if<Tensor>();
    if (given) {
      if (const auto valid = given->check(); valid.has_error()) return refuse(path, valid.error().message());
    }
    if (!given || !dtype_fits(entry.dtype, given->dtype()) || !shape_fits(entry.dtype, extent, given->shape())) {
      return differ(path, Tensor::abstract(entry.dtype, extent), target);
    }
    if (given->is_read_only()) return refuse(path, "the target is read-only memory");
    Tensor destination = *given;
    if (given->is_abstract()) {
      auto fresh = allocate(path, given->dtype(), given->shape());
      if (!fresh) return;
      destination = *std::move(fresh);
      result_.replacements.push_back({&target, destination});
    }
    read_({leaf, part ? part->start : Shape(), fit(destination, extent)});
  }

  // --- Without a target. What for a node; none if nothing below it is wanted.

  std::optional<Tree> make(const Tree& saved, const std::string& path) {
    if (const auto* map = saved.get_if<Tree::Map>()) return make_map(*map, path);
    if (const auto* list = saved.get_if<Tree::List>()) return make_list(*list, path);
    return make_leaf(saved, path);
  }

  std::optional<Tree> make_map(const Tree::Map& saved, const std::string& path) {
    Tree::Map result;
    for (const auto& [key, child] : saved) {
      if (auto made = make(child, join_path(path, key))) result.emplace_hint(result.end(), key, std::move(*made));
    }
    if (result.empty() && !saved.empty()) return std::nullopt;
    return Tree(std::move(result));
  }

  std::optional<Tree> make_list(const Tree::List& saved, const std::string& path) {
    Tree::List result;
    bool any = saved.empty();
    for (std::size_t i = 0; i < saved.size(); ++i) {
      auto made = make(saved[i], join_path(path, i));
      any = any || made.has_value();
      result.push_back(made ? std::move(*made) : Tree());  // null keeps the places of the others
    }
    if (!any) return std::nullopt;
    return Tree(std::move(result));
  }

  std::optional<Tree> make_leaf(const Tree& saved, const std::string& path) {
    const bool stored = saved.get_if<Tensor>() != nullptr;
    const std::size_t leaf = stored ? next_leaf_++ : 0;
    if (!selected(path)) return std::nullopt;
    if (!stored) return saved;
    const StoredLeaf& entry = manifest_.leaves[leaf];
    if (entry.stored_as != StoredAs::tensor) {
      read_text(entry, leaf, path);
      return Tree();
    }
    const LeafSlice* const part = slice_of(path);
    if (part && !check_slice(entry, *part, path)) return Tree();
    auto fresh = allocate(path, entry.dtype, part ? part->extent : entry.shape);
    if (!fresh) return Tree();
    read_({leaf, part ? part->start : Shape(), *fresh});
    return Tree(*std::move(fresh));
  }

  // --- What does not fit.

  // Of what for_each_leaf says of a node that has a path itself.
  static std::string path_below(const std::string& path, const std::string& below) {
    return path.empty() || below.empty() ? path + below : path + "/" + below;
  }

  // Counts the leaves of a node; whether any is selected.
  bool pass_over(const Tree& saved, const std::string& path) {
    bool wanted = false;
    for_each_leaf(saved, [&](const std::string& below, const Tree& leaf) {
      if (leaf.get_if<Tensor>()) ++next_leaf_;
      wanted |= selected(path_below(path, below));
    });
    return wanted;
  }

  // A container on one side only, or of another kind.
  void mismatch(const Tree& saved, const Tree& target, const std::string& path) {
    const bool wanted = pass_over(saved, path);
    if (wanted || request_.select.empty()) differ(path, saved, target);
  }

  void note_absent(const Tree& saved, const std::string& path) {
    bool wanted = saved.is_leaf() ? false : request_.select.empty();
    for_each_leaf(saved, [&](const std::string& below, const Tree& leaf) {
      if (leaf.get_if<Tensor>()) ++next_leaf_;
      const std::string full = path_below(path, below);
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
      const std::string full = path_below(path, below);
      if (selected(full)) differ(full, "missing in the checkpoint (the target has a " + leaf.describe() + ")");
    });
    if (!any && request_.select.empty())
      differ(path, "missing in the checkpoint (the target has an empty " + given.describe() + ")");
  }

  // --- Where it goes.

  bool dtype_fits(DType saved, DType given) const {
    return given == saved || (request_.cast && can_cast(saved, given));
  }

  bool shape_fits(DType saved, const Shape& extent, const Shape& given) const {
    return given == extent || (request_.fit && given.size() == extent.size() && is_byte_sized(saved));
  }

  // The corner of a destination that it has in common with what was saved; the rest is padding.
  Tensor fit(const Tensor& whole, const Shape& extent) {
    if (whole.shape() == extent) return whole;
    // One box for each dimension in which the target reaches further; together they are all but the corner.
    Shape start(extent.size(), 0);
    Shape size = whole.shape();
    for (std::size_t d = 0; d < extent.size(); ++d) {
      const std::int64_t common = std::min(extent[d], whole.shape()[d]);
      if (common < whole.shape()[d]) {
        start[d] = common;
        size[d] = whole.shape()[d] - common;
        if (element_count(size).value_or(0) != 0) result_.padding.push_back(slice(whole, start, size));
        start[d] = 0;
      }
      size[d] = common;
    }
    return slice(whole, start, size);
  }

  const LeafSlice* slice_of(const std::string& path) const {
    const auto slice = slices_.find(path);
    return slice == slices_.end() ? nullptr : slice->second;
  }

  bool check_slice(const StoredLeaf& entry, const LeafSlice& part, const std::string& path) {
    const Shape& start = part.start;
    const Shape& extent = part.extent;
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

  // Fresh memory; none if there is none, or if nothing will be read because of differences.
  std::optional<Tensor> allocate(const std::string& path, DType dtype, const Shape& extent) {
    if (!differences_.empty()) return std::nullopt;
    auto tensor = Tensor::allocate(dtype, extent);
    if (tensor.has_value()) return std::move(tensor).value();
    if (!error_) error_ = tensor.error().within("leaf " + path);
    return std::nullopt;
  }

  void read_text(const StoredLeaf& entry, std::size_t leaf, const std::string& path) {
    if (slice_of(path)) missing_.push_back("slice of " + path + ": no such tensor");
    auto fresh = allocate(path, DType::u8, entry.shape);
    if (!fresh) return;
    read_({leaf, {}, *fresh});
    result_.texts.push_back({path, entry.stored_as, *std::move(fresh)});
  }

  const Manifest& manifest_;
  const RestoreItem& request_;
  const ReadLeafFn& read_;
  std::map<std::string, const LeafSlice*, std::less<>> slices_;
  std::vector<bool> pattern_hits_;
  std::size_t next_leaf_ = 0;
  ItemTarget result_;
  std::vector<std::string> differences_;
  bool is_invalid_ = false;
  std::vector<std::string> missing_;
  std::optional<Error> error_;
};

}  // namespace

Result<ItemTarget> resolve_target(const Manifest& manifest, const RestoreItem& request, Tree& tree,
                                  const ReadLeafFn& read) {
  return Resolver(manifest, request, read).in_place(tree);
}

Result<ItemTarget> resolve_fresh(const Manifest& manifest, const RestoreItem& request, Tree& tree,
                                 const ReadLeafFn& read) {
  return Resolver(manifest, request, read).fresh(tree);
}

void fill_padding(const ItemTarget& target) {
  for (const Tensor& padding : target.padding) fill_zero(padding);
}

void finish_target(ItemTarget& target, Tree& tree) {
  for (const ItemTarget::Text& text : target.texts) {
    const std::byte* data = text.read.data();
    const std::size_t size = text.read.byte_count();
    Tree value = text.stored_as == StoredAs::string ? Tree(std::string(reinterpret_cast<const char*>(data), size))
                                                    : Tree(Tree::Bytes(data, data + size));
    target.replacements.push_back({tree.find(text.path), std::move(value)});
  }
  for (auto& [node, value] : target.replacements) *node = std::move(value);
}

}  // namespace milepost
