// What the command writes to: plain text for pipes and files, colour and a progress bar for people.
#pragma once

#include "milepost/engine/progress.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace milepost::tool {

enum class Colour { plain, bold, dim, red, green, yellow };

// `text` in a colour, if standard output is a terminal and NO_COLOR is unset.
std::string coloured(Colour colour, std::string_view text);
bool stdin_is_terminal();
bool stdout_is_terminal();
// Columns of the terminal on standard output; none if it is none.
std::size_t terminal_columns();

// Rows of cells, printed in aligned columns, each as wide as needed.
class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  struct Cell {
    std::string text;
    Colour colour = Colour::plain;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // Cells that are missing at the end are empty.
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  // A row that is one text, across all columns, behind the first.
  void add_note(Cell first, Cell note) { notes_.push_back({rows_.size(), std::move(first), std::move(note)}); }
  // Without a title in any column there is no title row; empty columns are left out. What is wider than `limit`
  // columns (0: any width) has its last column wrapped, or below the row where that leaves too little of it.
  std::string to_string(std::size_t limit = terminal_columns()) const;

 private:
  struct Note {
    std::size_t before_row = 0;
    Cell first;
    Cell note;
  };
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
  std::vector<Note> notes_;
};

// A bar on standard error, if that is a terminal, for work that takes longer than a moment. Use it
// from one thread at a time; erased by the destructor.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(std::uint64_t bytes_done, std::uint64_t bytes_total);
  // For the library's calls; must not outlive the bar.
  ProgressFn callback();

 private:
  using Clock = std::chrono::steady_clock;
  const std::string label_;
  const bool enabled_;
  const Clock::time_point started_;
  Clock::time_point drawn_;
  bool visible_ = false;
};

}  // namespace milepost::tool
