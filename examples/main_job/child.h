// A training process, started from this program's own executable and read through a pipe.
#pragma once

#include "examples/main_job/run_log.h"

#include "milepost/io/error.h"

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace main_job {

class Child {
 public:
  static milepost::Result<Child> start(const std::vector<std::string>& arguments);
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();  // kills and reaps it, if that has not happened

  // What to do about an event: nothing, or to send the signal that many milliseconds later; the first time it
  // is said.
  using SendAfterMs = std::optional<int>;
  struct Reaction {
    int signal = 0;
    std::function<SendAfterMs(std::int64_t step)> save_begun = {};
    std::function<SendAfterMs(const StepEvent&)> step_done = {};
  };

  // Reads events until the process ends. Returns true if it ended by itself, with success.
  milepost::Result<bool> follow(RunLog& log, const Reaction& reaction);

 private:
  Child(pid_t pid, int pipe) : pid_(pid), pipe_(pipe) {}
  pid_t pid_ = -1;
  int pipe_ = -1;
};

}  // namespace main_job
