#include "milepost/io/trace.h"

#include "tests/support/temp_dir.h"
#include "tests/support/trace_file.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class TraceTest : public ::testing::Test {
 protected:
  ~TraceTest() override { Trace::stop(); }

  std::string path() const { return directory_.string() + "/trace.json"; }
  void start() { ASSERT_TRUE(Trace::start(path()).has_value()); }

  TempDir directory_;
};

TEST_F(TraceTest, HoldsSlicesSpansAndCounters) {
  start();
  {
    const TraceSlice outer("outer", {{"step", 42}, {"item", std::string_view("a \"b\"\n")}});
    const TraceSlice inner("inner");
    TraceSpan span("span");
    std::thread([&] { span.end(); }).join();
    trace_counter("counter", 7);
  }
  Trace::stop();
  const TraceFile trace(path());
  EXPECT_THAT(trace.names("X"), ElementsAre("inner", "outer"));
  const auto outer = trace.all("X", "outer").at(0);
  EXPECT_EQ(outer.at("args").at("step"), 42);
  EXPECT_EQ(outer.at("args").at("item"), "a \"b\"\n");
  EXPECT_EQ(outer.at("pid"), ::getpid());
  EXPECT_GE(outer.at("dur"), trace.all("X", "inner").at(0).at("dur"));
  EXPECT_TRUE(trace.slices_nest());
  EXPECT_TRUE(trace.spans_end());
  EXPECT_NE(trace.all("b", "span").at(0).at("tid"), trace.all("e", "span").at(0).at("tid"));
  EXPECT_EQ(trace.all("C", "counter").at(0).at("args").at("value"), 7);
  EXPECT_THAT(trace.all("M", "thread_name"), SizeIs(2));
}

TEST_F(TraceTest, IsSilentWhenOff) {
  EXPECT_FALSE(Trace::is_on());
  { const TraceSlice before("before"); }
  start();
  Trace::flush();
  const auto bytes = std::filesystem::file_size(path());
  Trace::stop();
  { const TraceSlice after("after"); }
  trace_counter("after", 1);
  Trace::flush();
  EXPECT_EQ(std::filesystem::file_size(path()), bytes);
  EXPECT_THAT(TraceFile(path()).names("X"), ElementsAre());
}

TEST_F(TraceTest, CutsLongTextsBetweenCharacters) {
  start();
  std::string text;
  for (int i = 0; i < 500; ++i) text += "ä";
  { const TraceSlice slice("long", {{"text", std::string_view("x" + text)}}); }
  Trace::stop();
  const std::string found = TraceFile(path()).all("X", "long").at(0).at("args").at("text");
  EXPECT_LT(found.size(), 300u);
  EXPECT_EQ(("x" + text).substr(0, found.size()), found);
}

TEST_F(TraceTest, KeepsEveryEventOfEveryThread) {
  start();
  constexpr int each = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < each; ++i) {
        const TraceSlice slice("work", {{"i", std::int64_t{i}}});
        const TraceSpan span("span");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Trace::stop();
  const TraceFile trace(path());
  EXPECT_THAT(trace.all("X", "work"), SizeIs(4 * each));
  EXPECT_TRUE(trace.slices_nest());
  EXPECT_TRUE(trace.spans_end());
}

TEST_F(TraceTest, IsCompleteAfterEveryFlushEvenIfTheProcessIsKilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (Trace::start(path()).has_error()) ::_exit(1);
    { const TraceSlice slice("flushed"); }
    Trace::flush();
    { const TraceSlice slice("lost"); }
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(TraceFile(path()).names("X"), ElementsAre("flushed"));
}

TEST_F(TraceTest, IsCompleteWhenTheProcessExits) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (Trace::start(directory_.string() + "/%p.json").has_error()) ::_exit(1);
    { const TraceSlice slice("last"); }
    std::exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_THAT(TraceFile(directory_.string() + "/" + std::to_string(child) + ".json").names("X"), ElementsAre("last"));
}

TEST_F(TraceTest, AChildThatExitsLeavesTheFileToItsParent) {
  start();
  { const TraceSlice slice("before"); }
  const pid_t child = ::fork();
  if (child == 0) {
    { const TraceSlice slice("in the child"); }
    std::exit(Trace::is_on() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  { const TraceSlice slice("after"); }
  Trace::stop();
  EXPECT_THAT(TraceFile(path()).names("X"), ElementsAre("after", "before"));
}

TEST_F(TraceTest, AForkFindsTheFileUnlockedWhileOthersTrace) {
  start();
  std::atomic<bool> over{false};
  std::thread tracer([&] {
    while (!over) const TraceSlice slice("busy");
  });
  for (int i = 0; i < 50; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      Trace::stop();
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
  }
  over = true;
  tracer.join();
}

TEST_F(TraceTest, NamesAFileThatCannotBeWritten) {
  const auto started = Trace::start(directory_.string() + "/missing/trace.json");
  ASSERT_TRUE(started.has_error());
  EXPECT_EQ(started.error().code(), ErrorCode::not_found);
  EXPECT_THAT(started.error().to_string(), ::testing::HasSubstr("missing/trace.json"));
  EXPECT_FALSE(Trace::is_on());
}

}  // namespace
}  // namespace milepost::testing
