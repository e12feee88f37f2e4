#include "milepost/io/directory_watch.h"

#include "milepost/io/try.h"

#include <linux/magic.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <utility>

namespace milepost {
namespace {

constexpr std::uint32_t events_wanted = IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

// File systems that other machines (or a process of this one, unseen by the kernel) change.
bool is_shared_file_system(const std::string& path) {
  struct ::statfs info;
  if (::statfs(path.c_str(), &info) != 0) return true;
  switch (static_cast<std::uint32_t>(info.f_type)) {
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case CEPH_SUPER_MAGIC:
    case CODA_SUPER_MAGIC:
    case AFS_SUPER_MAGIC:
    case AFS_FS_MAGIC:
    case V9FS_MAGIC:
    case FUSE_SUPER_MAGIC:
    case OCFS2_SUPER_MAGIC:
    case 0x01161970:  // GFS2
    case 0x0BD00BD0:  // Lustre
    case 0x19830326:  // BeeGFS
    case 0x47504653:  // GPFS
    case 0x786F4256:  // VirtualBox shared folders
      return true;
    default: return false;
  }
}

void drain(int fd) {
  alignas(::inotify_event) char buffer[4096];
  while (::read(fd, buffer, sizeof(buffer)) > 0) {
  }
}

::timespec until(std::chrono::steady_clock::time_point when) {
  const auto now = std::chrono::steady_clock::now();
  const auto left = when > now ? when - now : std::chrono::nanoseconds::zero();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {static_cast<std::time_t>(seconds.count()), static_cast<long>((left - seconds).count())};
}

}  // namespace

Result<DirectoryWatch> DirectoryWatch::open(std::string path, const DirectoryWatchOptions& options) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  DirectoryWatch watch(std::move(path), options);
  watch.stopped_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!watch.stopped_) return Error::from_errno(errno, "eventfd");
  if (!watch.path_.empty()) watch.inotify_ = UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  watch.arm();
  return watch;
}

// Watches the path, or else its nearest parent that exists, which is where its next component will appear.
void DirectoryWatch::watch_nearest(int& watched, std::string& at) const {
  at = path_;
  for (std::string missing;;) {
    watched = ::inotify_add_watch(inotify_.get(), at.c_str(), events_wanted);
    if (watched < 0 && errno != ENOENT) return;
    if (watched < 0) {
      missing = at;
      at = std::filesystem::path(at).parent_path().string();
      if (at == missing) return;
      if (at.empty()) at = ".";
      continue;
    }
    struct ::stat info;
    if (missing.empty() || ::stat(missing.c_str(), &info) != 0) return;
    // It has appeared before its parent was watched.
    ::inotify_rm_watch(inotify_.get(), watched);
    missing.clear();
    at = path_;
  }
}

// Looks where the path leads now; whether that is another directory than before.
bool DirectoryWatch::arm() {
  if (!inotify_) return false;
  int watched;
  std::string at;
  watch_nearest(watched, at);
  // A directory that is watched already keeps its number, and a new one never gets an old number.
  if (watched == watched_) return false;
  if (watched_ >= 0) ::inotify_rm_watch(inotify_.get(), watched_);
  watched_ = watched;
  sees_all_ = watched >= 0 && !is_shared_file_system(at);
  return true;
}

Result<void> DirectoryWatch::wait(Clock::time_point deadline, std::stop_token stop) {
  if (arm()) return {};
  drain(stopped_.get());  // of an earlier wait, that ended otherwise
  const std::stop_callback wake(std::move(stop), [fd = stopped_.get()] {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(fd, &one, sizeof(one));  // fails only when it is readable anyway
  });
  const auto interval = sees_all_ ? options_.rescan_interval : options_.polling_interval;
  const auto now = Clock::now();
  if (deadline > now && interval < deadline - now) deadline = now + interval;

  ::pollfd ready[] = {{stopped_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}};  // a negative descriptor is ignored
  int result;
  do {
    const ::timespec left = until(deadline);
    result = ::ppoll(ready, std::size(ready), &left, nullptr);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return Error::from_errno(errno, "poll " + path_);
  if (ready[1].revents != 0) drain(inotify_.get());
  return {};
}

}  // namespace milepost
