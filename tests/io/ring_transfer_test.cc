// What io_uring may answer: errors, interruptions, and fewer bytes than it was asked for. In this program the ring is
// another one, which answers so on demand; everything above it is what users get.
#include "milepost/io/posix_store.h"
#include "milepost/io/store.h"
#include "milepost/io/thread_pool.h"
#include "milepost/io/try.h"
#include "milepost/io/uring.h"
#include "tests/support/bytes.h"
#include "tests/support/planted_bug.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace milepost {

namespace {

// What the Nth operation that the ring is given comes to.
struct Answer {
  std::size_t bytes_max = SIZE_MAX;
  std::int64_t in_place_of_the_result = 0;  // 0: the result
};
std::function<Answer(std::size_t n)> answer;
std::atomic<std::size_t> operations = 0;

}  // namespace

struct Uring::State {
  ThreadPool thread{1};
};
Uring::Uring(std::unique_ptr<State> state) : state_(std::move(state)) {}
Uring::~Uring() = default;
Result<std::unique_ptr<Uring>> Uring::create() { return std::unique_ptr<Uring>(new Uring(std::make_unique<State>())); }

struct UringFile::State {
  ThreadPool& thread;
  const int fd;

  template <class Move> void start(std::size_t bytes, Handler handler, const Move& move) {
    thread.post([=, handler = std::move(handler)] {
      const std::size_t n = operations++;
      const Answer given = answer ? answer(n) : Answer{};
      const std::int64_t moved = move(std::min(bytes, given.bytes_max));
      handler(given.in_place_of_the_result != 0 ? given.in_place_of_the_result : moved < 0 ? -errno : moved);
    });
  }
};
UringFile::UringFile(Uring& uring, int fd) : state_(new State{uring.state_->thread, fd}) {}
UringFile::~UringFile() = default;
void UringFile::write_some(std::uint64_t offset, const std::byte* data, std::size_t bytes, Handler handler) {
  state_->start(bytes, std::move(handler), [=, fd = state_->fd](std::size_t part) {
    return std::int64_t{::pwrite(fd, data, part, static_cast<off_t>(offset))};
  });
}
void UringFile::read_some(std::uint64_t offset, std::byte* into, std::size_t bytes, Handler handler) {
  state_->start(bytes, std::move(handler), [=, fd = state_->fd](std::size_t part) {
    return std::int64_t{::pread(fd, into, part, static_cast<off_t>(offset))};
  });
}

namespace {

using ::testing::HasSubstr;
using testing::TempDir;

constexpr std::size_t part_bytes = 128 << 10;  // more than is tried from the page cache without the ring
constexpr std::size_t parts = 4;

// Whole pages, as a ring wants them.
struct alignas(io_alignment) Pages {
  std::array<std::byte, part_bytes * parts> bytes{};
  std::span<std::byte> part(std::size_t i) { return std::span(bytes).subspan(i * part_bytes, part_bytes); }
};

std::string error_of(const Result<void>& result) { return result.has_error() ? result.error().to_string() : ""; }

class RingTransfer : public ::testing::Test {
 protected:
  RingTransfer() : data_(std::make_unique<Pages>()), back_(std::make_unique<Pages>()) {
    testing::fill_pattern(data_->bytes, 7);
    store_ = PosixStore::open(directory_.string(), {.backend = IoBackend::io_uring}).value();
  }
  ~RingTransfer() override { answer = {}; }

  void SetUp() override {
    EXPECT_EQ(error_of(write_and_read({})), "");
    if (operations == 0) GTEST_SKIP() << "no O_DIRECT here";
    EXPECT_EQ(operations, 2 * parts);
  }

