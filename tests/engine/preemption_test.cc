#include "milepost/engine/preemption.h"
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <stdexcept>
#include <thread>
#include <vector>

namespace milepost::testing {
namespace {

using namespace std::chrono_literals;
using Clock = PreemptionWatcher::Clock;
using Warning = std::optional<PreemptionWarning>;

// "As long as it takes"; a test that waits so long has failed.
constexpr auto for_ever = std::chrono::hours(1);

std::shared_ptr<PreemptionWatcher> watcher(PreemptionOptions options = {}) {
  return PreemptionWatcher::start(std::move(options)).value();
}

std::atomic<int> handled;
void handler(int) { ++handled; }

TEST(Preemption, ASignalIsANotice) {
  handled = 0;
  std::signal(SIGTERM, handler);
  {
    const auto told = watcher({.grace = 30s, .margin = 5s});
    EXPECT_FALSE(told->signalled());
    EXPECT_FALSE(told->notice());
    EXPECT_FALSE(told->deadline());
    EXPECT_FALSE(told->wait_for(0s));

    const auto before = Clock::now();
    raise(SIGTERM);
    ASSERT_TRUE(told->wait_for(for_ever));
    const auto after = Clock::now();
    EXPECT_TRUE(told->signalled());
    EXPECT_EQ(handled, 1) << "the application's own handler";

    const auto notice = *told->notice();
    EXPECT_EQ(notice.source, PreemptionNotice::Source::signal);
    EXPECT_EQ(notice.signal, SIGTERM);
    EXPECT_EQ(notice.reason, "SIGTERM");
    EXPECT_GE(notice.when, before);
    EXPECT_LE(notice.when, after);
    EXPECT_EQ(notice.deadline, notice.when + 25s);
    EXPECT_EQ(told->deadline(), notice.deadline);
    EXPECT_OK(told->check_for_errors());
  }
  raise(SIGTERM);
  EXPECT_EQ(handled, 2);
  std::signal(SIGTERM, SIG_DFL);
}

TEST(Preemption, AnySignalOrNone) {
  const auto deaf = watcher({.signals = {}});
  const auto told = watcher({.signals = {SIGUSR1, SIGUSR2}});
  raise(SIGUSR2);
  ASSERT_TRUE(told->wait_for(for_ever));
  EXPECT_EQ(told->notice()->signal, SIGUSR2);
  EXPECT_FALSE(deaf->signalled());
}

TEST(Preemption, TheProgramMayTellItself) {
  const auto told = watcher({.signals = {}});
  std::thread([&] { told->notify("the queue's time is over"); }).join();
  EXPECT_TRUE(told->signalled());
  EXPECT_EQ(told->notice()->source, PreemptionNotice::Source::program);
  EXPECT_EQ(told->notice()->reason, "the queue's time is over");
}

TEST(Preemption, LaterNoticesChangeNothing) {
  const auto told = watcher();
  told->notify("first");
  const auto deadline = told->deadline();
  raise(SIGTERM);
  raise(SIGTERM);
  told->notify("second");
  EXPECT_EQ(told->notice()->reason, "first");
  EXPECT_EQ(told->deadline(), deadline);
}

TEST(Preemption, SeveralWatchersHearTheSameSignal) {
  const auto one = watcher();
  const auto other = watcher();
  raise(SIGTERM);
  EXPECT_TRUE(one->wait_for(for_ever));
  EXPECT_TRUE(other->wait_for(for_ever));
}

TEST(Preemption, PollsUntilThereIsANotice) {
  std::atomic<int> calls{0};
  std::atomic<std::thread::id> thread;
  const auto told = watcher({.signals = {},
                             .grace = 30s,
                             .margin = 5s,
                             .poll = [&]() -> Result<Warning> {
                               thread = std::this_thread::get_id();
                               if (++calls < 3) return Warning();
                               return Warning({.reason = "spot instance goes", .grace = 120s});
                             },
                             .poll_interval = 1ns});
  ASSERT_TRUE(told->wait_for(for_ever));
  EXPECT_NE(thread.load(), std::this_thread::get_id());
  const auto notice = *told->notice();
  EXPECT_EQ(notice.source, PreemptionNotice::Source::poll);
  EXPECT_EQ(notice.reason, "spot instance goes");
  EXPECT_EQ(notice.deadline, notice.when + 115s) << "its own grace period";
  EXPECT_EQ(calls, 3);
}

TEST(Preemption, ErrorsOfThePollFunctionAreKeptAndItIsAskedAgain) {
  std::atomic<int> calls{0};
  const auto told = watcher({.signals = {},
                             .poll = [&]() -> Result<Warning> {
                               switch (++calls) {
                                 case 1: throw std::runtime_error("no route to host");
                                 case 2: throw 7;
                                 case 3: return Error(ErrorCode::unavailable, "503");
                                 default: return Warning({.reason = "stop"});
                               }
                             },
                             .poll_interval = 1ns});
  ASSERT_TRUE(told->wait_for(for_ever));
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(error_of(told->check_for_errors()), "poll for preemption: 503");
  EXPECT_OK(told->check_for_errors());
}

TEST(Preemption, WhatThePollFunctionThrowsIsTold) {
  Gate second_call;
  std::atomic<int> calls{0};
  const auto told = watcher({.signals = {},
                             .poll = [&]() -> Result<Warning> {
                               if (++calls == 1) throw std::runtime_error("no route to host");
                               second_call.pass();
                               return Warning();
                             },
                             .poll_interval = 1ns});
  second_call.wait_for_arrival();
  EXPECT_EQ(error_of(told->check_for_errors()), "poll for preemption: it threw: no route to host");
  second_call.open();
}

TEST(Preemption, APollFunctionThatHangsDelaysNoSignal) {
  Gate answer;
  const auto told = watcher({.poll = [&]() -> Result<Warning> {
    answer.pass();
    return Warning();
  }});
  answer.wait_for_arrival();
  raise(SIGTERM);
  EXPECT_TRUE(told->wait_for(for_ever));
  answer.open();
}

TEST(Preemption, EndsAtOnceBetweenTwoPolls) {
  std::atomic<int> calls{0};
  Gate called;
  {
    const auto told = watcher({.signals = {},
                               .poll = [&]() -> Result<Warning> {
                                 ++calls;
                                 called.open();
                                 return Warning();
                               },
                               .poll_interval = for_ever});
    called.pass();
  }
  EXPECT_EQ(calls, 1);
}

TEST(Preemption, SaysThatItsHandlerWasReplaced) {
  const auto told = watcher();
  std::signal(SIGTERM, handler);
  EXPECT_EQ(error_of(told->check_for_errors()),
            "the handler of SIGTERM was replaced: it is heard of only if the new handler calls the one it found");
  std::signal(SIGTERM, SIG_DFL);
}

TEST(Preemption, RefusesSenselessOptions) {
  EXPECT_EQ(error_of(PreemptionWatcher::start({.grace = -1s})), "the grace period is negative");
  EXPECT_EQ(error_of(PreemptionWatcher::start({.margin = -1s})), "the margin of the grace period is negative");
  const auto poll = []() -> Result<Warning> { return Warning(); };
  EXPECT_EQ(error_of(PreemptionWatcher::start({.poll = poll, .poll_interval = 0s})),
            "the poll interval is not positive");
  EXPECT_EQ(PreemptionWatcher::start({.signals = {SIGKILL}}).error().code(), ErrorCode::invalid_argument);
}

TEST(Preemption, TakesAnyDuration) {
  const auto endless = std::chrono::nanoseconds::max();
  const auto told = watcher({.signals = {}, .grace = endless, .margin = 0s});
  EXPECT_FALSE(told->wait_for(-1s));
  told->notify("stop");
  EXPECT_GT(*told->deadline(), Clock::now() + 24h);
  EXPECT_TRUE(told->wait_for(endless));
}

}  // namespace
}  // namespace milepost::testing
