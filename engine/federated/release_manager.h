// Releasing values from a federated program: to whom it may concern outside of it. TensorFlow Federated's interface of
// that name.
#pragma once

#include "milepost/engine/federated/value.h"
#include "milepost/io/error.h"
#include "milepost/io/signal_guard.h"

#include <future>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace milepost {

// An implementation says what values and keys it takes, and what a key means. release() may be called from several
// threads at once.
template <class Key> class ReleaseManager {
 public:
  virtual ~ReleaseManager() = default;
  // Awaits what is not there yet, and releases the value when it returns without an error.
  virtual Result<void> release(const ProgramValue& value, const Key& key) = 0;
};

// The same on a thread of its own, which keeps the manager. Destroying the future waits for it. Its result is
// unavailable if there is no thread to be had.
template <class Manager, class Key>
std::future<Result<void>> release_async(std::shared_ptr<Manager> manager, ProgramValue value, Key key) try {
  const BlockAllSignals inherited_by_the_thread;
  return std::async(std::launch::async, [manager = std::move(manager), value = std::move(value), key = std::move(key)] {
    return [&]() -> Result<void> {
      try {
        return manager->release(value, key);
      } catch (...) {
        return error_of_current_exception("release");
      }
    }();
  });
} catch (const std::system_error& thrown) {
  std::promise<Result<void>> promise;
  promise.set_value(Error(ErrorCode::unavailable, std::string("no thread to release on: ") + thrown.what()));
  return promise.get_future();
}

}  // namespace milepost
