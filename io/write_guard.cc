#include "milepost/io/write_guard.h"

#include "milepost/io/signal_guard.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <utility>

namespace milepost {
namespace {

using Pages = WriteGuard::Pages;

constexpr std::uint64_t features_needed =
    UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP;
// UFFD_FEATURE_WP_UNPOPULATED, of Linux 6.4, which older headers do not name.
constexpr std::uint64_t feature_untouched = std::uint64_t{1} << 13;

thread_local const WriteGuard* guard_of_this_thread = nullptr;

std::uintptr_t number(const std::byte* address) { return reinterpret_cast<std::uintptr_t>(address); }
std::byte* address_of(std::uint64_t number) { return reinterpret_cast<std::byte*>(number); }
Pages pages_of(std::uint64_t begin, std::uint64_t end) { return {address_of(begin), address_of(end)}; }
uffdio_range range_of(Pages pages) { return {number(pages.begin), pages.size()}; }

Result<UniqueFd> open_userfaultfd() {
#ifdef USERFAULTFD_IOC_NEW
  if (const UniqueFd device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)); device) {
    const int fd = ::ioctl(device.get(), USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) return UniqueFd(fd);
  }
#endif
  const long fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Error::from_errno(errno, "userfaultfd");
  return UniqueFd(static_cast<int>(fd));
}

bool has_features(int descriptor, std::uint64_t features) {
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = features;
  return ::ioctl(descriptor, UFFDIO_API, &api) == 0 && (api.features & features) == features;
}

// To other memory writes go past the page tables of this process.
Result<void> check_private_and_anonymous(const std::vector<Pages>& pages) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> maps(std::fopen("/proc/self/maps", "re"), std::fclose);
  if (!maps) return Error::from_errno(errno, "open /proc/self/maps");
  char line[PATH_MAX + 256];
  auto next = pages.begin();
  while (next != pages.end() && std::fgets(line, sizeof line, maps.get()) != nullptr) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    unsigned long inode = 0;
    char permissions[5] = {};
    if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu", &begin, &end, permissions, &inode) != 4)
      continue;
    while (next != pages.end() && number(next->end) <= begin) ++next;
    if (next == pages.end() || end <= number(next->begin)) continue;
    if (permissions[3] != 'p')
      return Error(ErrorCode::unavailable, "some of the memory is shared with other processes");
    if (inode != 0) return Error(ErrorCode::unavailable, "some of the memory is mapped from a file");
  }
  return {};
}

}  // namespace

std::size_t system_page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

WriteGuard::WriteGuard(UniqueFd descriptor, UniqueFd stop, Owner& owner)
    : descriptor_(std::move(descriptor)), stop_(std::move(stop)), owner_(owner) {}

WriteGuard::~WriteGuard() {
  end();
  join();
}

Result<std::unique_ptr<WriteGuard>> WriteGuard::protect(std::vector<Pages> pages, Owner& owner) {
  MILEPOST_TRY(check_private_and_anonymous(pages));
  MILEPOST_ASSIGN(UniqueFd descriptor, open_userfaultfd());
  bool untouched_too = has_features(descriptor.get(), features_needed | feature_untouched);
  if (!untouched_too) {
    MILEPOST_ASSIGN(descriptor, open_userfaultfd());  // the other one cannot be asked twice
    if (!has_features(descriptor.get(), features_needed)) {
      return Error(ErrorCode::unavailable, "userfaultfd: this kernel cannot protect memory from writes");
    }
  }
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return Error::from_errno(errno, "eventfd");
  std::unique_ptr<WriteGuard> guard(new WriteGuard(std::move(descriptor), std::move(stop), owner));
  guard->pages_.reserve(pages.size());
  {
    const BlockAllSignals inherited_by_the_thread;
    guard->thread_ = std::thread([raw = guard.get()] { raw->watch(); });
  }
  for (const Pages& some : pages) MILEPOST_TRY(guard->protect(some, untouched_too));
  return guard;
}

