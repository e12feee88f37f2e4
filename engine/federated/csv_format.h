// Rows of CSV files, as Python's csv module reads and writes them in its default dialect.
#pragma once

#include "milepost/io/byte_stream.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace milepost {

inline constexpr std::string_view csv_newline = "\r\n";

// Appends a row: cells with a comma, a quote or an end of line in them are quoted, and so is the only cell if it is
// empty.
void append_csv_row(std::string& out, const std::vector<std::string>& cells);

// Rows end with CR LF, LF or CR; blank ones are passed over. Holds one row, and a buffer. Not thread-safe.
class CsvReader {
 public:
  // The source must outlive the reader.
  explicit CsvReader(ByteSource& source) : source_(source) {}

  // The next row; false at the end. corruption, naming the line, if a quote is not closed, or there is a zero byte, of
  // which no text is made, but what a crash leaves of a file may be.
  Result<bool> next(std::vector<std::string>& cells);

  // Where the row of the last next() began, counted from 1.
  std::uint64_t line() const { return row_line_; }
  // Whether what was read ends with the end of a line; of an empty file too.
  bool ends_with_newline() const { return ends_with_newline_; }

 private:
  // In what the next byte stands.
  enum class Place { row_begin, cell_begin, cell, quoted, quote_in_quoted };

  Result<bool> fill();
  Result<bool> end_of_file(std::vector<std::string>& cells);
  std::string& begin_cell(std::vector<std::string>& cells);
  void end_line(char newline);
  Error damaged(const char* what) const;

  ByteSource& source_;
  std::vector<std::byte> buffer_;  // grows while reads fill it
  std::size_t last_read_ = 0;      // bytes
  std::string_view rest_;          // of what is in the buffer
  Place place_ = Place::row_begin;
  std::size_t count_ = 0;  // cells of the row so far
  std::uint64_t line_ = 1;
  std::uint64_t row_line_ = 1;
  bool after_cr_ = false;  // a LF that follows belongs to it
  bool ends_with_newline_ = true;
};

}  // namespace milepost
