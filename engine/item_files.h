// Files as an item: one file, or a directory with all it holds (a tokenizer, the state of a data loader). Contents,
// names and the executable bit are kept; owners, times and other permissions are not.
//
//   auto tokenizer = milepost::Files::read("tokenizer/").value();
//   manager.save(step, {{"state", state}, make_item("tokenizer", tokenizer).value()});
//   manager.restore().value().get<Files>("tokenizer").value().write("restored/tokenizer").value();
//
// In the tree a file is a U8 tensor at content/<path>, so it is streamed, and can be restored alone:
// select = {"content/vocab.json"}.
#pragma once

#include "milepost/engine/item_handler.h"

#include <set>
#include <string>

namespace milepost {

struct Files {
  // A leaf is a file: a U8 tensor of one dimension. A map is a directory, by name.
  Tree content;
  std::set<std::string, std::less<>> executable = {};  // paths in `content`; "" is a single file

  // Reads all of it into memory that the tensors own and share: copies are cheap, and what happens to the files
  // afterwards does not matter. `path` itself may be a link; below it only directories and regular files: a link,
  // or anything else, is invalid_argument, and so is a name that is not UTF-8. unavailable if a file changes
  // meanwhile.
  static Result<Files> read(const std::string& path);

  // Writes all of it beside `path` under another name, durably, and renames it, so that `path` is never there in
  // part. already_exists if there is anything at `path`; with `replace` the two are exchanged at once and the old
  // removed after; where the file system cannot exchange, the old is moved away first.
  // The parent must exist. Names come from a file that may be hostile: any that would lead out of `path` is refused.
  // Killed meanwhile, it leaves .milepost-... beside `path`.
  Result<void> write(const std::string& path, bool replace = false) const;
};

// invalid_argument unless every leaf is a U8 tensor with memory, every name can be a file's, and what is executable
// is a file.
Result<void> check_files(const Files& files);

template <> struct ItemHandler<Files> {
  static constexpr std::string_view name = "files";
  static Result<Tree> to_tree(const Files& files);
  static Result<Files> from_tree(Tree tree);
};

}  // namespace milepost
