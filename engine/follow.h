// Following a directory of checkpoints from another process: an evaluator that waits for the trainer's next
// step. The names and the behaviour are those of Orbax's (and TensorFlow's) checkpoints_iterator.
//
//   for (const milepost::Result<std::int64_t>& step : milepost::checkpoints_iterator("/ckpts", {.timeout = 10min})) {
//     if (step.has_error()) return step.error();
//     auto restored = manager.restore(*step, ...);  // not_found: retention was faster; go on with the next
//   }
//
// Only committed steps count. A commit on this machine wakes a waiter at once; see io/directory_watch.h for
// where it takes up to an interval. The directory need not exist yet.
#pragma once

#include "milepost/engine/format/step_naming.h"
#include "milepost/io/error.h"
#include "milepost/io/store.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace milepost {

struct FollowOptions {
  std::int64_t until_step = 0;  // the first step of interest: older ones do not count
  // Each step that is there when it is its turn, in ascending order; otherwise straight to the newest. Either way
  // a step below one that was returned never is.
  bool every_step = false;

  std::optional<std::chrono::nanoseconds> timeout = std::nullopt;  // of one wait; none: for ever
  // Asked after a timeout: true ends the wait, false begins another; empty: ends it.
  std::function<bool()> timeout_fn = {};
  std::stop_token stop = {};                                            // ends a wait at once
  std::chrono::nanoseconds min_interval = std::chrono::nanoseconds(0);  // between two steps returned

  StepNaming step_naming = {};
  std::chrono::nanoseconds polling_interval = std::chrono::seconds(1);  // where the file system gives no events
  std::chrono::nanoseconds rescan_interval = std::chrono::seconds(10);  // where it does, to be sure
  std::shared_ptr<Store> store = nullptr;  // instead of the file system at the directory; polled
};

// Movable. One thread at a time; a stop may be requested by any.
class CheckpointsIterator {
 public:
  class Iterator;

  CheckpointsIterator(std::string directory, FollowOptions options);
  CheckpointsIterator(CheckpointsIterator&&) noexcept;
  CheckpointsIterator& operator=(CheckpointsIterator&&) noexcept;
  ~CheckpointsIterator();

  // The next step, when there is one; none: timed out or stopped. A directory that does not exist has no steps.
  // invalid_argument names the option; what listing the directory fails with (permission denied, a file in its
  // place). After any of these it may be called again, and goes on where it was.
  Result<std::optional<std::int64_t>> next();

  // For a range-based for: calls next() until there is none. An error is the last element.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

inline CheckpointsIterator checkpoints_iterator(std::string directory, FollowOptions options = {}) {
  return CheckpointsIterator(std::move(directory), std::move(options));
}

// Waits for one step: the newest of at least `until_step`. Otherwise as CheckpointsIterator::next().
Result<std::optional<std::int64_t>> wait_for_new_checkpoint(const std::string& directory, FollowOptions options = {});

// An input iterator.
class CheckpointsIterator::Iterator {
 public:
  using value_type = Result<std::int64_t>;
  using difference_type = std::ptrdiff_t;
  using iterator_concept = std::input_iterator_tag;

  explicit Iterator(CheckpointsIterator& steps) : steps_(&steps) { advance(); }
  const Result<std::int64_t>& operator*() const { return *current_; }
  Iterator& operator++() {
    advance();
    return *this;
  }
  void operator++(int) { advance(); }
  bool operator==(std::default_sentinel_t) const { return !current_; }

 private:
  void advance();

  CheckpointsIterator* steps_;
  std::optional<Result<std::int64_t>> current_;
};

}  // namespace milepost
