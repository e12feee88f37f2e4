#include "milepost/io/posix_store.h"

#include "milepost/io/async_io.h"
#include "milepost/io/posix_file.h"
#include "milepost/io/posix_root.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

namespace milepost {
namespace {

EntryType type_of_mode(mode_t mode) {
  if (S_ISREG(mode)) return EntryType::file;
  return S_ISDIR(mode) ? EntryType::directory : EntryType::other;
}

class PosixDirectoryLock final : public DirectoryLock {
 public:
  explicit PosixDirectoryLock(UniqueFd fd) : fd_(std::move(fd)) {}
  // A child that was forked meanwhile holds the same lock: closing alone would leave it to the child, for as long as
  // that lives. And the child's end must not take it from its parent.
  ~PosixDirectoryLock() override {
    if (::getpid() == owner_) ::flock(fd_.get(), LOCK_UN);
  }

 private:
  const pid_t owner_ = ::getpid();
  UniqueFd fd_;  // flock belongs to the open directory
};

// Where the file system knows no RENAME_NOREPLACE. Both ways refuse an existing target by
// themselves, without a check that could be overtaken.
//   A file: link(2) makes the new name, which fails if there is one; then the old name goes.
//   Killed in between, the file has both names.
//   A directory: mkdir(2) claims the new name, which fails if there is one; then rename replaces
//   the empty directory, and fails if somebody put something into it meanwhile. Killed in
//   between, an empty directory of that name is left; readers may see it for a moment.
// Returns 0 or -1 with errno, as rename does.
int rename_by_claim(int from_directory, const char* from, int to_directory, const char* to) {
  struct ::stat info;
  if (::fstatat(from_directory, from, &info, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  if (!S_ISDIR(info.st_mode)) {
    if (::linkat(from_directory, from, to_directory, to, 0) != 0) return -1;
    return ::unlinkat(from_directory, from, 0);
  }
  if (::mkdirat(to_directory, to, 0700) != 0) return -1;
  if (::renameat(from_directory, from, to_directory, to) == 0) return 0;
  const int system_errno = errno;
  ::unlinkat(to_directory, to, AT_REMOVEDIR);
  errno = system_errno;
  return -1;
}

class PosixStoreImplementation final : public Store {
 public:
  PosixStoreImplementation(PosixRoot root, std::unique_ptr<AsyncIo> io, const PosixStoreOptions& options)
      : root_(std::move(root)),
        io_(std::move(io)),
        read_only_(options.read_only),
        mode_(options.path_permission_mode) {}

  std::string description() const override { return root_.as_given(); }

  void warm_up() override { io_->warm_up(); }

  Result<std::unique_ptr<WriteFile>> create_file(const std::string& path, const CreateFileOptions& options) override {
    MILEPOST_TRY(check_writable("create", path));
    return create_posix_file(root_, *io_, path, options, mode_);
  }

  Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) override {
    return open_posix_file(root_, *io_, path);
  }

  Result<std::unique_ptr<WriteFile>> open_file_to_write(const std::string& path) override {
    MILEPOST_TRY(check_writable("open", path));
    return open_posix_file_to_write(root_, *io_, path);
  }

  Result<void> make_directory(const std::string& path) override {
    MILEPOST_TRY(check_writable("mkdir", path));
    const TraceSlice slice("mkdir", {{"path", path}});
    MILEPOST_ASSIGN(const PosixRoot::Place place, root_.locate(path));
    if (::mkdirat(place.directory(), place.name.c_str(), mode_.value_or(0777)) != 0) {
      return root_.failure("mkdir", path);
    }
    if (!mode_) return {};
    const auto made = root_.open_beneath(path, O_RDONLY | O_DIRECTORY);
    if (made.has_value() && ::fchmod(made->get(), *mode_) == 0) return {};
    const Error failure = made.has_error() ? made.error() : root_.failure("chmod", path);
    ::unlinkat(place.directory(), place.name.c_str(), AT_REMOVEDIR);
    return failure;
  }

  Result<void> sync_directory(const std::string& path) override {
    const TraceSlice slice("fsync directory", {{"path", path}});
    MILEPOST_ASSIGN(const UniqueFd fd, root_.open_beneath(path, O_RDONLY | O_DIRECTORY));
    int result = 0;
    do {
      result = ::fsync(fd.get());
    } while (result != 0 && errno == EINTR);
    if (result != 0) return root_.failure("fsync", path);
    return {};
  }

  Result<void> rename_no_replace(const std::string& from, const std::string& to) override {
    MILEPOST_TRY(check_writable("rename", from));
    const TraceSlice slice("rename", {{"from", from}, {"to", to}});
    MILEPOST_ASSIGN(const PosixRoot::Place source, root_.locate(from));
    MILEPOST_ASSIGN(const PosixRoot::Place target, root_.locate(to));
    const char* const source_name = source.name.c_str();
    const char* const target_name = target.name.c_str();
    int result = ::renameat2(source.directory(), source_name, target.directory(), target_name, RENAME_NOREPLACE);
    if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {
      result = rename_by_claim(source.directory(), source_name, target.directory(), target_name);
    }
    if (result != 0) return root_.failure("rename " + root_.display(from) + " to", to);
    return {};
  }

  Result<void> exchange(const std::string& a, const std::string& b) override {
    MILEPOST_TRY(check_writable("exchange", a));
    MILEPOST_ASSIGN(const PosixRoot::Place first, root_.locate(a));
    MILEPOST_ASSIGN(const PosixRoot::Place second, root_.locate(b));
    if (::renameat2(first.directory(), first.name.c_str(), second.directory(), second.name.c_str(), RENAME_EXCHANGE) ==
        0) {
      return {};
    }
    const bool missing = errno == EINVAL || errno == ENOSYS;
    const Error failure = root_.failure("exchange " + root_.display(a) + " and", b);
    if (!missing) return failure;
    return Error(ErrorCode::failed_precondition, failure.message() + " (does the file system support RENAME_EXCHANGE?)",
                 failure.system_errno());
  }

  Result<void> replace_file(const std::string& from, const std::string& to) override {
    MILEPOST_TRY(check_writable("rename", from));
    const TraceSlice slice("rename", {{"from", from}, {"to", to}});
    MILEPOST_ASSIGN(const PosixRoot::Place source, root_.locate(from));
    MILEPOST_ASSIGN(const PosixRoot::Place target, root_.locate(to));
    const char* const source_name = source.name.c_str();
    // rename(2) would let a directory replace an empty one.
    struct ::stat info;
    int result = ::fstatat(source.directory(), source_name, &info, AT_SYMLINK_NOFOLLOW);
    if (result == 0 && S_ISDIR(info.st_mode)) {
      errno = EISDIR;
      result = -1;
    }
    if (result == 0) result = ::renameat(source.directory(), source_name, target.directory(), target.name.c_str());
    if (result != 0) return root_.failure("rename " + root_.display(from) + " to", to);
    return {};
  }

  Result<void> remove_file(const std::string& path) override { return remove(path, "unlink", 0); }
  Result<void> remove_directory(const std::string& path) override { return remove(path, "rmdir", AT_REMOVEDIR); }

  Result<std::vector<DirectoryEntry>> list_directory(const std::string& path) override {
    MILEPOST_ASSIGN(UniqueFd fd, root_.open_beneath(path, O_RDONLY | O_DIRECTORY));
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd.get()), &::closedir);
    if (!directory) return root_.failure("open", path);
    const int owned_by_directory = fd.release();
    std::vector<DirectoryEntry> entries;
    for (;;) {
      errno = 0;
      const dirent* const entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      EntryType type = entry->d_type == DT_REG   ? EntryType::file
                       : entry->d_type == DT_DIR ? EntryType::directory
                                                 : EntryType::other;
      if (entry->d_type == DT_UNKNOWN) {
        struct ::stat info;
        if (::fstatat(owned_by_directory, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
          if (errno == ENOENT) continue;  // removed since
          return root_.failure("stat", path + "/" + entry->d_name);
        }
        type = type_of_mode(info.st_mode);
      }
      entries.push_back({std::string(name), type});
    }
    if (errno != 0) return root_.failure("readdir", path);
    return entries;
  }

  Result<EntryInfo> stat(const std::string& path) override {
    struct ::stat info;
    if (path.empty()) {
      MILEPOST_ASSIGN(const UniqueFd fd, root_.open_beneath(path, O_PATH | O_DIRECTORY));
      if (::fstat(fd.get(), &info) != 0) return root_.failure("stat", path);
    } else {
      MILEPOST_ASSIGN(const PosixRoot::Place place, root_.locate(path));
      if (::fstatat(place.directory(), place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return root_.failure("stat", path);
      }
    }
    return EntryInfo{.type = type_of_mode(info.st_mode),
                     .size = S_ISREG(info.st_mode) ? static_cast<std::uint64_t>(info.st_size) : 0,
                     .modified_unix_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
  }

  Result<bool> has_file(const std::string& path) override {
    return root_.has_openat2() ? root_.ends_at_file(path) : Store::has_file(path);
  }

  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& path, LockKind kind) override {
    for (;;) {
      MILEPOST_ASSIGN(UniqueFd fd, root_.open_beneath(path, O_RDONLY | O_DIRECTORY));
      int result = 0;
      do {
        result = ::flock(fd.get(), (kind == LockKind::shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
      } while (result != 0 && errno == EINTR);
      if (result != 0) {
        const Error failure = root_.failure("lock", path);
        if (failure.code() == ErrorCode::unavailable) return failure;
        return Error(ErrorCode::failed_precondition, failure.message() + " (does the file system support flock?)",
                     failure.system_errno());
      }
      // Between open and flock the name may have passed on.
      MILEPOST_ASSIGN(const UniqueFd named, root_.open_beneath(path, O_PATH | O_DIRECTORY));
      if (same_file(fd.get(), named.get())) {
        return std::unique_ptr<DirectoryLock>(std::make_unique<PosixDirectoryLock>(std::move(fd)));
      }
    }
  }

 private:
  Result<void> check_writable(std::string_view call, const std::string& path) const {
    if (!read_only_) return {};
    return Error(ErrorCode::failed_precondition,
                 std::string(call) + " " + root_.display(path) + ": the store was opened for reading only");
  }

  Result<void> remove(const std::string& path, std::string_view call, int flags) {
    MILEPOST_TRY(check_writable(call, path));
    const TraceSlice slice("remove", {{"path", path}});
    MILEPOST_ASSIGN(const PosixRoot::Place place, root_.locate(path));
    if (::unlinkat(place.directory(), place.name.c_str(), flags) != 0) return root_.failure(call, path);
    return {};
  }

  const PosixRoot root_;
  const std::unique_ptr<AsyncIo> io_;
  const bool read_only_;
  const std::optional<mode_t> mode_;
};

}  // namespace

Result<std::unique_ptr<Store>> PosixStore::open(const std::string& root, const PosixStoreOptions& options) {
  const auto mode = options.path_permission_mode;
  if (mode && ((*mode & 0700) != 0700 || *mode > 07777)) {
    return Error(ErrorCode::invalid_argument,
                 "path_permission_mode must give the owner all of 0700, and be at most 07777");
  }
  MILEPOST_ASSIGN(PosixRoot opened, PosixRoot::open(root, options.create && !options.read_only, mode));
  Result<std::unique_ptr<AsyncIo>> io = AsyncIo::create(options.backend, options.io_threads);
  if (io.has_error()) return io.error().within("open " + root);
  return std::unique_ptr<Store>(std::make_unique<PosixStoreImplementation>(std::move(opened), std::move(*io), options));
}

}  // namespace milepost
