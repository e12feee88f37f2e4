// What a process does to a directory of checkpoints before it dies, and what has to be there afterwards.
#pragma once

#include "tests/engine/saving.h"
#include "tests/support/child_process.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

namespace milepost::testing {

// The content of a step, and which step it is: one is overwritten by a hundred more than it was.
using Content = std::int64_t;
inline std::int64_t step_of(Content content) { return content % 100; }

struct Life {
  std::string name;
  std::vector<Content> before = {};  // there, when it begins
  std::vector<Content> saves = {};
  std::optional<std::int64_t> deletes = std::nullopt;  // after the saves
  bool reads = false;                                  // has the oldest step open until it closes
  std::optional<int> max_to_keep = std::nullopt;
  bool background = false;
  std::string todelete_subdir = "";
  IoBackend io_backend = IoBackend::threads;

  CheckpointManagerOptions options() const;
};
std::ostream& operator<<(std::ostream& out, const Life& life);

// Makes what such a process begins with; among it what dead ones left.
void prepare(const Life& life, const std::string& directory);
// Lives, and tells the content of each step that is committed, and the negated number of the step that it deleted.
// Throws at the first error.
void live(const Life& life, const std::string& directory, const ChildProcess::Tell& tell);

// What a process that was told this much by a dead one may find, and must.
class Expected {
 public:
  Expected(const Life& life, const std::vector<std::int64_t>& told);
  void check(const std::string& directory) const;

 private:
  std::vector<std::int64_t> steps_after(std::size_t saves) const;
  void expect_whole(CheckpointManager& manager, const std::vector<std::int64_t>& steps) const;

  const Life& life_;
  std::map<std::int64_t, std::set<Content>> contents_;
  std::size_t committed_ = 0;  // saves that were told
  std::optional<std::int64_t> in_flight_;
  bool deleted_ = false;
};

// The process after it: sweeps, and saves.
void expect_next_goes_on(const Life& life, const std::string& directory);

}  // namespace milepost::testing
