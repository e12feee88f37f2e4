#include "milepost/engine/federated/async_calls.h"

#include "milepost/io/signal_guard.h"

#include <system_error>

namespace milepost {

AsyncCalls::~AsyncCalls() {
  std::unique_lock lock(mutex_);
  none_runs_.wait(lock, [&] { return running_.empty(); });
  for (std::thread& thread : ended_) thread.join();
}

Result<void> AsyncCalls::run(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  for (std::thread& thread : ended_) thread.join();
  ended_.clear();
  const auto self = running_.emplace(running_.end());
  try {
    const BlockAllSignals inherited_by_the_thread;
    *self = std::thread([this, self, task = std::move(task)] {
      task();
      const std::lock_guard done(mutex_);
      ended_.splice(ended_.end(), running_, self);
      none_runs_.notify_all();
    });
  } catch (const std::system_error& thrown) {
    running_.erase(self);
    return Error(ErrorCode::unavailable, std::string("no thread for the call: ") + thrown.what());
  }
  return {};
}

}  // namespace milepost
