#include "milepost/engine/item_files.h"

#include "milepost/engine/format/names.h"
#include "milepost/io/posix_store.h"
#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace milepost {
namespace {

namespace fs = std::filesystem;

Result<std::unique_ptr<Store>> open_directory(const std::string& path) {
  return PosixStore::open(path, {.create = false, .backend = IoBackend::threads, .io_threads = 1});
}

// A directory, and the name of something in it.
struct Place {
  std::string directory;
  std::string name;
};

Result<Place> place_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const fs::path whole(path);
  Place place{whole.parent_path().string(), whole.filename().string()};
  if (place.name.empty() || place.name == "." || place.name == "..") return invalid(path + ": does not name a file");
  if (place.directory.empty()) place.directory = ".";
  return place;
}

std::string below(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + '/' + name;
}

// --- Checks.

Result<void> check_name(const std::string& name) {
  if (name == "." || name == ".." || name.size() > name_bytes_max || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos) {
    return invalid("cannot be the name of a file");
  }
  return {};
}

Result<void> check_content(const Tree& node, const std::string& path) {
  if (const auto* directory = node.get_if<Tree::Map>()) {
    for (const auto& [name, child] : *directory) {
      const std::string child_path = join_path(path, name);
      if (auto valid = check_name(name); valid.has_error()) return valid.error().within(child_path);
      MILEPOST_TRY(check_content(child, child_path));
    }
    return {};
  }
  const auto* bytes = node.get_if<Tensor>();
  if (!bytes || bytes->dtype() != DType::u8 || bytes->shape().size() != 1 || bytes->is_abstract() ||
      !bytes->is_contiguous()) {
    return invalid("expected the bytes of a file, a packed tensor U8[n], found a " + node.describe()).within(path);
  }
  return {};
}

// --- Reading.

class Reader {
 public:
  Reader(Store& store, std::string root) : store_(store), root_(std::move(root)) {}

  Result<Tree> directory(const std::string& path, const std::string& tree_path) {
    MILEPOST_ASSIGN(const auto entries, store_.list_directory(path));
    Tree tree = Tree::map();
    for (const DirectoryEntry& entry : entries) {
      const std::string child = below(path, entry.name);
      const std::string child_in_tree = join_path(tree_path, entry.name);
      if (entry.type == EntryType::other) {
        const std::string full = root_ + '/' + child;
        std::error_code unknown;
        return invalid(full + (fs::is_symlink(full, unknown)
                                   ? ": is a symbolic link: copy the directory with cp -rL first"
                                   : ": is neither a regular file nor a directory"));
      }
      auto read = entry.type == EntryType::directory ? directory(child, child_in_tree) : file(child, child_in_tree);
      if (read.has_error()) return read.error();
      tree[entry.name] = std::move(read).value();
    }
    return tree;
  }

  Result<Tree> file(const std::string& path, const std::string& tree_path) {
    MILEPOST_ASSIGN(const EntryInfo before, store_.stat(path));
    MILEPOST_ASSIGN(const auto opened, store_.open_file(path));
    MILEPOST_ASSIGN(Tensor bytes, Tensor::allocate(DType::u8, {static_cast<std::int64_t>(opened->size())}));
    MILEPOST_ASSIGN(const std::size_t read, read_at(*opened, 0, {bytes.data(), bytes.byte_count()}));
    MILEPOST_ASSIGN(const EntryInfo after, store_.stat(path));
    const bool changed = after.size != before.size || after.modified_unix_ns != before.modified_unix_ns;
    if (changed || read != before.size || bytes.byte_count() != before.size) {
      return Error(ErrorCode::unavailable, root_ + '/' + path + ": changed while it was read");
    }
    std::error_code failed;
    const auto mode = fs::status(fs::path(root_) / path, failed).permissions();
    if (failed) return Error::from_errno(failed.value(), "stat " + root_ + '/' + path);
    if ((mode & fs::perms::owner_exec) != fs::perms::none) executable_.insert(tree_path);
    return Tree(std::move(bytes));
  }

  std::set<std::string, std::less<>> take_executable() { return std::move(executable_); }

 private:
  Store& store_;
  const std::string root_;
  std::set<std::string, std::less<>> executable_;
};

// --- Writing.

class Writer {
 public:
  Writer(const Files& files, Store& store, std::string root) : files_(files), store_(store), root_(std::move(root)) {}

  Result<void> node(const Tree& tree, const std::string& path, const std::string& tree_path) {
    const auto* children = tree.get_if<Tree::Map>();
    if (!children) return file(*tree.get_if<Tensor>(), path, tree_path);
    MILEPOST_TRY(store_.make_directory(path));
    for (const auto& [name, child] : *children) {
      MILEPOST_TRY(node(child, below(path, name), join_path(tree_path, name)));
    }
    return store_.sync_directory(path);
  }

