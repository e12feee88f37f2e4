// A CSV file of releases: one row a key, under a header. Reading it through, and writing it anew.
#pragma once

#include "milepost/io/byte_stream.h"
#include "milepost/io/store.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace milepost {

// Which file, at the root of which store, and how it is read.
struct CsvPlace {
  Store* store = nullptr;
  std::string name;
  std::string key_column;
  Compression compression = Compression::none;
};

// What has to be known of a file in order to add to it.
struct CsvTable {
  std::vector<std::string> columns;
  // Of the rows; none if there is no row.
  std::optional<std::int64_t> least_key;
  std::optional<std::int64_t> greatest_key;
  bool ends_with_newline = true;
  // As the file was before it was read.
  std::uint64_t size = 0;
  std::int64_t modified_unix_ns = 0;

  // Whether the file still is as it was.
  bool is_of(const EntryInfo& info) const { return info.size == size && info.modified_unix_ns == modified_unix_ns; }
  // It is known to be like this now.
  void take(const EntryInfo& info) {
    size = info.size;
    modified_unix_ns = info.modified_unix_ns;
  }
};

// Reads all of it, in a bounded buffer. failed_precondition: it has no header with the key's column, or no bytes at
// all. corruption, naming the line: a row without a key that is an integer, of too many or too few cells, or damaged;
// two columns of one name. not_found.
Result<CsvTable> read_csv_table(const CsvPlace& place);

// Publishes a file of that header (publish_file.h): the rows of the present one whose key is below `keys_below`, with
// empty cells for the columns behind theirs, and behind them `last_row`. The present columns are the first of
// `columns`. If no row stays the present file is not read, and its columns do not matter. The present file is that of
// `table`: unavailable if somebody else changes it meanwhile. Gives what the new file is like. On errors as
// publish_file.
Result<EntryInfo> rewrite_csv(const CsvPlace& place, const CsvTable& table, const std::vector<std::string>& columns,
                              std::int64_t keys_below, const std::vector<std::string>& last_row);

// Makes a file of a header with the key's column alone, unless there is a file.
Result<void> ensure_csv(const CsvPlace& place);

}  // namespace milepost
