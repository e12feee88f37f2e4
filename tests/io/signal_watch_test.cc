// A watch hears of signals beside the application's own handlers: those from before it, those from after
// it, Asio's own, and none.
#include "milepost/io/signal_watch.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace milepost {
namespace {

// Counts what a watch tells.
class Ear {
 public:
  std::unique_ptr<SignalWatch> watch(const std::vector<int>& signals = {SIGTERM}) {
    return SignalWatch::start(signals,
                              [this](int signal) {
                                const std::lock_guard lock(mutex_);
                                heard_.push_back(signal);
                                changed_.notify_all();
                              })
        .value();
  }
  // Returns when that many were heard.
  std::vector<int> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return heard_.size() >= count; });
    return heard_;
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return heard_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> heard_;  // guarded by mutex_
};

std::atomic<int> before_count;
std::atomic<int> after_count;
std::atomic<int> info_code;
std::atomic<bool> user_signal_was_blocked;
struct sigaction found_by_after;

void handler_before(int) { ++before_count; }
void handler_after(int) { ++after_count; }
void handler_with_info(int, siginfo_t* info, void* context) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  user_signal_was_blocked = sigismember(&mask, SIGUSR2) == 1;
  info_code = context != nullptr ? info->si_value.sival_int : -1;
  ++before_count;
}
void handler_that_chains(int signal, siginfo_t* info, void* context) {
  ++after_count;
  if ((found_by_after.sa_flags & SA_SIGINFO) != 0) {
    found_by_after.sa_sigaction(signal, info, context);
  } else if (found_by_after.sa_handler != SIG_DFL && found_by_after.sa_handler != SIG_IGN) {
    found_by_after.sa_handler(signal);
  }
}

struct sigaction action_of(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action;
}

struct sigaction plain(void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  return action;
}

// Each test finds and leaves the default; a signal sent to this thread is delivered before kill() returns.
class SignalWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    before_count = after_count = 0;
    std::signal(SIGTERM, SIG_DFL);
  }
  void TearDown() override { std::signal(SIGTERM, SIG_DFL); }
  static void send(int signal = SIGTERM) { raise(signal); }
};

TEST_F(SignalWatchTest, HearsOfEverySignal) {
  Ear ear;
  const auto watch = ear.watch({SIGTERM, SIGUSR1, SIGTERM});
  send();
  EXPECT_EQ(ear.wait_for(1), std::vector<int>{SIGTERM});
  send(SIGUSR1);
  EXPECT_EQ(ear.wait_for(2), (std::vector<int>{SIGTERM, SIGUSR1}));
  EXPECT_TRUE(watch->check().has_value());
}

TEST_F(SignalWatchTest, AHandlerFromBeforeStillRuns) {
  std::signal(SIGTERM, handler_before);
  Ear ear;
  {
    const auto watch = ear.watch();
    send();
    EXPECT_EQ(before_count, 1);
    ear.wait_for(1);
    send();
    EXPECT_EQ(before_count, 2);
    ear.wait_for(2);
  }
  EXPECT_EQ(action_of(SIGTERM).sa_handler, handler_before);
  send();
  EXPECT_EQ(before_count, 3);
  EXPECT_EQ(ear.count(), 2U);
}

TEST_F(SignalWatchTest, AHandlerFromBeforeGetsItsInformationAndItsMask) {
  struct sigaction action {};
  action.sa_sigaction = handler_with_info;
  action.sa_flags = SA_SIGINFO;
  sigaddset(&action.sa_mask, SIGUSR2);
  sigaction(SIGTERM, &action, nullptr);
  Ear ear;
  const auto watch = ear.watch();
  sigval value{};
  value.sival_int = 4711;
  ASSERT_EQ(pthread_sigqueue(pthread_self(), SIGTERM, value), 0);
  EXPECT_EQ(info_code, 4711);
  EXPECT_TRUE(user_signal_was_blocked);
  ear.wait_for(1);
}

TEST_F(SignalWatchTest, AHandlerForOneTimeRunsOnce) {
  const struct sigaction once = plain(handler_before, SA_RESETHAND);
  sigaction(SIGTERM, &once, nullptr);
  Ear ear;
  {
    const auto watch = ear.watch();
    send();
    send();
    EXPECT_EQ(before_count, 1);
    ear.wait_for(2);
  }
  EXPECT_EQ(action_of(SIGTERM).sa_handler, SIG_DFL) << "as it would be without the watch";
}

TEST_F(SignalWatchTest, AnIgnoredSignalIsHeardOfAndIgnoredAgain) {
  std::signal(SIGTERM, SIG_IGN);
  Ear ear;
  {
    const auto watch = ear.watch();
    send();
    ear.wait_for(1);
  }
  EXPECT_EQ(action_of(SIGTERM).sa_handler, SIG_IGN);
  send();
}

TEST_F(SignalWatchTest, AHandlerFromAfterTakesItsPlaceAndKeepsIt) {
  Ear ear;
  {
    const auto watch = ear.watch();
    std::signal(SIGTERM, handler_after);
    send();
    EXPECT_EQ(after_count, 1);
    const auto checked = watch->check();
    ASSERT_TRUE(checked.has_error());
    EXPECT_EQ(checked.error().to_string(),
              "the handler of SIGTERM was replaced: it is heard of only if the new handler calls the one it found");
  }
  EXPECT_EQ(action_of(SIGTERM).sa_handler, handler_after);
  send();
  EXPECT_EQ(after_count, 2);
  EXPECT_EQ(ear.count(), 0U);
}