 private:
  Result<void> file(const Tensor& bytes, const std::string& path, const std::string& tree_path) {
    if (!files_.executable.contains(tree_path)) return write_file(store_, path, {bytes.data(), bytes.byte_count()});
    MILEPOST_ASSIGN(const auto file, store_.create_file(path, {}));
    MILEPOST_TRY(write_at(*file, 0, {bytes.data(), bytes.byte_count()}));
    // By whoever may read it; and before the fsync, which takes the permissions along.
    std::error_code failed;
    const fs::path full = fs::path(root_) / path;
    const auto readable = fs::status(full, failed).permissions() & static_cast<fs::perms>(0444);
    if (!failed)
      fs::permissions(full, static_cast<fs::perms>(static_cast<unsigned>(readable) >> 2), fs::perm_options::add,
                      failed);
    if (failed) return Error::from_errno(failed.value(), "chmod " + full.string());
    MILEPOST_TRY(file->sync());
    return file->close();
  }

  const Files& files_;
  Store& store_;
  const std::string root_;
};

Result<void> remove_any(Store& store, const std::string& name) {
  MILEPOST_ASSIGN(const EntryInfo info, store.stat(name));
  return info.type == EntryType::directory ? remove_tree(store, name) : store.remove_file(name);
}

std::string hidden_name() { return ".milepost-" + make_uuid(); }

// Gives what was written its name; returns where what had that name before is now, if anything had.
Result<std::optional<std::string>> publish(Store& store, const std::string& written, const std::string& name,
                                           bool replace) {
  auto renamed = store.rename_no_replace(written, name);
  if (renamed.has_value()) return std::optional<std::string>();
  if (!replace || renamed.error().code() != ErrorCode::already_exists) return renamed.error();
  if (store.exchange(written, name).has_value()) return std::optional(written);
  const std::string old = hidden_name();
  MILEPOST_TRY(store.rename_no_replace(name, old));
  renamed = store.rename_no_replace(written, name);
  if (renamed.has_value()) return std::optional(old);
  if (auto back = store.rename_no_replace(old, name); back.has_error()) {
    return renamed.error().within("what was there is now " + old);
  }
  return renamed.error();
}

}  // namespace

Result<void> check_files(const Files& files) {
  MILEPOST_TRY(check_tree(files.content));
  MILEPOST_TRY(check_content(files.content, ""));
  for (const std::string& path : files.executable) {
    const Tree* node = files.content.find(path);
    if (!node || !node->get_if<Tensor>()) return invalid(path + ": is to be executable, but is no file");
  }
  return {};
}

Result<Files> Files::read(const std::string& path) {
  std::error_code unknown;  // what is wrong shows when it is opened
  std::string target = fs::canonical(path, unknown).string();
  if (unknown) target = path;
  const bool is_directory = fs::is_directory(target, unknown);
  Place place{target, ""};
  if (!is_directory) {
    MILEPOST_ASSIGN(place, place_of(target));
  }
  MILEPOST_ASSIGN(const auto store, open_directory(place.directory));
  Reader reader(*store, place.directory);
  auto content = is_directory ? reader.directory("", "") : reader.file(place.name, "");
  if (content.has_error()) return content.error();
  Files files{std::move(content).value(), reader.take_executable()};
  if (auto valid = check_files(files); valid.has_error()) return valid.error().within(path);
  return files;
}

Result<void> Files::write(const std::string& path, bool replace) const {
  if (auto valid = check_files(*this); valid.has_error()) return valid.error().within(path);
  MILEPOST_ASSIGN(const Place place, place_of(path));
  MILEPOST_ASSIGN(const auto store, open_directory(place.directory));
  if (!replace && store->stat(place.name).has_value()) {
    return Error(ErrorCode::already_exists, path + ": is there, and was not touched");
  }
  const std::string hidden = hidden_name();
  auto written = Writer(*this, *store, place.directory).node(content, hidden, "");
  auto old = written.has_value() ? publish(*store, hidden, place.name, replace)
                                 : Result<std::optional<std::string>>(written.error());
  if (old.has_error()) {
    Error error = old.error();
    if (auto removed = remove_any(*store, hidden); removed.has_error()) {
      if (removed.error().code() != ErrorCode::not_found) error.within("part of it is left in " + hidden);
    }
    return error.within("write " + path);
  }
  MILEPOST_TRY(store->sync_directory(""));
  if (*old) MILEPOST_TRY(remove_any(*store, **old));
  return {};
}

Result<Tree> ItemHandler<Files>::to_tree(const Files& files) {
  MILEPOST_TRY(check_files(files));
  Tree::List executable;
  for (const std::string& path : files.executable) executable.emplace_back(path);
  return Tree::map({{"content", files.content}, {"executable", Tree::list(std::move(executable))}});
}

// Of a partial restore what there is; its list of executable files may be missing, or name files that are.
Result<Files> ItemHandler<Files>::from_tree(Tree tree) {
  Tree* content = tree.find("content");
  if (!content) return corrupt("expected files, found a " + tree.describe());
  Files files{std::move(*content)};
  if (const Tree* list = tree.find("executable")) {
    const auto* paths = list->get_if<Tree::List>();
    if (!paths) return corrupt("executable: expected a list, found a " + list->describe());
    for (const Tree& path : *paths) {
      const auto* text = path.get_if<std::string>();
      if (!text) return corrupt("executable: expected a path, found a " + path.describe());
      if (files.content.find(*text)) files.executable.insert(*text);
    }
  }
  if (auto valid = check_files(files); valid.has_error()) return corrupt(valid.error().to_string());
  return files;
}

}  // namespace milepost
