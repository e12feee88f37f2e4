// Calls on threads of their own, each with a future of its result.
#pragma once

#include "milepost/engine/federated/value.h"
#include "milepost/io/error.h"

#include <condition_variable>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace milepost {

// All methods may be called from several threads at once.
class AsyncCalls {
 public:
  AsyncCalls() = default;
  ~AsyncCalls();  // waits for all of them
  AsyncCalls(const AsyncCalls&) = delete;
  AsyncCalls& operator=(const AsyncCalls&) = delete;

  // Unlike std::async's, the future may be dropped without waiting. unavailable without a thread to be had.
  template <class T> std::future<Result<T>> start(std::function<Result<T>()> call) {
    const auto promise = std::make_shared<std::promise<Result<T>>>();
    auto future = promise->get_future();
    auto started = run([promise, call = std::move(call)] {
      auto result = [&]() -> Result<T> {
        try {
          return call();
        } catch (...) {
          return error_of_current_exception("the call");
        }
      }();
      promise->set_value(std::move(result));
    });
    if (started.has_error()) promise->set_value(started.error());
    return future;
  }

 private:
  Result<void> run(std::function<void()> task);

  std::mutex mutex_;
  std::condition_variable none_runs_;
  // Guarded by mutex_.
  std::list<std::thread> running_;
  std::list<std::thread> ended_;  // nothing is left to them but to be joined
};

}  // namespace milepost
