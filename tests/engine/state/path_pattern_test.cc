#include "milepost/engine/state/tree.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <chrono>
#include <string>

namespace milepost {
namespace {

TEST(PathMatches, AsTheTableSays) {
  const struct {
    const char* pattern;
    const char* path;
    bool matches;
  } table[] = {
      {"", "", true},
      {"", "a/b", true},  // the root, and so all below it
      {"model", "model", true},
      {"model", "model/w", true},
      {"model", "models/w", false},
      {"model/w", "model", false},
      {"*", "", true},
      {"*", "a", true},
      {"*", "a/b", false},
      {"**", "a/b/c", true},
      {"**", "", true},
      {"layers/*/w", "layers/3/w", true},
      {"layers/*/w", "layers/3/x/w", false},
      {"layers/*/w", "layers/3/w/m", false},  // with a wildcard it matches only what it says
      {"layers/**/w", "layers/3/x/w", true},
      {"layers/**/w", "layers/w", false},
      {"**/w", "a/b/w", true},
      {"**w", "w", true},
      {"layers/?/w", "layers/3/w", true},
      {"layers/?/w", "layers/13/w", false},
      {"a?b", "a/b", false},
      {"?", "\xC3\xA9", true},  // one character of two bytes
      {"??", "\xC3\xA9", false},
      {"*a*b", "xaxab", true},
      {"*a*b", "xaxa", false},
      {"**a/*b", "a/a/xb", true},
      {"a***b", "a/x/b", true},
      {"a*", "a", true},
      {"a*b*c", "abbbc/", false},
  };
  for (const auto& [pattern, path, matches] : table)
    EXPECT_EQ(path_matches(pattern, path), matches) << pattern << " " << path;
}

// What the pattern means, without any cleverness.
bool matches_slowly(std::string_view pattern, std::string_view path) {
  if (pattern.empty()) return path.empty();
  if (pattern.starts_with("**")) {
    for (std::size_t i = 0; i <= path.size(); ++i) {
      if (matches_slowly(pattern.substr(2), path.substr(i))) return true;
    }
    return false;
  }
  if (pattern[0] == '*') {
    for (std::size_t i = 0; i <= path.size(); ++i) {
      if (matches_slowly(pattern.substr(1), path.substr(i))) return true;
      if (i < path.size() && path[i] == '/') break;
    }
    return false;
  }
  if (path.empty() || (pattern[0] == '?' ? path[0] == '/' : pattern[0] != path[0])) return false;
  return matches_slowly(pattern.substr(1), path.substr(1));
}

TEST(PathMatches, AgreesWithTheDefinition) {
  EXPECT_TRUE(rc::check([] {
    const auto pattern =
        *rc::gen::resize(10, rc::gen::container<std::string>(rc::gen::element('a', 'b', '/', '*', '*', '?')));
    const auto path = *rc::gen::resize(12, rc::gen::container<std::string>(rc::gen::element('a', 'b', '/')));
    if (pattern.find_first_of("*?") == std::string::npos) return;
    RC_ASSERT(path_matches(pattern, path) == matches_slowly(pattern, path));
  }));
}

TEST(PathMatches, TakesNoExponentialTime) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += i % 2 ? "**a" : "*a";
  const std::string path(4000, 'a');
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(path_matches(pattern + "b", path));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace milepost
