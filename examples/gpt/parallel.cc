#include "examples/gpt/parallel.h"

#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <optional>

#ifdef GPT_THREAD_SANITIZER
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace gpt {
namespace {

// The thread sanitizer does not see how oneTBB hands work over, since that library is not instrumented,
// nor is this file then. So it is told: all before the fork happens before each body, and each body
// before all after the join. It still finds what two bodies of one loop do to each other.
struct HandOver {
#ifdef GPT_THREAD_SANITIZER
  void leave() { __tsan_release(this); }
  void enter() { __tsan_acquire(this); }
#else
  void leave() {}
  void enter() {}
#endif
  char address = 0;
};

}  // namespace

struct ThreadPool::Arena {
  explicit Arena(int threads) : arena(threads) {
    // An arena larger than the machine gets no more workers than it has cores, unless allowed to.
    if (threads > tbb::info::default_concurrency()) {
      control.emplace(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads));
    }
  }
  std::optional<tbb::global_control> control;
  tbb::task_arena arena;
};

ThreadPool::ThreadPool(int threads) : arena_(std::make_unique<Arena>(std::max(threads, 1))) {}
ThreadPool::~ThreadPool() = default;

void ThreadPool::for_each(std::int64_t count, const std::function<void(std::int64_t)>& body) {
  HandOver fork, join;
  fork.leave();
  arena_->arena.execute([&] {
    tbb::parallel_for(std::int64_t{0}, count, [&](std::int64_t i) {
      fork.enter();
      body(i);
      join.leave();
    });
  });
  join.enter();
}

void ThreadPool::for_pieces(std::int64_t count, std::int64_t piece,
                            const std::function<void(std::int64_t begin, std::int64_t end)>& body) {
  for_each((count + piece - 1) / piece, [&](std::int64_t i) { body(i * piece, std::min((i + 1) * piece, count)); });
}

}  // namespace gpt
