#include "tools/milepost/terminal.h"

#include "tools/milepost/text.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace milepost::tool {
namespace {

constexpr std::size_t wrapped_columns_min = 20;

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): nothing here changes the environment
  return value != nullptr && *value != '\0';
}

bool is_dumb() {
  const char* term = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe)
  return term == nullptr || std::string_view(term) == "dumb";
}

bool colours_wanted() {
  static const bool wanted = stdout_is_terminal() && !is_set("NO_COLOR") && !is_dumb();
  return wanted;
}

std::size_t columns_of(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Plain text in lines of at most `columns` columns, broken at spaces; words that are longer, where a line ends.
std::vector<std::string> wrapped(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  while (display_width(text) > columns) {
    std::size_t fits = 0;  // bytes
    for (std::size_t used = 0; used < columns; ++used) {
      do ++fits;
      while ((static_cast<unsigned char>(text[fits]) & 0xc0) == 0x80);
    }
    const std::size_t space = text.substr(0, fits + 1).rfind(' ');
    const std::string_view line = text.substr(0, space == std::string_view::npos || space == 0 ? fits : space);
    lines.emplace_back(line.substr(0, line.find_last_not_of(' ') + 1));
    text.remove_prefix(line.size());
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }
  lines.emplace_back(text);
  return lines;
}

std::string padded(const std::string& text, std::size_t columns, Table::Align align, Colour colour) {
  const std::string space(columns - std::min(columns, display_width(text)), ' ');
  return align == Table::Align::right ? space + coloured(colour, text) : coloured(colour, text) + space;
}

}  // namespace

std::string coloured(Colour colour, std::string_view text) {
  if (colour == Colour::plain || text.empty() || !colours_wanted()) return std::string(text);
  const char* code = "";
  switch (colour) {
    case Colour::plain: break;
    case Colour::bold: code = "1"; break;
    case Colour::dim: code = "2"; break;
    case Colour::red: code = "1;31"; break;
    case Colour::green: code = "32"; break;
    case Colour::yellow: code = "33"; break;
  }
  return std::string("\x1b[") + code + "m" + std::string(text) + "\x1b[0m";
}

bool stdin_is_terminal() { return isatty(STDIN_FILENO) == 1; }

bool stdout_is_terminal() {
  static const bool is_terminal = isatty(STDOUT_FILENO) == 1;
  return is_terminal;
}

std::size_t terminal_columns() { return stdout_is_terminal() ? columns_of(STDOUT_FILENO) : 0; }

std::string Table::to_string(std::size_t limit) const {
  std::vector<std::size_t> widths(columns_.size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i].text));
  }
  for (const Note& note : notes_) widths[0] = std::max(widths[0], display_width(note.first.text));
  bool titled = false;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    titled |= !columns_[i].title.empty();
    if (widths[i] > 0) widths[i] = std::max(widths[i], display_width(columns_[i].title));
  }

  const std::size_t last = columns_.size() - 1;
  std::size_t start = 0;  // of the last column
  for (std::size_t i = 0; i < last; ++i) start += widths[i] > 0 ? widths[i] + 2 : 0;
  const bool wraps = limit > 0 && widths[last] > 0 && start + widths[last] > limit;
  const bool below = wraps && start + wrapped_columns_min > limit;  // on lines of its own
  if (below) start = 2;
  if (wraps) widths[last] = limit > start ? limit - start : 1;

  std::string result;
  const auto add_line = [&](const std::vector<Cell>& row) {
    const Cell tail = last < row.size() ? row[last] : Cell{};
    const std::vector<std::string> parts = wraps ? wrapped(tail.text, widths[last]) : std::vector{tail.text};
    std::string line;
    std::size_t line_end = 0;  // without what only pads
    for (std::size_t i = 0; i < (below ? last : columns_.size()); ++i) {
      if (widths[i] == 0) continue;
      Cell cell = i < row.size() ? row[i] : Cell{};
      if (i == last) cell.text = parts.front();
      if (!line.empty()) line += "  ";
      line += padded(cell.text, widths[i], columns_[i].align, cell.colour);
      if (!cell.text.empty()) line_end = line.size();
      if (!cell.text.empty() && columns_[i].align == Align::left) line_end = line.find_last_not_of(' ') + 1;
    }
    result += line.substr(0, line_end) + "\n";
    for (std::size_t i = below ? 0 : 1; i < parts.size(); ++i) {
      if (!parts[i].empty()) result += std::string(start, ' ') + coloured(tail.colour, parts[i]) + "\n";
    }
  };
  if (titled) {
    std::vector<Cell> titles;
    for (const Column& column : columns_) titles.push_back({column.title, Colour::dim});
    add_line(titles);
  }
  std::size_t next_note = 0;
  for (std::size_t i = 0; i <= rows_.size(); ++i) {
    for (; next_note < notes_.size() && notes_[next_note].before_row == i; ++next_note) {
      const Note& note = notes_[next_note];
      result += padded(note.first.text, widths[0], columns_[0].align, note.first.colour) + "  " +
                coloured(note.note.colour, note.note.text) + "\n";
    }
    if (i < rows_.size()) add_line(rows_[i]);
  }
  return result;
}

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)),
      enabled_(isatty(STDERR_FILENO) == 1 && !is_dumb()),
      started_(Clock::now()),
      drawn_(started_ + std::chrono::milliseconds(200)) {}  // what is done by then needs no bar

ProgressBar::~ProgressBar() {
  if (visible_) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::show(std::uint64_t bytes_done, std::uint64_t bytes_total) {
  const Clock::time_point now = Clock::now();
  if (!enabled_ || bytes_total == 0 || now < drawn_) return;
  drawn_ = now + std::chrono::milliseconds(100);
  visible_ = true;

  const double part = std::min(1.0, static_cast<double>(bytes_done) / static_cast<double>(bytes_total));
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const std::string figures = std::to_string(static_cast<int>(part * 100)) + " %  " + human_bytes(bytes_done) + " of " +
                              human_bytes(bytes_total) + "  " +
                              human_bytes(static_cast<std::uint64_t>(static_cast<double>(bytes_done) / seconds)) + "/s";
  const std::size_t columns = columns_of(STDERR_FILENO);
  const std::size_t used = display_width(label_) + 45;  // figures included, at their widest
  const std::size_t width = columns > used + 10 ? std::min<std::size_t>(30, columns - used) : 0;
  const auto full = static_cast<std::size_t>(part * static_cast<double>(width));
  std::string bar;
  for (std::size_t i = 0; i < width; ++i) bar += i < full ? "█" : "░";
  std::fprintf(stderr, "\r\x1b[K%s  %s  %s", label_.c_str(), bar.c_str(), figures.c_str());
  std::fflush(stderr);
}

ProgressFn ProgressBar::callback() {
  if (!enabled_) return {};
  return [this](const Progress& progress) { show(progress.bytes_done, progress.bytes_total); };
}

}  // namespace milepost::tool
