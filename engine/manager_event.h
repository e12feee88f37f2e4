// What a manager tells its operators.
#pragma once

#include "milepost/engine/save/save_options.h"
#include "milepost/io/error.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace milepost {

enum class ManagerEventKind : std::uint8_t {
  save_started,    // frozen, or about to be
  save_committed,  // with its report
  save_failed,     // with its error
  step_removed,    // by retention, with the reason
  removal_failed,  // with the error; tried again after the next save
  unwatched,       // nobody may hear of preemption: the watcher's error, once for each change of it
  preempted,       // the job was told to stop, with the reason
  save_declined,   // in a grace period, into which no more than the save in flight fits; with the reason
};
std::string_view to_string(ManagerEventKind kind);

struct ManagerEvent {
  ManagerEventKind kind = ManagerEventKind::save_started;
  std::int64_t step = 0;
  std::string reason = {};
  std::optional<SaveReport> report = std::nullopt;
  std::optional<Error> error = std::nullopt;
};

// Called on any of the library's threads, one event at a time, in order; must be quick, and not call the manager. When
// it hears of an error, the next save() and check_for_errors() know of it already.
using ManagerEventFn = std::function<void(const ManagerEvent&)>;

// Since the manager was opened.
struct SaveCounters {
  std::uint64_t started = 0;
  std::uint64_t committed = 0;
  std::uint64_t failed = 0;
  std::uint64_t declined = 0;      // save() returned false
  std::uint64_t retries = 0;       // of writes that failed, in saves that were committed
  std::uint64_t removed = 0;       // steps, by retention or delete_step()
  std::uint64_t raw_bytes = 0;     // of state, committed
  std::uint64_t stored_bytes = 0;  // on disk
  double waited_s = 0;             // in save(), for the save before
  double stall_s = 0;              // in save(), all of it
};

}  // namespace milepost
