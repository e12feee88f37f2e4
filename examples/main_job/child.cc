#include "examples/main_job/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

namespace main_job {

using milepost::Error;
using milepost::Result;

Result<Child> Child::start(const std::vector<std::string>& arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno(errno, "pipe");
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return Error::from_errno(errno, "fork");
  if (pid == 0) {
    dup2(ends[1], STDOUT_FILENO);
    execv("/proc/self/exe", argv.data());
    _exit(127);
  }
  close(ends[1]);
  return Child(pid, ends[0]);
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), pipe_(std::exchange(other.pipe_, -1)) {}

Child::~Child() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (pipe_ >= 0) close(pipe_);
}

Result<bool> Child::follow(RunLog& log, const Reaction& reaction) {
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> send_at;
  bool sent = false;
  const auto react = [&](SendAfterMs after_ms) {
    if (after_ms && !send_at) send_at = Clock::now() + std::chrono::milliseconds(*after_ms);
  };
  std::string pending;
  while (true) {
    int wait_ms = -1;
    if (send_at && !sent) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*send_at - Clock::now()).count();
      wait_ms = static_cast<int>(std::max<std::int64_t>(0, left));
    }
    pollfd poll_pipe{pipe_, POLLIN, 0};
    const int ready = poll(&poll_pipe, 1, wait_ms);
    if (ready < 0 && errno != EINTR) return Error::from_errno(errno, "poll");
    if (send_at && !sent && Clock::now() >= *send_at) {
      kill(pid_, reaction.signal);
      sent = true;
    }
    if (ready <= 0) continue;
    char buffer[4096];
    const ssize_t got = read(pipe_, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(errno, "read from the training process");
    if (got == 0) break;
    pending.append(buffer, static_cast<std::size_t>(got));
    for (std::size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      const std::size_t steps_before = log.steps.size();
      const auto saving = take_line(pending.substr(0, end), log);
      if (log.steps.size() > steps_before && reaction.step_done) react(reaction.step_done(log.steps.back()));
      if (saving && reaction.save_begun) react(reaction.save_begun(*saving));
    }
  }
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace main_job
