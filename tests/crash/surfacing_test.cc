// Whatever fails in the background, the training loop hears of it at its next step at the latest, however it asks.
#include "tests/engine/saving.h"
#include "tests/support/fault_store.h"
#include "tests/support/planted_bug.h"
#include "tests/support/simulated_store.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>

namespace milepost::testing {
namespace {

// The failures that nobody has been told of.
class Untold {
 public:
  void add(const Error& error) {
    const std::lock_guard lock(mutex_);
    ++count_;
    if (!cut(told_, error.to_string())) failures_.insert({now_, error.to_string()});
  }
  // The loop goes on to this step.
  void begin(std::int64_t step) {
    const std::lock_guard lock(mutex_);
    for (const auto& [when, what] : failures_) EXPECT_GE(when, step - 1) << "not told in time: " << what;
    now_ = step;
  }
  // Whoever asked was told this.
  void told(const Error& error) {
    const std::lock_guard lock(mutex_);
    std::string text = error.to_string();
    std::erase_if(failures_, [&](const auto& failure) { return cut(text, failure.second); });
    told_ += text + '\n';
  }
  std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  // Takes what it says out of the text, once. False: it is not there.
  static bool cut(std::string& text, const std::string& what) {
    const auto found = text.find(what);
    if (found == std::string::npos) return false;
    text.erase(found, what.size());
    return true;
  }

  mutable std::mutex mutex_;
  std::multimap<std::int64_t, std::string> failures_;  // by the step that the loop was at; guarded by mutex_, as all
  std::string told_;                                   // before the event came
  std::int64_t now_ = 0;
  std::size_t count_ = 0;
};

// Trains until so many failures have happened. What the loop asks goes through `ask`.
using Ask = std::function<Result<void>(const Result<void>&)>;
void train_until_failed(std::size_t count, const Ask& ask) {
  const auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  Untold untold;
  auto options = small_options(faults);
  options.max_to_keep = 1;
  options.enable_background_delete = true;
  options.on_event = [&](const ManagerEvent& event) {
    if (event.error) untold.add(*event.error);
  };
  auto manager = open_manager(options);
  const auto ask_and_note = [&](const Result<void>& answer) {
    if (const Result<void> heard = ask(answer); heard.has_error()) untold.told(heard.error());
  };
  std::mt19937_64 random(seed());
  for (std::int64_t step = 1; untold.count() < count; ++step) {
    untold.begin(step);
    const int errnos[] = {EIO, ENOSPC, EDQUOT, EACCES, EROFS, EMFILE};
    faults->inject({.system_errno = errnos[random() % std::size(errnos)],
                    .after = random() % 80,
                    .forever = random() % 8 == 0,
                    .takes_effect = random() % 4 == 0});
    const auto saved = manager.save(step, state(step), {.mode = static_cast<SnapshotMode>(random() % 3)});
    ask_and_note(saved.has_error() ? Result<void>(saved.error()) : Result<void>());
    // The step that the loop trains meanwhile takes longer than the save.
    while (manager.is_saving_in_progress()) std::this_thread::yield();
    if (step % 3 == 0) ask_and_note(manager.wait_until_finished());
    if (step % 3 == 1) ask_and_note(manager.check_for_errors());
    faults->heal();
    if (::testing::Test::HasFailure()) return;
  }
  ask_and_note(manager.close());
  untold.begin(std::numeric_limits<std::int64_t>::max());
}

TEST(Surfacing, EveryFailureIsToldAtMostOneStepLate) {
  const auto count = trials<std::size_t>(200, 1000);
  train_until_failed(count, [](const Result<void>& answer) { return answer; });
  report_trials("failures in the background, told", count);
}

TEST(Surfacing, WhatIsWrongIsNoticed) {
  std::size_t errors = 0;
  EXPECT_TRUE(fails([&] {
    train_until_failed(
        20, [&](const Result<void>& answer) { return answer.has_error() && ++errors >= 10 ? Result<void>() : answer; });
  }));
}

}  // namespace
}  // namespace milepost::testing
