#include "tests/engine/hostile/traced_child.h"

#include "milepost/io/unique_fd.h"

#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>

namespace milepost::testing {
namespace {

using Live = std::function<void(const std::function<void(std::string_view)>&)>;

// Lets the tracer hear of each call that opens something.
bool report_opens() {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (!filter) return false;
  bool good = true;
  for (const int call :
       {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat), SCMP_SYS(open_by_handle_at)}) {
    good = good && seccomp_rule_add(filter, SCMP_ACT_TRACE(0), call, 0) == 0;
  }
  good = good && seccomp_load(filter) == 0;
  seccomp_release(filter);
  return good;
}

[[noreturn]] void live_traced(const Live& live, int told) {
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(4);
  ::raise(SIGSTOP);
  if (!report_opens()) ::_exit(4);
  try {
    live([told](std::string_view text) {
      while (!text.empty()) {
        const ssize_t written = ::write(told, text.data(), text.size());
        if (written < 0 && errno != EINTR) ::_exit(2);
        if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
      }
    });
  } catch (const std::exception& thrown) {
    std::fprintf(stderr, "child: %s\n", thrown.what());
    ::_exit(3);
  }
  ::_exit(0);
}

std::string read_all(int file) {
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t bytes = 0; (bytes = ::pread(file, buffer.data(), buffer.size(), static_cast<off_t>(text.size()))) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(bytes));
  }
  return text;
}

// What a thread has got from the call that it is about to return from; empty if nothing.
std::string opened_by(pid_t thread) {
  __ptrace_syscall_info info{};
  if (::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0) return "";
  if (info.op != PTRACE_SYSCALL_INFO_EXIT || info.exit.is_error) return "";
  std::array<char, 4096> name;
  const std::string link = "/proc/" + std::to_string(thread) + "/fd/" + std::to_string(info.exit.rval);
  const ssize_t bytes = ::readlink(link.c_str(), name.data(), name.size());
  return bytes > 0 ? std::string(name.data(), static_cast<std::size_t>(bytes)) : link;
}

// Follows the child and its threads until the last of them has ended.
void follow(pid_t child, TracedChild& result) {
  int status = 0;
  if (::waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status)) throw std::runtime_error("ptrace is refused");
  constexpr long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
  if (::ptrace(PTRACE_SETOPTIONS, child, nullptr, options) != 0) throw std::runtime_error("ptrace options");
  ::ptrace(PTRACE_CONT, child, nullptr, nullptr);
  for (;;) {
    const pid_t thread = ::waitpid(-1, &status, __WALL);
    if (thread < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (thread == child && (WIFEXITED(status) || WIFSIGNALED(status))) {
      result.ended_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
      if (WIFEXITED(status) && WEXITSTATUS(status) == 4) throw std::runtime_error("ptrace or seccomp is refused");
      return;
    }
    if (!WIFSTOPPED(status)) continue;
    long signal = 0;
    auto go_on = PTRACE_CONT;
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      if (std::string path = opened_by(thread); !path.empty()) result.opened.push_back(std::move(path));
    } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
      go_on = PTRACE_SYSCALL;  // and stop again when the call is done
    } else if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP) {
      signal = WSTOPSIG(status);
    }
    ::ptrace(go_on, thread, nullptr, signal);
  }
}

}  // namespace

TracedChild run_traced(const Live& live) {
  const UniqueFd told(::memfd_create("told", MFD_CLOEXEC));
  if (!told) throw std::runtime_error("memfd_create");
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) live_traced(live, told.get());
  TracedChild result;
  try {
    follow(child, result);
  } catch (...) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, __WALL);
    throw;
  }
  result.told = read_all(told.get());
  return result;
}

}  // namespace milepost::testing
