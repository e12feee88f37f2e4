// Objects that are large and slow to make, such as coders: workers borrow them.
#pragma once

#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace milepost {

// Thread-safe. Holds as many as were ever out at once, until they are cleared.
template <class T> class Spares {
 public:
  std::unique_ptr<T> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto spare = std::move(free_.back());
        free_.pop_back();
        return spare;
      }
    }
    return std::make_unique<T>();
  }

  // One that there is no place for goes.
  void put(std::unique_ptr<T> spare) noexcept {
    const std::lock_guard lock(mutex_);
    try {
      free_.push_back(std::move(spare));
    } catch (const std::bad_alloc&) {
    }
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    free_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> free_;
};

}  // namespace milepost
