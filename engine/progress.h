// How far a save or a restore has come.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace milepost {

enum class Phase : std::uint8_t {
  capturing,   // save: the state is being frozen
  writing,     // save: chunks are coded and written
  committing,  // save: fsync, records, rename
  reading,     // restore and verify: chunks are read, checked and decoded
  done,
};
std::string_view to_string(Phase phase);

struct Progress {
  Phase phase = Phase::done;
  std::uint64_t bytes_done = 0;  // of state, captured, written or read in this phase
  std::uint64_t bytes_total = 0;
};

// Called on any of the library's threads, several times a second at most a chunk's work apart, never
// twice at once; must be quick.
using ProgressFn = std::function<void(const Progress&)>;

}  // namespace milepost
