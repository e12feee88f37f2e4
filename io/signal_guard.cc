#include "milepost/io/signal_guard.h"

#include <ctime>
#include <initializer_list>

namespace milepost {

BlockAllSignals::BlockAllSignals() {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_BLOCK, &blocked, &before_);
}

BlockAllSignals::~BlockAllSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

BlockSizeSignal::BlockSizeSignal() {
  sigset_t pending;
  sigpending(&pending);
  was_pending_ = sigismember(&pending, SIGXFSZ) == 1;
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &blocked, &before_);
}

BlockSizeSignal::~BlockSizeSignal() {
  if (!was_pending_) {
    sigset_t raised;
    sigemptyset(&raised);
    sigaddset(&raised, SIGXFSZ);
    const timespec now{};
    sigtimedwait(&raised, nullptr, &now);
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace milepost
