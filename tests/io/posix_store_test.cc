// What is particular to a file system: hostile entries, refusals of the kernel, limits.

#include "milepost/io/posix_store.h"

#include "milepost/io/store.h"
#include "tests/support/bytes.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

thread_local std::function<void()> before_flock;  // called once

}  // namespace

// The library's, too. In C++ the name is also that of a type.
extern "C" int hooked_flock(int fd, int operation) __asm__("flock");
extern "C" int hooked_flock(int fd, int operation) {
  if (const auto happens_now = std::exchange(before_flock, {})) happens_now();
  return static_cast<int>(::syscall(SYS_flock, fd, operation));
}

namespace milepost {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::pattern;
using testing::TempDir;
using testing::to_bytes;

std::unique_ptr<Store> open_store(const std::string& root, IoBackend backend = IoBackend::automatic) {
  auto store = PosixStore::open(root, {.backend = backend});
  EXPECT_TRUE(store.has_value()) << store.error().to_string();
  return store.has_value() ? std::move(*store) : nullptr;
}

std::vector<IoBackend> backends() {
  if (available_io_backend() == IoBackend::io_uring) return {IoBackend::io_uring, IoBackend::threads};
  return {IoBackend::threads};
}

// Page-aligned memory.
class Pages {
 public:
  explicit Pages(std::size_t bytes)
      : bytes_(bytes),
        begin_(static_cast<std::byte*>(
            ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  ~Pages() { ::munmap(begin_, bytes_); }
  std::span<std::byte> span() const { return {begin_, bytes_}; }

 private:
  std::size_t bytes_;
  std::byte* begin_;
};

TEST(PosixStore, CreatesTheRootAndItsParents) {
  const TempDir directory;
  const std::string root = directory.string() + "/a/b/c/";
  EXPECT_EQ(PosixStore::open(root, {.create = false}).error().code(), ErrorCode::not_found);
  EXPECT_EQ(PosixStore::open(root, {.read_only = true}).error().code(), ErrorCode::not_found);
  EXPECT_FALSE(fs::exists(directory.path() / "a"));
  EXPECT_EQ(open_store(root)->description(), root);
  EXPECT_TRUE(fs::is_directory(root));
}

TEST(PosixStore, AFailureToOpenNamesThePathAndLeavesNothing) {
  const TempDir directory;
  write_file(*open_store(directory.string()), "file", to_bytes("x")).value();
  for (const std::string below : {"/file", "/file/deeper"}) {
    const auto store = PosixStore::open(directory.string() + below);
    ASSERT_TRUE(store.has_error());
    EXPECT_EQ(store.error().system_errno(), ENOTDIR);
    EXPECT_THAT(store.error().to_string(), HasSubstr(directory.string() + "/file"));
  }
  const std::string too_long = directory.string() + "/new/" + std::string(300, 'n');
  EXPECT_EQ(PosixStore::open(too_long).error().system_errno(), ENAMETOOLONG);
  EXPECT_FALSE(fs::exists(directory.path() / "new"));
  EXPECT_EQ(PosixStore::open("").error().code(), ErrorCode::invalid_argument);
}

TEST(PosixStore, ARelativeRootIsResolvedOnce) {
  const TempDir directory;
  const fs::path before = fs::current_path();
  fs::current_path(directory.path());
  const auto store = open_store("relative/root");
  fs::current_path(before);
  ASSERT_TRUE(write_file(*store, "file", to_bytes("x")).has_value());
  EXPECT_TRUE(fs::exists(directory.path() / "relative/root/file"));
  EXPECT_THAT(store->open_file("none").error().to_string(), HasSubstr("relative/root/none"));
}

TEST(PosixStore, ReadOnlyChangesNothing) {
  const TempDir directory;
  write_file(*open_store(directory.string()), "file", to_bytes("x")).value();
  const auto store = PosixStore::open(directory.string(), {.read_only = true}).value();
  EXPECT_EQ(store->create_file("new", {}).error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(store->make_directory("new").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(store->rename_no_replace("file", "new").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(store->exchange("file", "new").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(store->open_file_to_write("file").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(store->replace_file("file", "new").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(store->remove_file("file").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(store->remove_directory("file").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(read_file(*store, "file", 1).value(), to_bytes("x"));
}

TEST(PosixStore, PermissionsAreThoseAskedForWhateverTheUmask) {
  const TempDir directory;
  const std::string root = directory.string() + "/new/root";
  const auto mode_of = [](const std::string& path) {
    struct ::stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  };
  EXPECT_EQ(PosixStore::open(root, {.path_permission_mode = 0077}).error().code(), ErrorCode::invalid_argument);
  const mode_t before = ::umask(0077);
  {
    const auto store = PosixStore::open(root, {.path_permission_mode = 02750}).value();
    EXPECT_TRUE(store->make_directory("dir").has_value());
    EXPECT_TRUE(write_file(*store, "dir/file", to_bytes("x")).has_value());
  }
  {
    const auto store = open_store(root);
    EXPECT_TRUE(store->make_directory("private").has_value());
    EXPECT_TRUE(write_file(*store, "private/file", to_bytes("x")).has_value());
  }
  ::umask(before);
  EXPECT_EQ(mode_of(directory.string() + "/new"), 02750U);
  EXPECT_EQ(mode_of(root), 02750U);
  EXPECT_EQ(mode_of(root + "/dir"), 02750U);
  EXPECT_EQ(mode_of(root + "/dir/file"), 0640U);
  EXPECT_EQ(mode_of(root + "/private") & 0777, 0700U);
  EXPECT_EQ(mode_of(root + "/private/file"), 0600U);
}

// Also run where openat2 is forbidden.
void expect_links_refused() {
  const TempDir outside;
  write_file(*open_store(outside.string()), "secret", to_bytes("secret")).value();
  const TempDir directory;
  fs::create_symlink(outside.path(), directory.path() / "link");
  fs::create_symlink(outside.path() / "secret", directory.path() / "file_link");
  fs::create_directories(directory.path() / "dir/below");
  fs::create_symlink("dir", directory.path() / "inner_link");
  const auto store = open_store(directory.string());
  ASSERT_TRUE(write_file(*store, "dir/below/file", to_bytes("x")).has_value());
  for (const char* const path : {"link/secret", "file_link", "inner_link/below/file"}) {
    EXPECT_TRUE(store->open_file(path).has_error()) << path;
    EXPECT_TRUE(store->open_file_to_write(path).has_error()) << path;
    const auto found = store->has_file(path);
    EXPECT_FALSE(found.has_value() && *found) << path;
  }
  EXPECT_TRUE(store->remove_file("inner_link/below/file").has_error());
  for (const char* const path : {"link", "inner_link"}) {
    const std::string below = std::string(path) + "/x";
    EXPECT_TRUE(store->list_directory(path).has_error()) << path;
    EXPECT_TRUE(store->lock_directory(path, LockKind::exclusive).has_error()) << path;
    EXPECT_TRUE(store->sync_directory(path).has_error()) << path;
    EXPECT_TRUE(store->create_file(below, {}).has_error()) << path;
    EXPECT_TRUE(store->make_directory(below).has_error()) << path;
    EXPECT_TRUE(store->rename_no_replace("dir", below).has_error()) << path;
    EXPECT_TRUE(store->remove_file(below).has_error()) << path;
    EXPECT_TRUE(store->stat(below).has_error()) << path;
    EXPECT_EQ(store->stat(path).value().type, EntryType::other) << "the link itself";
  }
  // A link is removed, never what it leads to.
  ASSERT_TRUE(remove_tree(*store, "").has_value());
  EXPECT_TRUE(fs::exists(outside.path() / "secret"));
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

TEST(PosixStore, LinksAreNeverFollowed) { expect_links_refused(); }

TEST(PosixStore, OnlyRegularFilesAreOpened) {
  const TempDir directory;
  ASSERT_EQ(::mkfifo((directory.path() / "pipe").c_str(), 0600), 0);
  const auto store = open_store(directory.string());
  const auto pipe = store->open_file("pipe");
  ASSERT_TRUE(pipe.has_error()) << "and it must not wait for a writer";
  EXPECT_THAT(pipe.error().to_string(), HasSubstr("not a regular file"));
  EXPECT_EQ(store->stat("pipe").value().type, EntryType::other);
  EXPECT_EQ(store->list_directory("").value().at(0).type, EntryType::other);
}

bool kernel_tells_what_is_cached() {
  constexpr long cachestat_syscall = 451;
  return ::syscall(cachestat_syscall, -1, nullptr, nullptr, 0) == -1 && errno != ENOSYS;
}

// In memory: of a file system that is in the page cache and nowhere else.
void expect_bulk_comes_back(Store& store, bool in_memory = false) {
  const Pages data(1 << 20);
  testing::fill_pattern(data.span(), 3);
  auto file = store.create_file("bulk", {.direct = true, .size_hint = data.span().size()}).value();
  ASSERT_TRUE(write_at(*file, 0, data.span()).has_value());
  ASSERT_TRUE(file->sync().has_value());
  ASSERT_TRUE(file->close().has_value());
  const auto reader = store.open_file("bulk").value();
  const std::size_t memory_alignment = reader->memory_alignment();
  ASSERT_EQ(io_alignment % memory_alignment, 0U);
  for (int i = 0; i < 2; ++i) {
    const Pages back((1 << 20) + io_alignment);
    for (const std::size_t address : {std::size_t{0}, memory_alignment}) {
      const auto into = back.span().subspan(address, data.span().size());
      ASSERT_EQ(read_at(*reader, 0, into).value(), into.size());
      EXPECT_TRUE(std::ranges::equal(into, data.span()));
    }
    EXPECT_EQ(read_file(store, "bulk", 1 << 20).value().size(), data.span().size());
    // Memory that direct I/O does not take.
    const auto odd = back.span().subspan(1, data.span().size());
    ASSERT_EQ(read_at(*reader, 0, odd).value(), odd.size());
    EXPECT_TRUE(std::ranges::equal(odd, data.span()));
  }
  if (in_memory) {
    EXPECT_EQ(reader->is_cached(0, data.span().size()), kernel_tells_what_is_cached());
  }
  EXPECT_FALSE(reader->is_cached(0, data.span().size() + 1)) << "there is no such byte";
  ASSERT_TRUE(store.remove_file("bulk").has_value());
}

TEST(PosixStore, DirectFilesWorkOnDiskAndInMemory) {
  for (const IoBackend backend : backends()) {
    const TempDir on_disk;
    expect_bulk_comes_back(*open_store(on_disk.string(), backend));
    if (::access("/dev/shm", W_OK) == 0) {
      const TempDir in_memory("/dev/shm");
      expect_bulk_comes_back(*open_store(in_memory.string(), backend), true);
    }
  }
}

bool has_ring() {
  return std::ranges::any_of(fs::directory_iterator("/proc/self/fd"), [](const fs::directory_entry& fd) {
    std::error_code gone;  // that of the directory itself
    return fs::read_symlink(fd, gone) == "anon_inode:[io_uring]";
  });
}

// Who only lists, or reads a little, does not pay for a ring.
TEST(PosixStore, TheRingWaitsForBulkOrWarmUp) {
  if (available_io_backend() != IoBackend::io_uring) GTEST_SKIP() << "io_uring is forbidden here";
  const TempDir directory;
  const auto store = open_store(directory.string());
  write_file(*store, "small", to_bytes("x")).value();
  EXPECT_TRUE(store->has_file("small").value());
  EXPECT_EQ(read_file(*store, "small", 1).value(), to_bytes("x"));
  EXPECT_FALSE(has_ring());
  store->warm_up();
  EXPECT_TRUE(has_ring());
}

TEST(PosixStore, TheRingIsThereIfItIsAskedFor) {
  if (available_io_backend() != IoBackend::io_uring) GTEST_SKIP() << "io_uring is forbidden here";
  const TempDir directory;
  const auto store = open_store(directory.string(), IoBackend::io_uring);
  EXPECT_TRUE(has_ring());
}

TEST(PosixStore, DirectWritesDoNotFillThePageCache) {
  const TempDir directory;
  const std::string path = directory.string() + "/bulk";
  const int probe = ::open(path.c_str(), O_CREAT | O_WRONLY | O_DIRECT, 0600);
  if (probe < 0) GTEST_SKIP() << "no O_DIRECT here";
  ::close(probe);
  fs::remove(path);
  for (const IoBackend backend : backends()) {
    const Pages data(1 << 20);
    testing::fill_pattern(data.span(), 3);
    const auto store = open_store(directory.string(), backend);
    auto file = store->create_file("bulk", {.direct = true, .size_hint = data.span().size()}).value();
    ASSERT_TRUE(write_at(*file, 0, data.span()).has_value());
    const int fd = ::open(path.c_str(), O_RDONLY);
    void* const mapped = ::mmap(nullptr, data.span().size(), PROT_READ, MAP_SHARED, fd, 0);
    std::vector<unsigned char> resident(data.span().size() / 4096);
    ASSERT_EQ(::mincore(mapped, data.span().size(), resident.data()), 0);
    EXPECT_EQ(std::ranges::count_if(resident, [](unsigned char page) { return (page & 1) != 0; }), 0);
    ::munmap(mapped, data.span().size());
    ::close(fd);
    ASSERT_TRUE(store->remove_file("bulk").has_value());
  }
}

TEST(PosixStore, MayGoAsSoonAsItsFilesAreIdle) {
  for (const IoBackend backend : backends()) {
    const TempDir directory;
    std::atomic<int> completed = 0;
    const Pages data(4 << 20);
    {
      const auto store = open_store(directory.string(), backend);
      const auto file = store->create_file("bulk", {.direct = true}).value();
      for (std::size_t i = 0; i < 32; ++i) {
        const auto part = data.span().subspan(i * (128 << 10), 128 << 10);
        file->write_at(i * (128 << 10), part, [&](Result<std::size_t> result) { completed += result.has_value(); });
      }
      EXPECT_TRUE(write_at(*file, 4 << 20, data.span().first(1)).has_value());
      while (completed != 32) std::this_thread::yield();
    }
    EXPECT_EQ(completed, 32);
  }
}

// Runs `body` in a child, where it may do harm; its EXPECTs decide.
void in_child(const std::function<void()>& body) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body();
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(PosixStore, AFileTooLargeIsAnErrorAndNoSignal) {
  for (const IoBackend backend : backends()) {
    in_child([backend] {
      const TempDir directory;
      const rlimit limit{64 << 10, 64 << 10};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      const auto store = open_store(directory.string(), backend);
      for (const bool direct : {true, false}) {
        const Pages data(128 << 10);
        auto file = store->create_file("large", {.direct = direct, .size_hint = 1 << 20}).value();
        const auto written = write_at(*file, 0, data.span());
        ASSERT_TRUE(written.has_error());
        EXPECT_EQ(written.error().system_errno(), EFBIG);
        EXPECT_EQ(written.error().code(), ErrorCode::no_space);
        EXPECT_THAT(written.error().to_string(), HasSubstr("pwrite " + directory.string() + "/large@65536"));
        EXPECT_EQ(file->truncate(1 << 20).error().system_errno(), EFBIG);
        ASSERT_TRUE(store->remove_file("large").has_value());
      }
    });
  }
}

TEST(PosixStore, WithoutPermissionNothingChanges) {
  const TempDir directory;
  fs::create_directory(directory.path() / "locked");
  fs::permissions(directory.path() / "locked",
                  fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec);
  fs::permissions(directory.path(), fs::perms::others_exec | fs::perms::others_read, fs::perm_options::add);
  const std::string root = directory.string() + "/locked";
  in_child([&root] {
    constexpr uid_t nobody = 65534;
    if (::geteuid() == 0 && ::setuid(nobody) != 0) return;
    const auto store = PosixStore::open(root);
    if (store.has_error()) return;  // somewhere above, nobody may not pass: nothing to test here
    for (const Error& error : {(*store)->create_file("file", {}).error(), (*store)->make_directory("dir").error(),
                               PosixStore::open(root + "/new").error()}) {
      EXPECT_EQ(error.system_errno(), EACCES);
      EXPECT_THAT(error.to_string(), HasSubstr(root));
    }
  });
  EXPECT_TRUE(fs::is_empty(root));
}

// Runs one test of this program again, in a process of its own, with some system calls failing.
// It must start afresh: what the kernel allows is asked once in a process.
struct Refusal {
  int system_call;
  int system_errno;
};

void run_refused(const char* test, const std::vector<Refusal>& refusals) {
  const std::string filter = std::string("--gtest_filter=") + test;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const scmp_filter_ctx context = ::seccomp_init(SCMP_ACT_ALLOW);
    for (const Refusal& refusal : refusals) {
      const auto action = SCMP_ACT_ERRNO(static_cast<std::uint32_t>(refusal.system_errno));
      if (::seccomp_rule_add(context, action, refusal.system_call, 0) != 0) ::_exit(3);
    }
    if (::seccomp_load(context) != 0) ::_exit(4);
    ::execl("/proc/self/exe", "io_test", filter.c_str(), "--gtest_also_run_disabled_tests", "--gtest_brief=1",
            static_cast<char*>(nullptr));
    ::_exit(5);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(PosixStore, DISABLED_InChildWithoutIoUring) {
  EXPECT_EQ(available_io_backend(), IoBackend::threads);
  const TempDir directory;
  EXPECT_EQ(PosixStore::open(directory.string(), {.backend = IoBackend::io_uring}).error().code(),
            ErrorCode::unavailable);
  expect_bulk_comes_back(*open_store(directory.string()));
}

TEST(PosixStore, WorksWhereIoUringIsForbidden) {
  for (const int system_errno : {EPERM, ENOSYS, ENOMEM}) {
    run_refused("PosixStore.DISABLED_InChildWithoutIoUring", {{SYS_io_uring_setup, system_errno}});
  }
}

// The ring can be made, and yet not the way Asio makes it.
TEST(PosixStore, DISABLED_InChildWithoutEventfds) {
  const TempDir directory;
  expect_bulk_comes_back(*open_store(directory.string()));
}

TEST(PosixStore, FallsBackWhenAsioCannotStart) {
  run_refused("PosixStore.DISABLED_InChildWithoutEventfds", {{SYS_io_uring_register, EPERM}});
}

TEST(PosixStore, DISABLED_InChildWithoutOpenat2) { expect_links_refused(); }

TEST(PosixStore, LinksAreNeverFollowedWhereOpenat2IsForbidden) {
  for (const int system_errno : {EPERM, ENOSYS}) {
    run_refused("PosixStore.DISABLED_InChildWithoutOpenat2", {{SYS_openat2, system_errno}});
  }
}

TEST(PosixStore, DISABLED_InChildWithoutRenameFlags) {
  const TempDir directory;
  const auto store = open_store(directory.string());
  ASSERT_TRUE(store->make_directory("from").has_value());
  write_file(*store, "from/file", to_bytes("moved")).value();
  ASSERT_TRUE(store->make_directory("empty").has_value());
  write_file(*store, "file", to_bytes("kept")).value();
  EXPECT_EQ(store->rename_no_replace("from", "empty").error().code(), ErrorCode::already_exists);
  EXPECT_EQ(store->rename_no_replace("from/file", "file").error().code(), ErrorCode::already_exists);
  EXPECT_EQ(read_file(*store, "file", 10).value(), to_bytes("kept"));
  EXPECT_TRUE(store->rename_no_replace("from", "from/below").has_error());
  EXPECT_TRUE(store->stat("from/below").has_error()) << "the claim is taken back";
  ASSERT_TRUE(store->rename_no_replace("from", "to").has_value());
  EXPECT_EQ(read_file(*store, "to/file", 10).value(), to_bytes("moved"));
  ASSERT_TRUE(store->rename_no_replace("to/file", "file2").has_value());
  EXPECT_EQ(read_file(*store, "file2", 10).value(), to_bytes("moved"));
  EXPECT_TRUE(store->stat("to/file").has_error());
  EXPECT_EQ(store->exchange("empty", "to").error().code(), ErrorCode::failed_precondition);
  EXPECT_TRUE(store->list_directory("empty")->empty());
}

TEST(PosixStore, RenamesSafelyWithoutTheFlag) {
  run_refused("PosixStore.DISABLED_InChildWithoutRenameFlags", {{SYS_renameat2, EINVAL}});
}

TEST(PosixStore, DISABLED_InChildWithoutLocks) {
  const TempDir directory;
  const auto store = open_store(directory.string());
  for (const LockKind kind : {LockKind::shared, LockKind::exclusive}) {
    EXPECT_EQ(store->lock_directory("", kind).error().code(), ErrorCode::failed_precondition);
  }
}

// A lock is worth something only on what has the name when it is held.
TEST(PosixStore, ALockIsOnWhatHasTheNameWhenItIsHeld) {
  const TempDir directory;
  const auto store = open_store(directory.string());
  ASSERT_TRUE(store->make_directory("a").has_value());
  ASSERT_TRUE(store->make_directory("b").has_value());
  before_flock = [&] { EXPECT_TRUE(store->exchange("a", "b").has_value()); };
  const auto lock = store->lock_directory("a", LockKind::exclusive);
  ASSERT_TRUE(lock.has_value()) << lock.error().to_string();
  EXPECT_EQ(store->lock_directory("a", LockKind::exclusive).error().code(), ErrorCode::unavailable);
  EXPECT_TRUE(store->lock_directory("b", LockKind::exclusive).has_value());
}

TEST(PosixStore, AFileSystemWithoutLocksIsToldFromALockThatIsHeld) {
  run_refused("PosixStore.DISABLED_InChildWithoutLocks", {{SYS_flock, ENOLCK}});
}

TEST(PosixStore, DISABLED_InChildWithFailingSync) {
  const TempDir directory;
  ASSERT_EQ(::mkdir((directory.string() + "/root").c_str(), 0700), 0);
  const auto store = open_store(directory.string() + "/root");
  auto file = store->create_file("file", {}).value();
  ASSERT_TRUE(write_at(*file, 0, to_bytes("x")).has_value());
  EXPECT_EQ(file->sync().error().system_errno(), EIO);
  for (const Error& later : {file->sync().error(), file->truncate(0).error(), write_at(*file, 0, to_bytes("y")).error(),
                             file->close().error()}) {
    EXPECT_EQ(later.code(), ErrorCode::failed_precondition);
    EXPECT_THAT(later.to_string(), HasSubstr("fsync " + directory.string() + "/root/file"));
  }
  EXPECT_EQ(store->sync_directory("").error().system_errno(), EIO);
  EXPECT_EQ(PosixStore::open(directory.string() + "/new/root").error().system_errno(), EIO);
  EXPECT_FALSE(fs::exists(directory.path() / "new")) << "what was not made durable is taken back";
}

TEST(PosixStore, AFailedSyncPoisonsTheFile) {
  run_refused("PosixStore.DISABLED_InChildWithFailingSync", {{SYS_fsync, EIO}});
}

TEST(PosixStore, DISABLED_InChildWithoutPreallocation) {
  const TempDir directory;
  expect_bulk_comes_back(*open_store(directory.string()));
}

TEST(PosixStore, PreallocationIsOnlyAWish) {
  for (const int system_errno : {EOPNOTSUPP, ENOSPC}) {
    run_refused("PosixStore.DISABLED_InChildWithoutPreallocation", {{SYS_fallocate, system_errno}});
  }
}

}  // namespace
}  // namespace milepost
