// A child whose system calls on files are decided upon by its parent, one by one (seccomp's user notification): also of
// a program that knows nothing of it, and below everything that a Store could be wrapped in. What goes through
// io_uring is not seen, but its submission (io_uring_enter) is.
#pragma once

#include "milepost/io/unique_fd.h"
#include "tests/support/child_process.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {

// A system call that is about to happen.
struct SystemCall {
  int number = 0;
  std::uint64_t arguments[6] = {};

  std::string name() const;
  // Creates, writes, cuts, renames, removes or makes durable: between two of these a disk stays as it is.
  bool changes_disk() const;
  bool moves_bytes() const;  // pwrite and pread
  // Is one to which POSIX or a file system in user space gives this errno.
  bool may_fail_with(int system_errno) const;
};

struct Verdict {
  enum class Kind {
    pass,
    fail,    // with system_errno, and without effect
    partly,  // only some of the bytes of a pwrite or pread are moved
    kill,    // the process, before the call
  };
  Kind kind = Kind::pass;
  int system_errno = 0;
};

// One thread at a time. To be made while this process has one thread.
class SupervisedProcess {
 public:
  // Those that change_disk(), or also those that look and read.
  enum class Calls { changes, all };

  // As of ChildProcess. The calls of `live`, and of what it executes, are supervised.
  SupervisedProcess(Calls calls, const std::function<void(const ChildProcess::Tell&)>& live);
  SupervisedProcess(const SupervisedProcess&) = delete;
  SupervisedProcess& operator=(const SupervisedProcess&) = delete;

  // Decides about every call until the child has ended. A `partly` of what cannot be done in part passes.
  using Judge = std::function<Verdict(const SystemCall&)>;
  void supervise(const Judge& judge);
  // Before its call number `n`, from 0, and says which that was; "none" if it makes no more than that.
  std::string kill_before(std::size_t n);

  // Of the call that is being decided: device and inode of the regular file that its first argument has open.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> file_of(const SystemCall& call) const;

  ChildProcess& child() { return child_; }

 private:
  UniqueFd fd_of_child(std::uint64_t fd) const;
  std::optional<std::int64_t> move_some(int thread, const SystemCall& call) const;

  ChildProcess child_;
  UniqueFd process_;   // a pidfd
  UniqueFd listener_;  // of its calls
};

}  // namespace milepost::testing
