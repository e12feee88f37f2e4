// The subcommands. Each prints to standard output and returns the exit status; an error is one that
// kept it from doing its work (status 2).
#pragma once

#include "milepost/io/error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace milepost::tool {

inline constexpr int status_ok = 0;
inline constexpr int status_damaged = 1;  // or not all that was asked for could be done
inline constexpr int status_failed = 2;   // could not run

struct CommonOptions {
  std::string directory;
  std::optional<std::string> prefix;
  bool json = false;
};

Result<int> run_ls(const CommonOptions& common);

struct ShowOptions {
  std::string step = "latest";
  std::string item;                   // empty: all
  std::vector<std::string> patterns;  // of paths; empty: all
  int depth = 0;                      // levels shown; 0: all
};
Result<int> run_show(const CommonOptions& common, const ShowOptions& options);

struct VerifyOptions {
  std::vector<std::string> steps;  // empty: the latest
  bool all = false;
};
Result<int> run_verify(const CommonOptions& common, const VerifyOptions& options);

struct CatOptions {
  std::string step = "latest";
  std::string path;
  std::string item;          // empty: the only one that has the path
  std::int64_t limit = 100;  // elements; 0: all
  bool stats = false;
  bool raw = false;
};
Result<int> run_cat(const CommonOptions& common, const CatOptions& options);

// What to keep; at least one must be given, and they add up.
struct KeepOptions {
  std::optional<std::int64_t> latest;
  std::optional<std::int64_t> best;
  std::string metric;  // that steps are ranked by
  std::string mode;    // "min", "max"
  bool drop_without_metrics = false;
  std::optional<std::int64_t> every_steps;
  std::string every_duration;  // empty: not given
  std::string last_duration;
  std::vector<std::string> steps;
};
Result<int> run_plan(const CommonOptions& common, const KeepOptions& options);
// `yes`: without asking.
Result<int> run_prune(const CommonOptions& common, const KeepOptions& options, bool yes);

}  // namespace milepost::tool
