#include "milepost/io/worker_pool.h"

#include "milepost/io/thread_pool.h"
#include "milepost/io/trace.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

namespace milepost {
namespace {

// Shared by the caller of parallel_for and its helpers: a helper that starts late finds nothing to do.
struct Loop {
  const std::function<void(std::size_t)>* fn;
  std::size_t n;
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::condition_variable idle;
  int running = 0;
  bool closed = false;

  void run() {
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) (*fn)(i);
  }
  void help() {
    {
      const std::lock_guard lock(mutex);
      if (closed) return;  // the caller has gone, and fn with it
      ++running;
    }
    run();
    const std::lock_guard lock(mutex);
    --running;
    idle.notify_all();
  }
};

}  // namespace

struct WorkerPool::State {
  explicit State(int threads) : pool(threads) {}
  ThreadPool pool;
};

WorkerPool::WorkerPool(int threads, int nice, const char* name)
    : size_(std::max(1, threads)), state_(std::make_unique<State>(size_)) {
  // Each thread lowers itself (on Linux, priority 0 means the calling thread): all must be in the
  // task at once, or one thread would take two of the tasks.
  auto barrier = std::make_shared<Loop>();
  for (int i = 0; i < size_; ++i) {
    post([barrier, nice, name, size = size_] {
      name_thread(name);
      // Refusals only mean normal priority.
      constexpr sched_param none{};
      sched_setscheduler(0, SCHED_BATCH, &none);
      if (nice != 0) setpriority(PRIO_PROCESS, 0, nice);
      std::unique_lock lock(barrier->mutex);
      ++barrier->running;
      barrier->idle.notify_all();
      barrier->idle.wait(lock, [&] { return barrier->running >= size; });
    });
  }
}

WorkerPool::~WorkerPool() { state_->pool.join(); }

void WorkerPool::post(std::function<void()> task) { state_->pool.post(std::move(task)); }

void WorkerPool::parallel_for(std::size_t n, const std::function<void(std::size_t)>& fn) {
  auto loop = std::make_shared<Loop>();
  loop->fn = &fn;
  loop->n = n;
  const std::size_t helpers = std::min<std::size_t>(size_, n > 0 ? n - 1 : 0);
  for (std::size_t i = 0; i < helpers; ++i) post([loop] { loop->help(); });
  loop->run();
  std::unique_lock lock(loop->mutex);
  loop->closed = true;
  loop->idle.wait(lock, [&] { return loop->running == 0; });
}

}  // namespace milepost
