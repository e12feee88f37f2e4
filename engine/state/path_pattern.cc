#include "milepost/engine/state/tree.h"

namespace milepost {
namespace {

constexpr std::size_t none = std::string_view::npos;

// The position behind the UTF-8 character at `at`.
std::size_t next_character(std::string_view text, std::size_t at) {
  do {
    ++at;
  } while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

bool lies_in(std::string_view directory, std::string_view path) {
  if (directory.empty()) return true;
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

}  // namespace

// Matches greedily from the left. On a mismatch the last '*' takes one character more, or, if that
// is a '/', the last '**' does. Wildcards before those need no second thought: whatever another
// choice for them could reach, the last '**' reaches too, and two '*' within one component are
// matched best by the earliest fit.
bool path_matches(std::string_view pattern, std::string_view path) {
  if (pattern.find_first_of("*?") == none) return lies_in(pattern, path);
  std::size_t p = 0;
  std::size_t at = 0;
  std::size_t star = none, star_at = 0;    // behind the last '*', and where its run ends
  std::size_t stars = none, stars_at = 0;  // the same of the last '**'
  while (true) {
    if (p < pattern.size() && pattern[p] == '*') {
      if (p + 1 < pattern.size() && pattern[p + 1] == '*') {
        p += 2;
        stars = p;
        stars_at = at;
        star = none;
      } else {
        ++p;
        star = p;
        star_at = at;
      }
      continue;
    }
    if (p == pattern.size() && at == path.size()) return true;
    if (p < pattern.size() && at < path.size()) {
      if (pattern[p] == '?' && path[at] != '/') {
        at = next_character(path, at);
        ++p;
        continue;
      }
      if (pattern[p] == path[at] && pattern[p] != '?') {
        ++at;
        ++p;
        continue;
      }
    }
    if (star != none && star_at < path.size() && path[star_at] != '/') {
      star_at = next_character(path, star_at);
      p = star;
      at = star_at;
    } else if (stars != none && stars_at < path.size()) {
      stars_at = next_character(path, stars_at);
      p = stars;
      at = stars_at;
      star = none;
    } else {
      return false;
    }
  }
}

}  // namespace milepost
