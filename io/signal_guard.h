// Keeps signals away from the calling thread for a scope, and from the threads started in it, which inherit the mask.
#pragma once

#include <csignal>

namespace milepost {

// Blocks every signal that the kernel does not raise for a fault of the thread itself: handlers of
// the program never run on an I/O thread, and no call of ours is interrupted. A write beyond
// RLIMIT_FSIZE raises SIGXFSZ, which ends the process by default; blocked, it leaves only EFBIG.
class BlockAllSignals {
 public:
  BlockAllSignals();
  ~BlockAllSignals();
  BlockAllSignals(const BlockAllSignals&) = delete;
  BlockAllSignals& operator=(const BlockAllSignals&) = delete;

 private:
  sigset_t before_;
};

// Blocks SIGXFSZ around a call on a thread of the user's, and takes back the signal if the call raised it.
class BlockSizeSignal {
 public:
  BlockSizeSignal();
  ~BlockSizeSignal();
  BlockSizeSignal(const BlockSizeSignal&) = delete;
  BlockSizeSignal& operator=(const BlockSizeSignal&) = delete;

 private:
  sigset_t before_;
  bool was_pending_ = false;
};

}  // namespace milepost
