#include "milepost/engine/federated/csv_format.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <array>

namespace milepost {
namespace {

constexpr std::size_t buffer_bytes_min = 4 << 10;
constexpr std::size_t buffer_bytes_max = 256 << 10;

// Some characters; much faster than std::string_view::find_first_of where they are far between.
class CharacterSet {
 public:
  constexpr explicit CharacterSet(std::string_view characters) {
    for (const char c : characters) has_[static_cast<unsigned char>(c)] = true;
  }
  // Where the first of them is in the text; its size if none is.
  std::size_t find_in(std::string_view text) const {
    std::size_t at = 0;
    while (at < text.size() && !has_[static_cast<unsigned char>(text[at])]) ++at;
    return at;
  }

 private:
  std::array<bool, 256> has_{};
};

constexpr CharacterSet needs_quotes(",\"\r\n");
constexpr CharacterSet ends_plain_run(std::string_view(",\r\n\0", 4));
constexpr CharacterSet ends_quoted_run(std::string_view("\"\r\n\0", 4));

void append_csv_cell(std::string& out, std::string_view cell) {
  if (needs_quotes.find_in(cell) == cell.size()) {
    out += cell;
    return;
  }
  out += '"';
  for (const char c : cell) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace

void append_csv_row(std::string& out, const std::vector<std::string>& cells) {
  if (cells.size() == 1 && cells[0].empty()) out += "\"\"";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) out += ',';
    append_csv_cell(out, cells[i]);
  }
  out += csv_newline;
}

Error CsvReader::damaged(const char* what) const {
  return Error(ErrorCode::corruption, "line " + std::to_string(row_line_) + ": " + what);
}

Result<bool> CsvReader::fill() {
  if (last_read_ == buffer_.size()) {
    buffer_.resize(std::clamp(2 * buffer_.size(), buffer_bytes_min, buffer_bytes_max));
  }
  MILEPOST_ASSIGN(last_read_, source_.read(buffer_));
  rest_ = {reinterpret_cast<const char*>(buffer_.data()), last_read_};
  return last_read_ > 0;
}

Result<bool> CsvReader::end_of_file(std::vector<std::string>& cells) {
  if (place_ == Place::row_begin) return false;
  if (place_ == Place::quoted) return damaged("a quoted cell does not end");
  if (place_ == Place::cell_begin) begin_cell(cells);
  place_ = Place::row_begin;
  cells.resize(count_);
  return true;
}

std::string& CsvReader::begin_cell(std::vector<std::string>& cells) {
  if (count_ == cells.size()) cells.emplace_back();
  cells[count_].clear();
  return cells[count_++];
}

void CsvReader::end_line(char newline) {
  ++line_;
  after_cr_ = newline == '\r';
}

Result<bool> CsvReader::next(std::vector<std::string>& cells) {
  count_ = 0;
  for (;;) {
    if (rest_.empty()) {
      MILEPOST_ASSIGN(const bool more, fill());
      if (!more) return end_of_file(cells);
    }
    const char c = rest_.front();
    if (after_cr_ && c == '\n') {
      after_cr_ = false;
      if (place_ == Place::quoted) cells[count_ - 1] += c;
      rest_.remove_prefix(1);
      continue;
    }
    after_cr_ = false;
    const bool newline = c == '\r' || c == '\n';
    ends_with_newline_ = newline;
    if (place_ == Place::row_begin) row_line_ = line_;
    if (c == '\0') return damaged("a zero byte");

    if (place_ == Place::quoted && c != '"') {
      const std::size_t run = newline ? 1 : ends_quoted_run.find_in(rest_);
      cells[count_ - 1].append(rest_, 0, run);
      rest_.remove_prefix(run);
      if (newline) end_line(c);
      continue;
    }
    if (newline) {
      rest_.remove_prefix(1);
      end_line(c);
      if (place_ == Place::row_begin) continue;
      if (place_ == Place::cell_begin) begin_cell(cells);
      place_ = Place::row_begin;
      cells.resize(count_);
      return true;
    }
    switch (place_) {
      case Place::row_begin:
      case Place::cell_begin:
        begin_cell(cells);
        place_ = c == '"' ? Place::quoted : c == ',' ? Place::cell_begin : Place::cell;
        if (place_ != Place::cell) rest_.remove_prefix(1);
        break;
      case Place::quoted:  // a quote, which may be the first of two
        place_ = Place::quote_in_quoted;
        rest_.remove_prefix(1);
        break;
      case Place::quote_in_quoted:
        if (c == '"') {
          cells[count_ - 1] += c;
          place_ = Place::quoted;
          rest_.remove_prefix(1);
          break;
        }
        place_ = Place::cell;  // behind the quotes goes on what is not quoted
        [[fallthrough]];
      case Place::cell: {
        const std::size_t run = ends_plain_run.find_in(rest_);
        cells[count_ - 1].append(rest_, 0, run);
        rest_.remove_prefix(run);
        if (!rest_.empty() && rest_.front() == ',') {
          place_ = Place::cell_begin;
          rest_.remove_prefix(1);
        }
        break;
      }
    }
  }
}

}  // namespace milepost
