// Patterns of paths, against what they mean: a table of which end of the pattern matches which end of the path.
#include "milepost/engine/state/tree.h"

#include "tests/fuzz/target.h"

#include <algorithm>
#include <vector>

namespace milepost::fuzz {
namespace {

std::size_t next_character(std::string_view text, std::size_t at) {
  do ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

bool matches_by_table(std::string_view pattern, std::string_view path) {
  std::vector<std::vector<bool>> table(pattern.size() + 1, std::vector<bool>(path.size() + 1));
  table[pattern.size()][path.size()] = true;
  for (std::size_t p = pattern.size(); p-- > 0;) {
    const bool stars = pattern.substr(p).starts_with("**");
    for (std::size_t at = path.size() + 1; at-- > 0;) {
      const bool more = at < path.size();
      const std::size_t next = more ? next_character(path, at) : at;
      if (stars) {
        table[p][at] = table[p + 2][at] || (more && table[p][next]);
      } else if (pattern[p] == '*') {
        table[p][at] = table[p + 1][at] || (more && path[at] != '/' && table[p][next]);
      } else if (pattern[p] == '?') {
        table[p][at] = more && path[at] != '/' && table[p + 1][next];
      } else {
        table[p][at] = more && pattern[p] == path[at] && table[p + 1][at + 1];
      }
    }
  }
  return table[0][0];
}

const Target path_pattern_target("path_pattern", [](std::span<const std::byte> input) {
  const std::string_view text = as_text(input);
  const std::size_t cut = text.find('\n');
  const std::string_view pattern = text.substr(0, cut);
  const std::string_view path = cut == std::string_view::npos ? "" : text.substr(cut + 1);
  const bool matches = path_matches(pattern, path);
  if (pattern.find_first_of("*?") == std::string_view::npos) return;
  if (!is_valid_utf8(pattern) || !is_valid_utf8(path) || pattern.size() * path.size() > 1 << 16) return;
  expect(matches == matches_by_table(pattern, path), "a pattern matches something else than it means");
});

}  // namespace
}  // namespace milepost::fuzz
