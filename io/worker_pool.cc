#include "milepost/io/worker_pool.h"

#include "milepost/io/thread_pool.h"
#include "milepost/io/trace.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>

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

// Of the calling thread: on Linux, id 0 means that. A refusal only means that it stays in the class that it has.
void set_scheduling(int policy) {
  constexpr sched_param none{};
  sched_setscheduler(0, policy, &none);
}

}  // namespace

struct WorkerPool::State {
  ThreadPool pool;
};

WorkerPool::WorkerPool(int threads, int nice, const char* name) : size_(std::max(1, threads)) {
  // Each thread lowers itself. Refusals only mean normal priority.
  const auto lower = [nice, name] {
    name_thread(name);
    set_scheduling(SCHED_BATCH);
    if (nice != 0) setpriority(PRIO_PROCESS, 0, nice);
  };
  state_.reset(new State{ThreadPool(size_, lower)});
}

WorkerPool::~WorkerPool() { state_->pool.join(); }

void WorkerPool::post(std::function<void()> task) { state_->pool.post(std::move(task)); }

void WorkerPool::post_beside(std::function<void()> task) {
  const pthread_t thread = state_->pool.first_thread();
  const int here = sched_getcpu();
  cpu_set_t all;
  const bool keep_off = here >= 0 && here < CPU_SETSIZE && pthread_getaffinity_np(thread, sizeof all, &all) == 0 &&
                        CPU_ISSET(here, &all) && CPU_COUNT(&all) > 1;
  if (!keep_off) return post(std::move(task));
  cpu_set_t others = all;
  CPU_CLR(here, &others);
  pthread_setaffinity_np(thread, sizeof others, &others);
  try {
    post([all, task = std::move(task)] {
      sched_setaffinity(0, sizeof all, &all);
      task();
    });
  } catch (...) {
    pthread_setaffinity_np(thread, sizeof all, &all);
    throw;
  }
}

void WorkerPool::parallel_for(std::size_t n, const std::function<void(std::size_t)>& fn) noexcept {
  std::shared_ptr<Loop> loop;
  try {
    loop = std::make_shared<Loop>();
    loop->fn = &fn;
    loop->n = n;
    const std::size_t helpers = std::min<std::size_t>(size_, n > 0 ? n - 1 : 0);
    for (std::size_t i = 0; i < helpers; ++i) post([loop] { loop->help(); });
  } catch (const std::bad_alloc&) {  // then there are fewer helpers, or none
  }
  if (!loop) {
    for (std::size_t i = 0; i < n; ++i) fn(i);
    return;
  }
  loop->run();
  std::unique_lock lock(loop->mutex);
  loop->closed = true;
  loop->idle.wait(lock, [&] { return loop->running == 0; });
}

PromptWaking::PromptWaking() { set_scheduling(SCHED_OTHER); }

PromptWaking::~PromptWaking() { set_scheduling(SCHED_BATCH); }

}  // namespace milepost
