#include "milepost/engine/follow.h"

#include "milepost/engine/catalog.h"
#include "milepost/engine/deadline.h"
#include "milepost/io/directory_watch.h"
#include "milepost/io/posix_store.h"
#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>
#include <vector>

namespace milepost {
namespace {

using Clock = DirectoryWatch::Clock;

Result<void> check(const FollowOptions& options) {
  if (auto valid = options.step_naming.check(); valid.has_error()) {
    return valid.error().within("step_naming");
  }
  if (options.until_step < 0) return invalid("until_step must not be negative");
  if (options.polling_interval.count() <= 0) return invalid("polling_interval must be positive");
  if (options.rescan_interval.count() <= 0) return invalid("rescan_interval must be positive");
  return {};
}

}  // namespace

struct CheckpointsIterator::State {
  std::string directory;  // absolute: the process may change its own
  FollowOptions options;
  std::optional<DirectoryWatch> watch;                      // opened by the first next()
  std::optional<std::int64_t> wanted;                       // at least this step; none: there is no larger one
  Clock::time_point not_before = Clock::time_point::min();  // the next step is due

  Result<std::optional<std::int64_t>> next();
  Result<std::optional<std::int64_t>> find();
};

// Opens the directory each time: it may have been removed and made anew.
Result<std::optional<std::int64_t>> CheckpointsIterator::State::find() {
  std::shared_ptr<Store> store = options.store;
  if (!store) {
    auto opened = PosixStore::open(
        directory, {.create = false, .read_only = true, .backend = IoBackend::threads, .io_threads = 1});
    if (opened.has_error()) {
      if (opened.error().code() == ErrorCode::not_found) return std::optional<std::int64_t>();
      return opened.error();
    }
    store = std::move(opened).value();
  }
  const auto steps = list_steps(*store, options.step_naming);
  if (steps.has_error()) {
    const bool later = steps.error().code() == ErrorCode::not_found || steps.error().code() == ErrorCode::unavailable;
    if (later) return std::optional<std::int64_t>();
    return steps.error();
  }
  const auto first = std::lower_bound(steps->begin(), steps->end(), *wanted);
  if (first == steps->end()) return std::optional<std::int64_t>();
  return std::optional(options.every_step ? *first : steps->back());
}

Result<std::optional<std::int64_t>> CheckpointsIterator::State::next() {
  MILEPOST_TRY(check(options));
  if (!watch) {
    MILEPOST_ASSIGN(watch, DirectoryWatch::open(options.store ? "" : directory,
                                                {options.polling_interval, options.rescan_interval}));
  }
  const auto deadline = [&] { return deadline_after(options.timeout.value_or(std::chrono::nanoseconds::max())); };
  auto give_up = deadline();
  while (wanted && !options.stop.stop_requested()) {
    if (Clock::now() < not_before) {
      MILEPOST_TRY(watch->wait(not_before, options.stop));
      give_up = deadline();
      continue;
    }
    // A look after the deadline has passed, so that it is the last thing done in the time given.
    const bool late = Clock::now() >= give_up;
    MILEPOST_ASSIGN(const auto step, find());
    if (step) {
      wanted = *step < std::numeric_limits<std::int64_t>::max() ? std::optional(*step + 1) : std::nullopt;
      not_before = deadline_after(options.min_interval);
      return step;
    }
    if (!late) {
      MILEPOST_TRY(watch->wait(give_up, options.stop));
    } else if (options.timeout_fn && !options.timeout_fn()) {
      give_up = deadline();
    } else {
      break;
    }
  }
  return std::optional<std::int64_t>();
}

CheckpointsIterator::CheckpointsIterator(std::string directory, FollowOptions options)
    : state_(std::make_unique<State>()) {
  std::error_code unknown;  // without a working directory a relative path stays as it is
  const auto absolute = std::filesystem::absolute(directory, unknown);
  state_->directory = unknown ? std::move(directory) : absolute.string();
  state_->wanted = options.until_step;
  state_->options = std::move(options);
}

CheckpointsIterator::CheckpointsIterator(CheckpointsIterator&&) noexcept = default;
CheckpointsIterator& CheckpointsIterator::operator=(CheckpointsIterator&&) noexcept = default;
CheckpointsIterator::~CheckpointsIterator() = default;

Result<std::optional<std::int64_t>> CheckpointsIterator::next() {
  auto step = state_->next();
  if (step.has_error()) return step.error().within("follow " + state_->directory);
  return step;
}

CheckpointsIterator::Iterator CheckpointsIterator::begin() { return Iterator(*this); }

void CheckpointsIterator::Iterator::advance() {
  if (current_ && current_->has_error()) {
    current_.reset();
    return;
  }
  const auto step = steps_->next();
  if (step.has_error()) {
    current_ = step.error();
  } else if (*step) {
    current_ = **step;
  } else {
    current_.reset();
  }
}

Result<std::optional<std::int64_t>> wait_for_new_checkpoint(const std::string& directory, FollowOptions options) {
  options.every_step = false;
  return CheckpointsIterator(directory, std::move(options)).next();
}

}  // namespace milepost
