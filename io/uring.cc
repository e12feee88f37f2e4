#include "milepost/io/uring.h"

#include "milepost/io/posix_store.h"
#include "milepost/io/signal_guard.h"
#include "milepost/io/trace.h"

#include <boost/asio/basic_random_access_file.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <liburing.h>

#include <cerrno>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace milepost {
namespace {

namespace asio = boost::asio;

using File = asio::basic_random_access_file<asio::io_context::executor_type>;

}  // namespace

struct Uring::State {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::thread thread;

  ~State() {
    work.reset();
    if (thread.joinable()) thread.join();
  }
};

Uring::Uring(std::unique_ptr<State> state) : state_(std::move(state)) {}

Uring::~Uring() = default;

Result<std::unique_ptr<Uring>> Uring::create() {
  try {
    auto state = std::make_unique<State>();
    const File ring_starts_here(state->context);  // throws where io_uring is forbidden
    const BlockAllSignals inherited_by_the_thread;
    state->thread = std::thread([context = &state->context] {
      name_thread("milepost ring");
      context->run();
    });
    return std::unique_ptr<Uring>(new Uring(std::move(state)));
  } catch (...) {
    return Error::of_exception(ErrorCode::unavailable).within("io_uring");
  }
}

struct UringFile::State {
  State(asio::io_context& ring_context, int borrowed_fd) : context(ring_context), fd(borrowed_fd) {}

  asio::io_context& context;
  const int fd;
  std::mutex mutex;
  // Protected by mutex.
  std::vector<std::unique_ptr<File>> lanes;
  std::vector<File*> idle_lanes;

  File& take_lane() {
    const std::lock_guard lock(mutex);
    if (idle_lanes.empty()) {
      lanes.reserve(lanes.size() + 1);  // a lane that found no place would close the descriptor
      idle_lanes.reserve(lanes.size() + 1);
      auto lane = std::make_unique<File>(context);
      lane->assign(fd);
      lanes.push_back(std::move(lane));
      return *lanes.back();
    }
    File* const lane = idle_lanes.back();
    idle_lanes.pop_back();
    return *lane;
  }

  void give_back(File& lane) {
    const std::lock_guard lock(mutex);
    idle_lanes.push_back(&lane);
  }

  // What Asio calls when the operation on `lane` is over.
  auto completion(File& lane, Handler handler) {
    return [this, &lane, handler = std::move(handler)](const boost::system::error_code& error, std::size_t bytes) {
      give_back(lane);
      const bool at_end = error == asio::error::eof;  // Asio's word for a read of 0 bytes
      handler(error && !at_end ? -std::int64_t{error.value()} : static_cast<std::int64_t>(bytes));
    };
  }

  // Calls start(lane, what Asio calls at the end).
  template <class Start> void start(Handler handler, const Start& start) {
    File& lane = take_lane();
    try {
      start(lane, completion(lane, std::move(handler)));
    } catch (...) {
      give_back(lane);
      throw;
    }
  }
};

UringFile::UringFile(Uring& uring, int fd) : state_(std::make_unique<State>(uring.state_->context, fd)) {}

UringFile::~UringFile() {
  for (const auto& lane : state_->lanes) {
    boost::system::error_code ignored;
    lane->release(ignored);
  }
}

void UringFile::write_some(std::uint64_t offset, const std::byte* data, std::size_t bytes, Handler handler) {
  state_->start(std::move(handler), [&](File& lane, auto completion) {
    lane.async_write_some_at(offset, asio::buffer(data, bytes), std::move(completion));
  });
}

void UringFile::read_some(std::uint64_t offset, std::byte* into, std::size_t bytes, Handler handler) {
  state_->start(std::move(handler), [&](File& lane, auto completion) {
    lane.async_read_some_at(offset, asio::buffer(into, bytes), std::move(completion));
  });
}

IoBackend available_io_backend() {
  static const bool allowed = [] {
    io_uring ring;
    if (::io_uring_queue_init(8, &ring, 0) != 0) return false;
    ::io_uring_queue_exit(&ring);
    return true;
  }();
  return allowed ? IoBackend::io_uring : IoBackend::threads;
}

}  // namespace milepost