  // Writes a new file and reads it, while the ring answers like that. The first error.
  Result<void> write_and_read(std::function<Answer(std::size_t)> answers) {
    if (store_->stat("file").has_value()) store_->remove_file("file").value();
    back_->bytes.fill({});
    operations = 0;
    answer = std::move(answers);
    const auto file = store_->create_file("file", {.direct = true, .size_hint = sizeof(Pages)}).value();
    for (std::size_t i = 0; i < parts; ++i) MILEPOST_TRY(write_at(*file, i * part_bytes, data_->part(i)));
    MILEPOST_TRY(file->sync());
    MILEPOST_TRY(file->close());
    const auto written = store_->open_file("file").value();
    EXPECT_EQ(written->size(), sizeof(Pages));
    for (std::size_t i = 0; i < parts; ++i) {
      MILEPOST_ASSIGN(const std::size_t bytes, read_at(*written, i * part_bytes, back_->part(i)));
      EXPECT_EQ(bytes, part_bytes);
    }
    EXPECT_TRUE(back_->bytes == data_->bytes);
    return {};
  }

  const TempDir directory_;
  std::unique_ptr<Store> store_;
  const std::unique_ptr<Pages> data_;
  const std::unique_ptr<Pages> back_;
};

// As many times in a row, from every operation on.
TEST_F(RingTransfer, ShortAndInterruptedOnesMakeNoDifference) {
  for (const Answer& odd :
       {Answer{.bytes_max = 4096}, Answer{.bytes_max = 20480}, Answer{.bytes_max = 5000}, Answer{.bytes_max = 1},
        Answer{.in_place_of_the_result = -EINTR}, Answer{.bytes_max = 4096, .in_place_of_the_result = -EINTR},
        Answer{.bytes_max = 0, .in_place_of_the_result = -EINVAL}}) {
    for (const std::size_t times : {1, 3}) {
      for (std::size_t n = 0; n < 2 * parts; ++n) {
        SCOPED_TRACE(std::to_string(odd.bytes_max) + " bytes at most, " + std::to_string(odd.in_place_of_the_result) +
                     ", from operation " + std::to_string(n) + " on, " + std::to_string(times) + " times");
        EXPECT_EQ(error_of(write_and_read(
                      [=](std::size_t operation) { return operation >= n && operation < n + times ? odd : Answer{}; })),
                  "");
      }
    }
  }
}

TEST_F(RingTransfer, ErrorsAreToldWithTheirPlace) {
  for (const int system_errno : {EIO, ENOSPC, EDQUOT, EAGAIN}) {
    for (std::size_t n = 0; n < 2 * parts; ++n) {
      const auto done = write_and_read([=](std::size_t operation) {
        return operation == n ? Answer{.in_place_of_the_result = -system_errno} : Answer{};
      });
      ASSERT_TRUE(done.has_error());
      EXPECT_EQ(done.error().system_errno(), system_errno);
      const std::string call = n < parts ? "pwrite " : "pread ";
      EXPECT_THAT(done.error().to_string(),
                  HasSubstr(call + directory_.string() + "/file@" + std::to_string(n % parts * part_bytes)));
    }
  }
}

TEST_F(RingTransfer, AnswersThatCannotBeAreErrors) {
  const auto none =
      write_and_read([](std::size_t operation) { return operation == 1 ? Answer{.bytes_max = 0} : Answer{}; });
  EXPECT_THAT(error_of(none), HasSubstr("nothing was written"));
  const auto too_many = write_and_read([](std::size_t operation) {
    return operation == 1 ? Answer{.in_place_of_the_result = part_bytes + 1} : Answer{};
  });
  EXPECT_THAT(error_of(too_many), HasSubstr("more bytes moved than were asked for"));
}

TEST_F(RingTransfer, WhatIsWrongIsNoticed) {
  EXPECT_TRUE(testing::fails([&] {
    EXPECT_EQ(error_of(write_and_read([](std::size_t operation) {
                return operation == 1 ? Answer{.bytes_max = 4096, .in_place_of_the_result = part_bytes} : Answer{};
              })),
              "");
  }));
}

}  // namespace
}  // namespace milepost
