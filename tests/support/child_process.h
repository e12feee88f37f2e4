// A forked child, which tells its parent numbers until it ends or is killed. To be forked while the parent has one
// thread.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <vector>

namespace milepost::testing {

// One thread at a time.
class ChildProcess {
 public:
  // May be called from any thread of the child. The child of a dead parent dies.
  using Tell = std::function<void(std::int64_t)>;

  // The child ends with status 0 after `live`; with 3, and a line on stderr, if that throws.
  explicit ChildProcess(const std::function<void(const Tell&)>& live) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ == 0) {
      ::close(ends[0]);
      run(live, ends[1]);
    }
    ::close(ends[1]);
    pipe_ = ends[0];
  }
  ~ChildProcess() {
    if (!status_) kill(SIGKILL);
    wait();
    ::close(pipe_);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  void kill(int signal) const { ::kill(pid_, signal); }

  // Waits for the next number; none: there will be no more.
  std::optional<std::int64_t> hear() const {
    std::int64_t number = 0;
    if (::read(pipe_, &number, sizeof number) != sizeof number) return std::nullopt;
    return number;
  }
  std::vector<std::int64_t> hear_all() const {
    std::vector<std::int64_t> numbers;
    while (const auto number = hear()) numbers.push_back(*number);
    return numbers;
  }

  // How it ended, as waitpid says.
  int wait() {
    int status = 0;
    if (!status_ && ::waitpid(pid_, &status, 0) == pid_) status_ = status;
    return status_.value_or(-1);
  }
  bool ended_well() {
    const int status = wait();
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  bool was_killed() {
    const int status = wait();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

 private:
  [[noreturn]] static void run(const std::function<void(const Tell&)>& live, int pipe) {
    try {
      live([pipe](std::int64_t number) {
        if (::write(pipe, &number, sizeof number) != sizeof number) ::_exit(2);
      });
    } catch (const std::exception& thrown) {
      std::fprintf(stderr, "child: %s\n", thrown.what());
      ::_exit(3);
    }
    ::_exit(0);
  }

  pid_t pid_ = -1;
  int pipe_ = -1;
  std::optional<int> status_;
};

}  // namespace milepost::testing
