// One io_uring and the thread that serves it, on Boost.Asio.
#pragma once

#include "milepost/io/error.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace milepost {

class Uring {
 public:
  // unavailable if the kernel, the container or a limit forbids io_uring.
  static Result<std::unique_ptr<Uring>> create();
  // All operations must have completed.
  ~Uring();

 private:
  friend class UringFile;
  struct State;
  explicit Uring(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A descriptor, as the ring sees it. It is borrowed, and must outlive this object.
//
// Asio keeps one read and one write of a file object in flight and queues the rest. So each
// operation gets a file object of its own (a lane) on the same descriptor; lanes are made as they
// are needed, reused, and as many as were ever in flight at once.
class UringFile {
 public:
  UringFile(Uring& uring, int fd);
  ~UringFile();

  // Receives the bytes moved, or minus the errno. Runs on the thread of the ring. When it runs, the
  // operation is over: the file may be destroyed.
  using Handler = std::function<void(std::int64_t)>;
  // One attempt, which may come out short. std::bad_alloc, boost::system::system_error: the handler will not be called.
  void write_some(std::uint64_t offset, const std::byte* data, std::size_t bytes, Handler handler);
  void read_some(std::uint64_t offset, std::byte* into, std::size_t bytes, Handler handler);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace milepost
