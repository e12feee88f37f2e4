// Being told to stop: by a signal, by a cloud's notice, or by the program itself.
#pragma once

#include "milepost/io/error.h"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace milepost {

// What a poll function found. `grace`: from now to the end, where the notice says it.
struct PreemptionWarning {
  std::string reason;
  std::optional<std::chrono::nanoseconds> grace = std::nullopt;
};
// Asks whether the process is to stop, such as a cloud's metadata server; none: not yet. May block and may throw.
using PreemptionPollFn = std::function<Result<std::optional<PreemptionWarning>>()>;

struct PreemptionOptions {
  std::vector<int> signals = {SIGTERM};                       // may be empty
  std::chrono::nanoseconds grace = std::chrono::seconds(30);  // from the notice to the end, unless the notice says it
  std::chrono::nanoseconds margin = std::chrono::seconds(2);  // of it, for what the program does after its last save
  PreemptionPollFn poll = {};
  std::chrono::nanoseconds poll_interval =
      std::chrono::seconds(5);  // from the end of a call to the next; the first is at once
};

// The first word of the end; later ones change nothing.
struct PreemptionNotice {
  enum class Source : std::uint8_t { signal, poll, program };
  using Clock = std::chrono::steady_clock;

  Source source = Source::program;
  int signal = 0;              // its number, if it was one
  std::string reason;          // "SIGTERM", or the words of the poll function or of notify()
  Clock::time_point when;      // it was heard of
  Clock::time_point deadline;  // by which the last save has to be committed: when + grace - margin
};

// Waits, in threads of its own, for the notice that the process is to stop. Several checkpoint managers
// may share a watcher, and there may be several watchers.
//
// Handlers that the application has for the same signals go on working; see io/signal_watch.h. What
// would end the process by default no longer does, as long as the watcher lives: the program is
// expected to save and leave when signalled() says so.
//
// All methods may be called from any thread, the poll function's included; they are not for signal handlers.
class PreemptionWatcher {
 public:
  using Clock = PreemptionNotice::Clock;

  // invalid_argument: a signal that cannot be watched, a negative duration, a poll interval of none.
  static Result<std::shared_ptr<PreemptionWatcher>> start(PreemptionOptions options = {});
  // Waits for a call of the poll function under way.
  ~PreemptionWatcher();
  PreemptionWatcher(const PreemptionWatcher&) = delete;
  PreemptionWatcher& operator=(const PreemptionWatcher&) = delete;

  // Tells the process to stop.
  void notify(std::string reason);

  // Cheap enough to be asked all the time.
  bool signalled() const;
  // None until told to stop.
  std::optional<PreemptionNotice> notice() const;
  std::optional<Clock::time_point> deadline() const;
  // Returns when told to stop (true), or after the timeout (false).
  bool wait_for(std::chrono::nanoseconds timeout) const;

  // The latest error of the poll function that no call of this has returned yet; polling goes on all the
  // same. failed_precondition if the application has replaced a signal's handler, as long as it has.
  Result<void> check_for_errors();
  // What keeps this watcher from hearing of preemption now: the error of the poll function's last call, or that of a
  // replaced handler. Tells it to everybody who asks.
  std::optional<Error> trouble() const;

 private:
  struct State;
  explicit PreemptionWatcher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace milepost
