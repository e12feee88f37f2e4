// Hears of signals beside the application, not in its place.
#pragma once

#include "milepost/io/error.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace milepost {

// While a watch lives, each of its signals is told to `on_signal`, on the watch's own thread, and
// does to the program what it did before, with one exception: a signal that would end the process
// by default no longer does. In detail:
//
// - A handler that was installed before still runs, with the arguments, mask and flags it would have
//   had, in the thread it would have run in. An ignored signal stays ignored.
// - A handler that is installed later takes the watch's place; the watch hears of the signal only if
//   that handler calls the one it found. check() says so.
// - The application may use Asio's signal sets for the same signals, and there may be several watches.
// - In a forked child signals do what they would do without the watch, and the parent does not hear of them.
// - A signal that all threads block is never delivered, and so not heard of.
//
// The last watch of a signal restores what was there before, but leaves a later handler alone.
//
// All methods may be called from any thread, but on_signal must not destroy the watch.
class SignalWatch {
 public:
  // invalid_argument: no such signal, one that cannot be caught, or one raised by faults of the program.
  static Result<std::unique_ptr<SignalWatch>> start(const std::vector<int>& signals,
                                                    std::function<void(int signal)> on_signal);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  // failed_precondition, naming the signal, if its handler was replaced.
  Result<void> check() const;

 private:
  struct State;
  explicit SignalWatch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// "SIGTERM"; "signal 40" for one without a name.
std::string signal_name(int signal);

}  // namespace milepost
