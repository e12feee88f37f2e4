#include "milepost/engine/federated/csv_release_manager.h"

#include "milepost/engine/collector.h"
#include "milepost/engine/federated/atomic_appender.h"
#include "milepost/engine/federated/csv_cells.h"
#include "milepost/engine/federated/csv_format.h"
#include "milepost/engine/federated/csv_table.h"
#include "milepost/io/posix_store.h"
#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace milepost {
namespace {

struct Path {
  std::string directory;
  std::string name;
};

Path split(const std::string& file_path) {
  const std::size_t slash = file_path.rfind('/');
  if (slash == file_path.npos) return {".", file_path};
  return {slash == 0 ? "/" : file_path.substr(0, slash), file_path.substr(slash + 1)};
}

Result<void> check(const Path& path, const CsvFileReleaseManagerOptions& options) {
  if (path.name.empty() || path.name == "." || path.name == "..")
    return invalid("the path does not end in a file's name");
  if (path.name.size() > AtomicAppender::file_name_bytes_max) {
    return invalid("a file's name must not be longer than " + std::to_string(AtomicAppender::file_name_bytes_max) +
                   " bytes");
  }
  const std::string& key = options.key_fieldname;
  if (key.empty()) return invalid("key_fieldname is empty");
  if (key.find('\0') != key.npos || !is_valid_utf8(key))
    return invalid("key_fieldname must be UTF-8 without zero bytes");
  if (options.save_mode == CsvSaveMode::append && compression_of(path.name) != Compression::none) {
    return invalid("compressed files cannot be appended to: use CsvSaveMode::write");
  }
  return {};
}

}  // namespace

class CsvFileReleaseManager::Impl {
 public:
  static Result<std::unique_ptr<Impl>> open(const std::string& file_path, CsvFileReleaseManagerOptions options) {
    const Path path = split(file_path);
    MILEPOST_TRY(check(path, options));
    if (!options.store) {
      MILEPOST_ASSIGN(options.store, PosixStore::open(path.directory));
    }
    std::unique_ptr<Impl> impl(new Impl(file_path, path.name, std::move(options)));
    MILEPOST_ASSIGN(impl->appender_, AtomicAppender::open(*impl->place_.store, path.name));
    MILEPOST_TRY(Collector(*impl->place_.store).sweep());
    MILEPOST_TRY(ensure_csv(impl->place_));
    MILEPOST_ASSIGN(impl->table_, read_csv_table(impl->place_));
    return impl;
  }

  const std::string& file_path() const { return file_path_; }

  Result<void> release(const ProgramValue& value, std::int64_t key) {
    MILEPOST_ASSIGN(const Tree tree, materialize(value));
    MILEPOST_ASSIGN(std::vector<CsvCell> cells, csv_cells(tree, place_.key_column));
    const std::lock_guard lock(mutex_);
    MILEPOST_TRY(refresh());
    const bool removes = table_->greatest_key && *table_->greatest_key >= key;
    std::vector<std::string> columns =
        removes && *table_->least_key >= key ? std::vector<std::string>{place_.key_column} : table_->columns;
    const std::vector<std::string> row = make_row(key, std::move(cells), columns);
    const bool same_columns = columns.size() == table_->columns.size();
    if (mode_ == CsvSaveMode::append && !removes && same_columns) return append(row, key);
    return rewrite(std::move(columns), row, key);
  }

 private:
  Impl(std::string file_path, const std::string& name, CsvFileReleaseManagerOptions options)
      : file_path_(std::move(file_path)),
        mode_(options.save_mode),
        store_(std::move(options.store)),
        place_{store_.get(), name, std::move(options.key_fieldname), compression_of(name)} {}

  // Reads the file again if it is not as this manager left it.
  Result<void> refresh() {
    MILEPOST_TRY(appender_->repair());
    if (table_) {
      MILEPOST_ASSIGN(const EntryInfo info, store_->stat(place_.name));
      if (table_->is_of(info)) return {};
    }
    MILEPOST_ASSIGN(table_, read_csv_table(place_));
    return {};
  }

  // The row under `columns`, to which the missing ones are added.
  std::vector<std::string> make_row(std::int64_t key, std::vector<CsvCell> cells,
                                    std::vector<std::string>& columns) const {
    std::map<std::string_view, std::string*> texts;
    for (CsvCell& cell : cells) texts.emplace(cell.column, &cell.text);
    std::vector<std::string> row;
    for (const std::string& column : columns) {
      const auto text = texts.find(column);
      row.push_back(column == place_.key_column ? std::to_string(key)
                    : text == texts.end()       ? std::string()
                                                : std::move(*text->second));
      if (text != texts.end()) text->second = nullptr;
    }
    for (const CsvCell& cell : cells) {
      std::string* const text = texts.at(cell.column);
      if (text == nullptr) continue;
      columns.push_back(cell.column);
      row.push_back(std::move(*text));
    }
    return row;
  }

  Result<void> append(const std::vector<std::string>& row, std::int64_t key) {
    std::string text(table_->ends_with_newline ? "" : csv_newline);
    append_csv_row(text, row);
    const std::uint64_t size = table_->size + text.size();
    MILEPOST_TRY(appender_->append(table_->size, std::move(text)));
    table_->least_key = table_->least_key.value_or(key);
    table_->greatest_key = key;
    table_->ends_with_newline = true;
    const auto info = store_->stat(place_.name);
    if (info.has_error() || info->size != size) {
      table_.reset();  // somebody else has been here: read it again
    } else {
      table_->take(*info);
    }
    return {};
  }

  Result<void> rewrite(std::vector<std::string> columns, const std::vector<std::string>& row, std::int64_t key) {
    MILEPOST_ASSIGN(const EntryInfo info, rewrite_csv(place_, *table_, columns, key, row));
    table_->columns = std::move(columns);
    table_->least_key = std::min(table_->least_key.value_or(key), key);
    table_->greatest_key = key;
    table_->ends_with_newline = true;
    table_->take(info);
    return {};
  }

  const std::string file_path_;
  const CsvSaveMode mode_;
  const std::shared_ptr<Store> store_;
  const CsvPlace place_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::unique_ptr<AtomicAppender> appender_;
  std::optional<CsvTable> table_;  // none: to be read again
};

CsvFileReleaseManager::CsvFileReleaseManager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CsvFileReleaseManager::CsvFileReleaseManager(CsvFileReleaseManager&&) noexcept = default;
CsvFileReleaseManager& CsvFileReleaseManager::operator=(CsvFileReleaseManager&&) noexcept = default;
CsvFileReleaseManager::~CsvFileReleaseManager() = default;

Result<CsvFileReleaseManager> CsvFileReleaseManager::open(const std::string& file_path,
                                                          CsvFileReleaseManagerOptions options) {
  auto impl = Impl::open(file_path, std::move(options));
  if (impl.has_error()) return impl.error().within("open " + file_path);
  return CsvFileReleaseManager(std::move(impl).value());
}

Result<void> CsvFileReleaseManager::release(const ProgramValue& value, const std::int64_t& key) {
  auto released = impl_->release(value, key);
  if (released.has_value()) return {};
  return released.error().within(impl_->file_path()).within("release " + std::to_string(key));
}

}  // namespace milepost
