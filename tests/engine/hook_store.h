// Any store, with a function called before (or after) each operation: to stop it there, or to do
// something else in between. No test has to sleep in order to be at a certain place.
#pragma once

#include "tests/support/forwarding_store.h"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace milepost::testing {

// A door in the way of a thread.
class Gate {
 public:
  // Waits until open() was called.
  void pass();
  // Returns when somebody stands before the gate, or has passed it.
  void wait_for_arrival();
  void open();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool arrived_ = false;  // guarded by mutex_
  bool open_ = false;
};

class HookStore final : public ForwardingStore {
 public:
  // Called on any thread; for a rename the path is where it leads, for an exchange the second.
  using Hook = std::function<void(Operation, const std::string& path)>;

  using ForwardingStore::ForwardingStore;

  // Not while operations are in flight.
  void before(Hook hook) { before_ = std::move(hook); }
  void after(Hook hook) { after_ = std::move(hook); }  // not of those on files

 private:
  Verdict begin(Operation operation, const std::string& path) override {
    if (before_) before_(operation, path);
    return {};
  }
  void end(Operation operation, const std::string& path) override {
    if (after_) after_(operation, path);
  }

  Hook before_;
  Hook after_;
};

}  // namespace milepost::testing
