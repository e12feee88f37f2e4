// The root of a posix store, and how paths below it are opened without ever leaving it.
//
// The root is a descriptor: it stays the same directory when the process changes its own, or
// somebody renames the root. Paths below are opened by openat2 with RESOLVE_BENEATH and
// RESOLVE_NO_SYMLINKS; where that call is missing or forbidden, component by component with
// O_NOFOLLOW. "..", "." and empty components are refused before the kernel sees them.
#pragma once

#include "milepost/io/error.h"
#include "milepost/io/unique_fd.h"

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace milepost {

// Whether two descriptors have the same file or directory open.
bool same_file(int a, int b);

class PosixRoot {
 public:
  // Creates the root and its missing parents if asked to, with these permissions or what the umask leaves,
  // and makes each creation durable. After an error nothing that was created is left.
  static Result<PosixRoot> open(const std::string& root, bool create, std::optional<mode_t> mode);

  const std::string& as_given() const { return as_given_; }
  // For messages: the path as the user would write it.
  std::string display(std::string_view path) const;
  // The error of the system call `call` on `path`, with errno.
  Error failure(std::string_view call, std::string_view path) const;

  // Opens what `path` names; flags as in open(2), close-on-exec and no-follow are added.
  Result<UniqueFd> open_beneath(const std::string& path, int flags) const;

  bool has_openat2() const { return has_openat2_; }
  // Whether `path` leads to something that is neither a directory nor a link, or comes to an end at such a thing on
  // the way. A single call, which opens nothing; needs openat2.
  Result<bool> ends_at_file(const std::string& path) const;

  // A directory, and the name of an entry in it.
  struct Place {
    int directory() const { return opened ? opened.get() : root; }
    UniqueFd opened;  // empty: the root
    int root = -1;
    std::string name;
  };
  // Where the last component of `path` lives; invalid_argument for the root itself.
  Result<Place> locate(const std::string& path) const;

 private:
  PosixRoot(std::string as_given, UniqueFd fd);
  Result<void> check(const std::string& path) const;
  int open_raw(const std::string& path, int flags) const;

  std::string as_given_;
  UniqueFd fd_;
  bool has_openat2_ = false;
};

}  // namespace milepost