// And goes on calling ours when the watch is gone, and another one has come over it.
TEST_F(SignalWatchTest, AHandlerFromAfterMayCallTheOneItFound) {
  std::signal(SIGTERM, handler_before);
  Ear ear;
  struct sigaction action {};
  action.sa_sigaction = handler_that_chains;
  action.sa_flags = SA_SIGINFO;
  {
    const auto watch = ear.watch();
    sigaction(SIGTERM, &action, &found_by_after);
    send();
    EXPECT_EQ(after_count, 1);
    EXPECT_EQ(before_count, 1);
    ear.wait_for(1);
  }
  send();
  EXPECT_EQ(after_count, 2);
  EXPECT_EQ(before_count, 2);
  {
    const auto watch = ear.watch();
    send();
    EXPECT_EQ(after_count, 3);
    EXPECT_EQ(before_count, 3);
    ear.wait_for(2);
    EXPECT_TRUE(watch->check().has_value());
  }
  EXPECT_EQ(action_of(SIGTERM).sa_sigaction, handler_that_chains);
  EXPECT_EQ(ear.count(), 2U);
}

TEST_F(SignalWatchTest, SeveralWatchesAllHearUntilTheLastHasGone) {
  std::signal(SIGTERM, handler_before);
  Ear first_ear, second_ear;
  auto first = first_ear.watch();
  auto second = second_ear.watch();
  send();
  first_ear.wait_for(1);
  second_ear.wait_for(1);
  EXPECT_EQ(before_count, 1);
  first.reset();
  send();
  second_ear.wait_for(2);
  EXPECT_EQ(first_ear.count(), 1U);
  EXPECT_EQ(before_count, 2);
  second.reset();
  EXPECT_EQ(action_of(SIGTERM).sa_handler, handler_before);
}

// The application's own use of Asio, begun and ended before and after ours, in every order.
TEST_F(SignalWatchTest, LivesBesideSignalSetsOfTheApplication) {
  namespace asio = boost::asio;
  for (const bool theirs_first : {true, false}) {
    for (const bool theirs_ends_first : {true, false}) {
      SCOPED_TRACE(std::to_string(theirs_first) + std::to_string(theirs_ends_first));
      Ear ear;
      std::unique_ptr<SignalWatch> watch;
      asio::io_context context;
      int theirs = 0;
      std::optional<asio::signal_set> set;
      if (!theirs_first) watch = ear.watch();
      set.emplace(context, SIGTERM);
      if (theirs_first) watch = ear.watch();

      const auto expect_theirs = [&] {
        set->async_wait([&](const boost::system::error_code& failure, int) { theirs += failure ? 0 : 1; });
        const int before = theirs;
        send();
        context.restart();
        context.run();
        EXPECT_EQ(theirs, before + 1);
      };
      expect_theirs();
      ear.wait_for(1);
      if (theirs_ends_first) {
        set.reset();
        send();
        ear.wait_for(2);
        watch.reset();
      } else {
        watch.reset();
        expect_theirs();
        set.reset();
      }
      EXPECT_EQ(action_of(SIGTERM).sa_handler, SIG_DFL);
    }
  }
}

// What a parent that stops its forked workers by SIGTERM expects.
TEST_F(SignalWatchTest, AForkedChildIsNotWatched) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  for (const bool with_handler : {false, true}) {
    if (with_handler) std::signal(SIGTERM, handler_before);
    Ear ear;
    const auto watch = ear.watch();
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const pid_t child = fork();
    if (child == 0) {
      sigsuspend(&before);
      _exit(before_count == 1 ? 3 : 4);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ASSERT_GT(child, 0);
    kill(child, SIGTERM);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (with_handler) {
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 3) << status;
    } else {
      EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
    }
    EXPECT_EQ(ear.count(), 0U);
    send();
    ear.wait_for(1);
  }
}

TEST_F(SignalWatchTest, InterruptsOnlyCallsThatWereInterruptedBefore) {
  Ear ear;
  {
    const auto watch = ear.watch();
    EXPECT_NE(action_of(SIGTERM).sa_flags & SA_RESTART, 0);
  }
  const struct sigaction interrupting = plain(handler_before);
  sigaction(SIGTERM, &interrupting, nullptr);
  const auto watch = ear.watch();
  EXPECT_EQ(action_of(SIGTERM).sa_flags & SA_RESTART, 0);
}

TEST_F(SignalWatchTest, RefusesWhatCannotBeWatched) {
  for (const int signal : {0, -1, 65, 1000, SIGKILL, SIGSTOP, SIGSEGV, SIGABRT}) {
    const auto started = SignalWatch::start({SIGUSR1, signal}, [](int) {});
    ASSERT_TRUE(started.has_error()) << signal;
    EXPECT_EQ(started.error().code(), ErrorCode::invalid_argument) << started.error().to_string();
  }
  EXPECT_EQ(action_of(SIGUSR1).sa_handler, SIG_DFL);
}

TEST_F(SignalWatchTest, NamesSignals) {
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
  EXPECT_EQ(signal_name(SIGUSR1), "SIGUSR1");
  EXPECT_EQ(signal_name(45), "signal 45");
}

}  // namespace
}  // namespace milepost
