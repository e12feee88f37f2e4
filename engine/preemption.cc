#include "milepost/engine/preemption.h"

#include "milepost/io/refusal.h"
#include "milepost/io/signal_guard.h"
#include "milepost/io/signal_watch.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace milepost {
namespace {

using std::chrono::nanoseconds;

// Deadlines farther away than this are none, and would be beyond what the clock can tell.
constexpr nanoseconds duration_max = std::chrono::hours(24 * 365);

Result<void> check_options(const PreemptionOptions& options) {
  if (options.grace < nanoseconds::zero()) return invalid("the grace period is negative");
  if (options.margin < nanoseconds::zero()) return invalid("the margin of the grace period is negative");
  if (options.poll && options.poll_interval <= nanoseconds::zero()) return invalid("the poll interval is not positive");
  return {};
}

Result<std::optional<PreemptionWarning>> call(const PreemptionPollFn& poll) {
  try {
    return poll();
  } catch (const std::exception& thrown) {
    return Error(ErrorCode::unavailable, std::string("it threw: ") + thrown.what());
  } catch (...) {
    return Error(ErrorCode::unavailable, "it threw something that is no std::exception");
  }
}

}  // namespace

struct PreemptionWatcher::State {
  explicit State(PreemptionOptions wanted) : options(std::move(wanted)) {}
  ~State() {
    {
      const std::lock_guard lock(mutex);
      is_over = true;
    }
    changed.notify_all();
    if (poller.joinable()) poller.join();
  }

  void tell(PreemptionNotice::Source source, int signal, std::string reason, std::optional<nanoseconds> grace = {}) {
    const std::lock_guard lock(mutex);
    if (notice) return;
    const auto now = Clock::now();
    const nanoseconds usable = std::clamp(grace.value_or(options.grace), nanoseconds::zero(), duration_max) -
                               std::min(options.margin, duration_max);
    notice = PreemptionNotice{source, signal, std::move(reason), now, now + usable};
    signalled = true;
    changed.notify_all();
  }

  // In the poller's thread.
  void poll() {
    std::unique_lock lock(mutex);
    while (!is_over && !notice) {
      lock.unlock();
      auto answer = call(options.poll);
      if (answer.has_value() && *answer) {
        tell(PreemptionNotice::Source::poll, 0, std::move((*answer)->reason), (*answer)->grace);
      }
      lock.lock();
      poll_trouble.reset();
      if (answer.has_error()) poll_error = poll_trouble = answer.error().within("poll for preemption");
      changed.wait_for(lock, std::min(options.poll_interval, duration_max), [&] { return is_over || notice; });
    }
  }

  const PreemptionOptions options;
  std::atomic<bool> signalled{false};

  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex.
  std::optional<PreemptionNotice> notice;
  std::optional<Error> poll_error;    // not told yet
  std::optional<Error> poll_trouble;  // of the last call
  bool is_over = false;

  std::thread poller;
  std::unique_ptr<SignalWatch> signals;  // goes first: it calls tell()
};

PreemptionWatcher::PreemptionWatcher(std::unique_ptr<State> state) : state_(std::move(state)) {}
PreemptionWatcher::~PreemptionWatcher() = default;

Result<std::shared_ptr<PreemptionWatcher>> PreemptionWatcher::start(PreemptionOptions options) {
  MILEPOST_TRY(check_options(options));
  auto state = std::make_unique<State>(std::move(options));
  if (!state->options.signals.empty()) {
    MILEPOST_ASSIGN(state->signals, SignalWatch::start(state->options.signals, [state = state.get()](int signal) {
                      state->tell(PreemptionNotice::Source::signal, signal, signal_name(signal));
                    }));
  }
  if (state->options.poll) {
    const BlockAllSignals inherited_by_the_thread;
    try {
      state->poller = std::thread([state = state.get()] { state->poll(); });
    } catch (const std::system_error& failure) {
      return Error(ErrorCode::unavailable, std::string("start the thread that polls: ") + failure.what());
    }
  }
  return std::shared_ptr<PreemptionWatcher>(new PreemptionWatcher(std::move(state)));
}

void PreemptionWatcher::notify(std::string reason) {
  state_->tell(PreemptionNotice::Source::program, 0, std::move(reason));
}

bool PreemptionWatcher::signalled() const { return state_->signalled.load(std::memory_order_acquire); }

std::optional<PreemptionNotice> PreemptionWatcher::notice() const {
  const std::lock_guard lock(state_->mutex);
  return state_->notice;
}

std::optional<PreemptionWatcher::Clock::time_point> PreemptionWatcher::deadline() const {
  const std::lock_guard lock(state_->mutex);
  return state_->notice ? std::optional(state_->notice->deadline) : std::nullopt;
}

bool PreemptionWatcher::wait_for(nanoseconds timeout) const {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, std::clamp(timeout, nanoseconds::zero(), duration_max),
                                  [&] { return state_->notice.has_value(); });
}

Result<void> PreemptionWatcher::check_for_errors() {
  {
    const std::lock_guard lock(state_->mutex);
    if (auto error = std::exchange(state_->poll_error, std::nullopt)) return *error;
  }
  return state_->signals ? state_->signals->check() : Result<void>{};
}

std::optional<Error> PreemptionWatcher::trouble() const {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->poll_trouble) return state_->poll_trouble;
  }
  const auto checked = state_->signals ? state_->signals->check() : Result<void>{};
  return checked.has_error() ? std::optional(checked.error()) : std::nullopt;
}

}  // namespace milepost
