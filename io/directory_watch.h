// Waits for new names in a directory: by events where the kernel gives them (inotify), and always by looking
// again after a while too, because events tell nothing of what other machines do on a network file system.
//
// The directory is a path, not an inode: it need not exist yet, and may be removed, renamed and made anew.
// While it is missing, its nearest existing parent is watched. Where no events can be had (the limits of
// inotify are reached, the directory may not be read), only time passes; nothing fails for that.
#pragma once

#include "milepost/io/error.h"
#include "milepost/io/unique_fd.h"

#include <chrono>
#include <stop_token>
#include <string>

namespace milepost {

struct DirectoryWatchOptions {
  std::chrono::nanoseconds polling_interval = std::chrono::seconds(1);  // where events tell nothing, or not all
  std::chrono::nanoseconds rescan_interval = std::chrono::seconds(10);  // where they do
};

// One thread at a time; movable. Stopping is for any thread.
class DirectoryWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // An empty path has no events. io if there are no descriptors left.
  static Result<DirectoryWatch> open(std::string path, const DirectoryWatchOptions& options = {});

  // Returns when something may have appeared since this watch was opened or last waited, when it is time to
  // look anyway, at the deadline, when a stop is requested, or for no reason: as with a condition variable, the
  // caller looks again. What appeared before a wait is never missed: that wait returns at once.
  Result<void> wait(Clock::time_point deadline, std::stop_token stop);

  // Whether changes wake a waiter at once, as far as this machine makes them. As of the last wait.
  bool has_events() const { return watched_ >= 0; }

 private:
  DirectoryWatch(std::string path, const DirectoryWatchOptions& options) : path_(std::move(path)), options_(options) {}
  bool arm();
  void watch_nearest(int& watched, std::string& at) const;

  std::string path_;
  DirectoryWatchOptions options_;
  UniqueFd inotify_;  // empty: no events
  UniqueFd stopped_;  // an eventfd that a stop makes readable
  int watched_ = -1;  // inotify's number of the directory watched; -1: none
  bool sees_all_ = false;
};

}  // namespace milepost
