#include "milepost/engine/federated/csv_table.h"

#include "milepost/engine/federated/csv_format.h"
#include "milepost/engine/save/publish_file.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <set>
#include <span>
#include <string_view>
#include <utility>

namespace milepost {
namespace {

std::optional<std::int64_t> parse_key(std::string_view text) {
  std::int64_t key = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), key);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return key;
}

// The rows of a file, each checked against the header.
class TableReader {
 public:
  static Result<std::unique_ptr<TableReader>> open(const CsvPlace& place) {
    MILEPOST_ASSIGN(auto file, place.store->open_file(place.name));
    std::unique_ptr<TableReader> reader(new TableReader(std::move(file), place));
    MILEPOST_TRY(reader->read_header(place.key_column));
    return reader;
  }

  const std::vector<std::string>& columns() const { return columns_; }
  bool ends_with_newline() const { return reader_.ends_with_newline(); }

  // The key of the next row, whose cells are then in cells(); none at the end.
  Result<std::optional<std::int64_t>> next() {
    MILEPOST_ASSIGN(const bool more, reader_.next(cells_));
    if (!more) return std::optional<std::int64_t>();
    if (cells_.size() != columns_.size()) {
      return damaged(std::to_string(cells_.size()) + " cells under " + std::to_string(columns_.size()) + " columns");
    }
    const auto key = parse_key(cells_[key_index_]);
    if (!key) return damaged("the key is \"" + cells_[key_index_] + "\": no integer of 64 bits");
    return key;
  }
  std::vector<std::string>& cells() { return cells_; }

 private:
  TableReader(std::unique_ptr<ReadFile> file, const CsvPlace& place)
      : file_(std::move(file)), source_(make_byte_source(*file_, place.compression)), reader_(*source_) {}

  Result<void> read_header(const std::string& key_column) {
    if (file_->size() == 0) return no_key_column(key_column, "the file is empty");
    MILEPOST_ASSIGN(const bool any, reader_.next(columns_));
    const auto key = std::find(columns_.begin(), columns_.end(), key_column);
    if (!any || key == columns_.end()) return no_key_column(key_column, "its header has none of that name");
    key_index_ = static_cast<std::size_t>(key - columns_.begin());
    std::set<std::string_view> names;
    for (const std::string& column : columns_) {
      if (!names.insert(column).second) return damaged("there are two columns \"" + column + "\"");
    }
    return {};
  }

  static Error no_key_column(const std::string& key_column, const char* why) {
    return Error(ErrorCode::failed_precondition, "no column of keys, \"" + key_column + "\": " + why);
  }
  Error damaged(const std::string& what) const {
    return Error(ErrorCode::corruption, "line " + std::to_string(reader_.line()) + ": " + what);
  }

  const std::unique_ptr<ReadFile> file_;
  const std::unique_ptr<ByteSource> source_;
  CsvReader reader_;
  std::vector<std::string> columns_;
  std::size_t key_index_ = 0;
  std::vector<std::string> cells_;
};

Result<void> write_row(ByteSink& sink, std::string& line, const std::vector<std::string>& cells) {
  line.clear();
  append_csv_row(line, cells);
  return sink.write(std::as_bytes(std::span(line)));
}

}  // namespace

Result<CsvTable> read_csv_table(const CsvPlace& place) {
  MILEPOST_ASSIGN(const EntryInfo info, place.store->stat(place.name));
  MILEPOST_ASSIGN(const auto reader, TableReader::open(place));
  CsvTable table;
  table.columns = reader->columns();
  table.take(info);
  for (;;) {
    MILEPOST_ASSIGN(const std::optional<std::int64_t> key, reader->next());
    if (!key) break;
    table.least_key = std::min(table.least_key.value_or(*key), *key);
    table.greatest_key = std::max(table.greatest_key.value_or(*key), *key);
  }
  table.ends_with_newline = reader->ends_with_newline();
  return table;
}

Result<EntryInfo> rewrite_csv(const CsvPlace& place, const CsvTable& table, const std::vector<std::string>& columns,
                              std::int64_t keys_below, const std::vector<std::string>& last_row) {
  const auto changed = [&] { return Error(ErrorCode::unavailable, "somebody else is changing the file"); };
  const auto write = [&](WriteFile& file) -> Result<void> {
    const auto sink = make_byte_sink(file, place.compression);
    std::string line;
    MILEPOST_TRY(write_row(*sink, line, columns));
    if (table.least_key && *table.least_key < keys_below) {
      MILEPOST_ASSIGN(const auto reader, TableReader::open(place));
      if (reader->columns() != table.columns) return changed();
      for (;;) {
        MILEPOST_ASSIGN(const std::optional<std::int64_t> key, reader->next());
        if (!key) break;
        if (*key >= keys_below) continue;
        reader->cells().resize(columns.size());
        MILEPOST_TRY(write_row(*sink, line, reader->cells()));
      }
    }
    MILEPOST_TRY(write_row(*sink, line, last_row));
    return sink->finish();
  };
  EntryInfo published;
  const auto last_look = [&](const std::string& path) -> Result<void> {
    MILEPOST_ASSIGN(published, place.store->stat(path));
    MILEPOST_ASSIGN(const EntryInfo present, place.store->stat(place.name));
    return table.is_of(present) ? Result<void>() : changed();
  };
  MILEPOST_TRY(publish_file(*place.store, place.name, IfThere::replace, write, last_look));
  return published;
}

Result<void> ensure_csv(const CsvPlace& place) {
  if (const auto info = place.store->stat(place.name);
      info.has_value() || info.error().code() != ErrorCode::not_found) {
    return info.has_value() ? Result<void>() : info.error();
  }
  const auto write = [&](WriteFile& file) -> Result<void> {
    const auto sink = make_byte_sink(file, place.compression);
    std::string line;
    MILEPOST_TRY(write_row(*sink, line, {place.key_column}));
    return sink->finish();
  };
  MILEPOST_TRY(publish_file(*place.store, place.name, IfThere::keep, write));
  return {};
}

}  // namespace milepost