Result<void> WriteGuard::protect(Pages pages, bool untouched_too) {
  uffdio_register request{};
  request.range = range_of(pages);
  request.mode = UFFDIO_REGISTER_MODE_WP;
  if (::ioctl(descriptor_.get(), UFFDIO_REGISTER, &request) != 0) {
    return Error::from_errno(errno, "userfaultfd: register memory");
  }
  pages_.push_back(pages);
#ifdef MADV_POPULATE_READ
  if (!untouched_too && ::madvise(pages.begin, pages.size(), MADV_POPULATE_READ) == 0) untouched_too = true;
#endif
  if (!untouched_too) return Error(ErrorCode::unavailable, "this kernel cannot protect memory that was never touched");
  int failed = 0;
  do {
    failed = change(pages, true);
  } while (failed == EAGAIN);  // somebody unmaps memory, of which the guard's thread is about to hear
  if (failed != 0) return Error::from_errno(failed, "userfaultfd: protect memory");
  return {};
}

int WriteGuard::change(Pages pages, bool protect) const noexcept {
  uffdio_writeprotect request{};
  request.range = range_of(pages);
  request.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0;
  return ::ioctl(descriptor_.get(), UFFDIO_WRITEPROTECT, &request) == 0 ? 0 : errno;
}

void WriteGuard::release(Pages pages) noexcept { static_cast<void>(change(pages, false)); }

// Takes the protection of the pages away too, but wakes nobody.
void WriteGuard::unregister(Pages pages) const noexcept {
  uffdio_range range = range_of(pages);
  if (::ioctl(descriptor_.get(), UFFDIO_UNREGISTER, &range) != 0 && pages.size() > system_page_bytes()) {
    // Something that cannot be protected lies there by now: what is around it is looked for.
    std::byte* const middle = pages.begin + pages.size() / system_page_bytes() / 2 * system_page_bytes();
    unregister({pages.begin, middle});
    return unregister({middle, pages.end});
  }
  ::ioctl(descriptor_.get(), UFFDIO_WAKE, &range);
}

void WriteGuard::end() noexcept {
  for (const Pages& pages : std::exchange(pages_, {})) unregister(pages);
  ended_.store(true);
  if (guard_of_this_thread == this) return;
  ::eventfd_write(stop_.get(), 1);
  join();
}

void WriteGuard::join() noexcept {
  if (thread_.joinable()) thread_.join();
}

void WriteGuard::watch() noexcept {
  name_thread("milepost guard");
  guard_of_this_thread = this;
  for (;;) {
    const bool last = ended_.load();
    uffd_msg message;
    while (::read(descriptor_.get(), &message, sizeof message) == static_cast<ssize_t>(sizeof message)) {
      switch (message.event) {
        case UFFD_EVENT_PAGEFAULT: let_write(address_of(message.arg.pagefault.address)); break;
        case UFFD_EVENT_UNMAP:
          owner_.lost(pages_of(message.arg.remove.start, message.arg.remove.end), "unmapped");
          break;
        case UFFD_EVENT_REMOVE:
          owner_.lost(pages_of(message.arg.remove.start, message.arg.remove.end), "emptied");
          break;
        case UFFD_EVENT_REMAP: {
          const auto& moved = message.arg.remap;
          unregister(pages_of(moved.to, moved.to + moved.len));  // where it went with its protection
          owner_.lost(pages_of(moved.from, moved.from + moved.len), "moved");
          break;
        }
        default: break;
      }
    }
    if (last) return;
    pollfd either[] = {{descriptor_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (!ended_.load()) ::poll(either, 2, -1);
  }
}

void WriteGuard::let_write(std::byte* address) noexcept {
  if (change(owner_.before_write(address), false) == 0) return;
  // Memory around it is being unmapped, or was. If the page is still protected the thread comes here again.
  const Pages page{address, address + system_page_bytes()};
  static_cast<void>(change(page, false));
  uffdio_range range = range_of(page);
  ::ioctl(descriptor_.get(), UFFDIO_WAKE, &range);
}

}  // namespace milepost
