// An Asio pool of threads. In place of boost::asio::thread_pool, whose constructor waits for ever where the system
// grants some of the threads but not all: this one throws then, with none left.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <thread>
#include <utility>
#include <vector>

namespace milepost {

// All methods but join() may be called from any thread. Tasks must not throw.
class ThreadPool {
 public:
  explicit ThreadPool(int threads) : ThreadPool(threads, [] {}) {}
  // Each thread calls `begin` first. std::system_error, std::bad_alloc.
  template <class Begin>
  ThreadPool(int threads, const Begin& begin) : context_(threads), work_(context_.get_executor()) {
    threads_.reserve(static_cast<std::size_t>(threads));
    try {
      for (int i = 0; i < threads; ++i) {
        threads_.emplace_back([this, begin] {
          begin();
          context_.run();
        });
      }
    } catch (...) {
      join();
      throw;
    }
  }
  ~ThreadPool() { join(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Runs a task later, in the order of posting. std::bad_alloc: it will not run.
  template <class Task> void post(Task&& task) { boost::asio::post(context_, std::forward<Task>(task)); }

  std::thread::native_handle_type first_thread() { return threads_.front().native_handle(); }

  // Runs what was posted; the threads end.
  void join() {
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
};

}  // namespace milepost
