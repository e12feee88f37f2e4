#include "tests/crash/supervised_process.h"

#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <stdexcept>

namespace milepost::testing {
namespace {

constexpr std::size_t direct_bytes = 4096;

struct Named {
  int number;
  bool changes_disk;
};

// Numbers that this machine does not have are negative, and never seen.
const std::vector<Named>& supervised_calls() {
  static const std::vector<Named> calls = {
      {SCMP_SYS(mkdir), true},       {SCMP_SYS(mkdirat), true},     {SCMP_SYS(rmdir), true},
      {SCMP_SYS(unlink), true},      {SCMP_SYS(unlinkat), true},    {SCMP_SYS(rename), true},
      {SCMP_SYS(renameat), true},    {SCMP_SYS(renameat2), true},   {SCMP_SYS(linkat), true},
      {SCMP_SYS(pwrite64), true},    {SCMP_SYS(ftruncate), true},   {SCMP_SYS(fallocate), true},
      {SCMP_SYS(fsync), true},       {SCMP_SYS(fdatasync), true},   {SCMP_SYS(io_uring_enter), true},
      {SCMP_SYS(open), false},       {SCMP_SYS(openat), false},     {SCMP_SYS(openat2), false},
      {SCMP_SYS(newfstatat), false}, {SCMP_SYS(fstat), false},      {SCMP_SYS(stat), false},
      {SCMP_SYS(statx), false},      {SCMP_SYS(getdents64), false}, {SCMP_SYS(pread64), false},
      {SCMP_SYS(preadv2), false},    {SCMP_SYS(flock), false},      {SCMP_SYS(close), false},
  };
  return calls;
}

bool is_one_of(int number, std::initializer_list<int> numbers) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

// Which argument of a call that may create a file is its flags; -1: it is none of those.
int flags_argument(int number) {
  if (number == SCMP_SYS(open)) return 1;
  return number == SCMP_SYS(openat) ? 2 : -1;
}

// From here on the calling thread and those that it starts ask. Returns who answers.
int ask_from_now_on(SupervisedProcess::Calls calls) {
  const std::unique_ptr<void, void (*)(void*)> context(::seccomp_init(SCMP_ACT_ALLOW), &::seccomp_release);
  int failed = 0;
  for (const Named& call : supervised_calls()) {
    if (call.number < 0) continue;
    if (call.changes_disk || calls == SupervisedProcess::Calls::all) {
      failed |= ::seccomp_rule_add(context.get(), SCMP_ACT_NOTIFY, call.number, 0);
    } else if (const int at = flags_argument(call.number); at >= 0) {
      const scmp_arg_cmp creating{static_cast<unsigned>(at), SCMP_CMP_MASKED_EQ, O_CREAT, O_CREAT};
      failed |= ::seccomp_rule_add_array(context.get(), SCMP_ACT_NOTIFY, call.number, 1, &creating);
    }
  }
  if (failed != 0 || ::seccomp_load(context.get()) != 0) return -1;
  const int listener = ::seccomp_notify_fd(context.get());
  ::fcntl(listener, F_SETFD, 0);  // lives on when another program is executed
  return listener;
}

}  // namespace

std::string SystemCall::name() const {
  const std::unique_ptr<char, void (*)(void*)> text(::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number),
                                                    &std::free);
  return text ? text.get() : std::to_string(number);
}

bool SystemCall::changes_disk() const {
  if (const int flags = flags_argument(number); flags >= 0) return (arguments[flags] & O_CREAT) != 0;
  const auto& calls = supervised_calls();
  return std::any_of(calls.begin(), calls.end(),
                     [&](const Named& call) { return call.number == number && call.changes_disk; });
}

bool SystemCall::moves_bytes() const { return is_one_of(number, {SCMP_SYS(pwrite64), SCMP_SYS(pread64)}); }

// Not close(2): whatever it returns, it takes effect, which cannot be done in its place.
bool SystemCall::may_fail_with(int system_errno) const {
  const bool opens = is_one_of(number, {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2)});
  switch (system_errno) {
    case EINTR:
      return opens || is_one_of(number, {SCMP_SYS(pwrite64), SCMP_SYS(pread64), SCMP_SYS(fsync), SCMP_SYS(ftruncate),
                                         SCMP_SYS(fallocate), SCMP_SYS(flock)});
    case EACCES:
      return opens || (changes_disk() && !is_one_of(number, {SCMP_SYS(pwrite64), SCMP_SYS(fsync), SCMP_SYS(ftruncate),
                                                             SCMP_SYS(fallocate), SCMP_SYS(io_uring_enter)}));
    case ENOSPC:
    case EDQUOT: return changes_disk() && !is_one_of(number, {SCMP_SYS(unlinkat), SCMP_SYS(io_uring_enter)});
    default: return !is_one_of(number, {SCMP_SYS(io_uring_enter), SCMP_SYS(close)});
  }
}

