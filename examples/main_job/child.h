// A training process, started from this program's own executable and read through a pipe.
#pragma once

#include "examples/main_job/run_log.h"

#include "milepost/io/error.h"

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace main_job {

class Child {
 public:
  static milepost::Result<Child> start(const std::vector<std::string>& arguments);
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();  // kills and reaps it, if that has not happened

  // Reads events until the process ends. `save_begun` is called for each save that begins, and
  // `step_done` for each step; if save_begun returns a number, the process is killed (SIGKILL) that
  // many milliseconds later. Returns true if it ended by itself, with success.
  milepost::Result<bool> follow(RunLog& log, const std::function<int(std::int64_t step)>& save_begun,
                                const std::function<void(const StepEvent&)>& step_done);

 private:
  Child(pid_t pid, int pipe) : pid_(pid), pipe_(pipe) {}
  pid_t pid_ = -1;
  int pipe_ = -1;
};

}  // namespace main_job
