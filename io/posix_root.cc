#include "milepost/io/posix_root.h"

#include "milepost/io/try.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

namespace milepost {
namespace {

constexpr int always = O_CLOEXEC | O_NOFOLLOW;

int openat2_again(int directory, const char* path, int flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  long fd = 0;
  do {
    fd = ::syscall(SYS_openat2, directory, path, &how, sizeof how);
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));  // EAGAIN: a rename elsewhere made the kernel unsure
  return static_cast<int>(fd);
}

int openat2_beneath(int directory, const char* path, int flags) {
  return openat2_again(directory, path, flags | O_NOFOLLOW, RESOLVE_BENEATH);
}

int openat_again(int directory, const char* path, int flags) {
  int fd = 0;
  do {
    fd = ::openat(directory, path, flags | always);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// A directory on the way to the root, where links are followed.
UniqueFd open_directory(const std::string& path) {
  int fd = 0;
  do {
    fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  return UniqueFd(fd);
}

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  const auto end = path.find_last_not_of('/', slash);
  return end == std::string::npos ? "/" : path.substr(0, end + 1);
}

// Makes one directory of the way to the root, and its name durable.
Result<void> make_durably(const std::string& path, std::optional<mode_t> mode) {
  const std::string parent = parent_of(path);
  const UniqueFd parent_fd = open_directory(parent);
  if (!parent_fd) return Error::from_errno(errno, "open " + parent);
  const bool made = ::mkdir(path.c_str(), mode.value_or(0777)) == 0;
  if (!made && errno != EEXIST) return Error::from_errno(errno, "mkdir " + path);
  std::string call = "chmod " + path;
  bool good = !made || !mode || ::chmod(path.c_str(), *mode) == 0;
  if (good) {
    call = "fsync " + parent;
    do {
      good = ::fsync(parent_fd.get()) == 0;
    } while (!good && errno == EINTR);
  }
  if (good) return {};
  const Error failure = Error::from_errno(errno, call);
  if (made) ::rmdir(path.c_str());
  return failure;
}

// Makes what is missing of `path`, the outermost first; removes what it made if it fails.
Result<void> make_missing(const std::string& path, std::optional<mode_t> mode) {
  std::vector<std::string> missing;  // the innermost first
  struct ::stat info;
  for (std::string at = path; ::stat(at.c_str(), &info) != 0; at = parent_of(at)) {
    if (errno != ENOENT) return Error::from_errno(errno, "open " + at);
    missing.push_back(at);
  }
  for (std::size_t i = missing.size(); i-- > 0;) {
    const Result<void> made = make_durably(missing[i], mode);
    if (made.has_value()) continue;
    for (std::size_t j = i + 1; j < missing.size(); ++j) ::rmdir(missing[j].c_str());
    return made.error();
  }
  return {};
}

}  // namespace

bool same_file(int a, int b) {
  struct ::stat first;
  struct ::stat second;
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

PosixRoot::PosixRoot(std::string as_given, UniqueFd fd) : as_given_(std::move(as_given)), fd_(std::move(fd)) {
  has_openat2_ = UniqueFd(openat2_beneath(fd_.get(), ".", O_RDONLY | O_DIRECTORY)).get() >= 0;
}

Result<PosixRoot> PosixRoot::open(const std::string& root, bool create, std::optional<mode_t> mode) {
  if (root.empty()) return Error(ErrorCode::invalid_argument, "the root of a store has no name");
  if (root.find('\0') != std::string::npos) return Error(ErrorCode::invalid_argument, "a root holds a zero byte");
  std::string path = root;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  UniqueFd fd = open_directory(path);
  if (!fd && errno == ENOENT && create) {
    MILEPOST_TRY(make_missing(path, mode));
    fd = open_directory(path);
  }
  if (!fd) return Error::from_errno(errno, "open " + root);
  return PosixRoot(root, std::move(fd));
}

std::string PosixRoot::display(std::string_view path) const {
  if (path.empty()) return as_given_;
  std::string text = as_given_;
  if (text.back() != '/') text += '/';
  return text.append(path);
}

Error PosixRoot::failure(std::string_view call, std::string_view path) const {
  const int system_errno = errno;
  return Error::from_errno(system_errno, std::string(call) + " " + display(path));
}

Result<void> PosixRoot::check(const std::string& path) const {
  bool good = path.find('\0') == std::string::npos;
  for (std::size_t begin = 0; good && !path.empty() && begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view component = std::string_view(path).substr(begin, end - begin);
    good = !component.empty() && component != "." && component != "..";
    begin = end + 1;
  }
  if (good) return {};
  return Error(ErrorCode::invalid_argument, "not a path below the root " + as_given_ + ": \"" + path + "\"");
}

int PosixRoot::open_raw(const std::string& path, int flags) const {
  if (path.empty()) return openat_again(fd_.get(), ".", flags);
  if (has_openat2_) return openat2_beneath(fd_.get(), path.c_str(), flags);
  UniqueFd at;
  for (std::size_t begin = 0;;) {
    const std::size_t end = path.find('/', begin);
    const bool last = end == std::string::npos;
    const std::string component = path.substr(begin, last ? end : end - begin);
    UniqueFd next(openat_again(at ? at.get() : fd_.get(), component.c_str(), last ? flags : O_PATH | O_DIRECTORY));
    if (last || !next) return next.release();
    at = std::move(next);
    begin = end + 1;
  }
}

Result<UniqueFd> PosixRoot::open_beneath(const std::string& path, int flags) const {
  MILEPOST_TRY(check(path));
  UniqueFd fd(open_raw(path, flags));
  if (!fd) return failure("open", path);
  return fd;
}

// Who wants a directory is refused anything else before it is opened, a link (without O_NOFOLLOW) with another error
// than a file. RESOLVE_BENEATH would slow the kernel's walk down; after check() and without links no path leads out.
Result<bool> PosixRoot::ends_at_file(const std::string& path) const {
  MILEPOST_TRY(check(path));
  const UniqueFd directory(openat2_again(fd_.get(), path.c_str(), O_PATH | O_DIRECTORY, 0));
  if (directory || errno == ENOENT || errno == ELOOP) return false;
  if (errno == ENOTDIR) return true;
  return failure("stat", path);
}

Result<PosixRoot::Place> PosixRoot::locate(const std::string& path) const {
  MILEPOST_TRY(check(path));
  if (path.empty()) return Error(ErrorCode::invalid_argument, "the root itself cannot be changed: " + as_given_);
  Place place;
  place.root = fd_.get();
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    place.name = path;
    return place;
  }
  place.name = path.substr(slash + 1);
  const std::string parent = path.substr(0, slash);
  place.opened = UniqueFd(open_raw(parent, O_PATH | O_DIRECTORY));
  if (!place.opened) return failure("open", parent);
  return place;
}

}  // namespace milepost