SupervisedProcess::SupervisedProcess(Calls calls, const std::function<void(const ChildProcess::Tell&)>& live)
    : child_([&](const ChildProcess::Tell& tell) {
        const int listener = ask_from_now_on(calls);
        tell(listener);
        if (listener >= 0) live(tell);
      }),
      process_(static_cast<int>(::syscall(SYS_pidfd_open, child_.pid(), 0))) {
  const auto listener = child_.hear();
  if (!listener || *listener < 0) throw std::runtime_error("seccomp's notifications are not to be had");
  listener_ = fd_of_child(static_cast<std::uint64_t>(*listener));
  if (!listener_) throw std::runtime_error("pidfd_getfd");
}

void SupervisedProcess::supervise(const Judge& judge) {
  for (;;) {
    pollfd ready[] = {{listener_.get(), POLLIN, 0}, {process_.get(), POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0) throw std::runtime_error("poll");
    if ((ready[0].revents & POLLIN) == 0) {
      if (((ready[0].revents & POLLHUP) | ready[1].revents) != 0) return;  // nobody is left
      continue;
    }
    seccomp_notif asked{};
    if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) continue;  // it was killed meanwhile
    SystemCall call{.number = asked.data.nr};
    std::copy(std::begin(asked.data.args), std::end(asked.data.args), std::begin(call.arguments));
    const Verdict verdict = judge(call);
    if (verdict.kind == Verdict::Kind::kill) {
      child_.kill(SIGKILL);
      continue;  // without an answer: the call never happens
    }
    seccomp_notif_resp answer{};
    answer.id = asked.id;
    std::optional<std::int64_t> moved;
    if (verdict.kind == Verdict::Kind::partly) moved = move_some(static_cast<int>(asked.pid), call);
    if (verdict.kind == Verdict::Kind::fail) {
      answer.error = -verdict.system_errno;
    } else if (moved) {
      answer.val = *moved;
    } else {
      answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    }
    ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> SupervisedProcess::file_of(const SystemCall& call) const {
  struct ::stat info {};
  const UniqueFd file = fd_of_child(call.arguments[0]);
  if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return std::pair{info.st_dev, info.st_ino};
}

UniqueFd SupervisedProcess::fd_of_child(std::uint64_t fd) const {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_getfd, process_.get(), static_cast<int>(fd), 0)));
}

// Moves about half of the bytes in the child's place.
std::optional<std::int64_t> SupervisedProcess::move_some(int thread, const SystemCall& call) const {
  if (!call.moves_bytes()) return std::nullopt;
  const UniqueFd file = fd_of_child(call.arguments[0]);
  std::size_t bytes = (call.arguments[2] + 1) / 2;
  if ((::fcntl(file.get(), F_GETFL) & O_DIRECT) != 0) bytes = bytes / direct_bytes * direct_bytes;
  if (bytes == 0) return std::nullopt;
  const std::unique_ptr<void, void (*)(void*)> memory(
      std::aligned_alloc(direct_bytes, (bytes + direct_bytes - 1) / direct_bytes * direct_bytes), &std::free);
  const iovec here{memory.get(), bytes};
  const iovec there{reinterpret_cast<void*>(call.arguments[1]), bytes};
  const auto offset = static_cast<off_t>(call.arguments[3]);
  if (call.number == SCMP_SYS(pwrite64)) {
    if (::process_vm_readv(thread, &here, 1, &there, 1, 0) != static_cast<ssize_t>(bytes)) return std::nullopt;
    const ssize_t written = ::pwrite(file.get(), memory.get(), bytes, offset);
    return written < 0 ? std::nullopt : std::optional<std::int64_t>(written);
  }
  const ssize_t read = ::pread(file.get(), memory.get(), bytes, offset);
  if (read < 0) return std::nullopt;
  const iovec part{memory.get(), static_cast<std::size_t>(read)};
  if (::process_vm_writev(thread, &part, 1, &there, 1, 0) != read) return std::nullopt;
  return read;
}

std::string SupervisedProcess::kill_before(std::size_t n) {
  std::size_t next = 0;
  std::string name = "none";
  supervise([&](const SystemCall& now) {
    if (next++ != n) return Verdict{};
    name = now.name();
    return Verdict{Verdict::Kind::kill};
  });
  return name;
}

}  // namespace milepost::testing
