// What a trace of saves and restores shows.
#include "milepost/io/trace.h"

#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trace_file.h"

#include <gmock/gmock.h>

namespace milepost::testing {
namespace {

using ::testing::IsSupersetOf;

TEST(Tracing, ShowsEveryPhaseOfSavesAndRestores) {
  const TempDir directory;
  const std::string path = directory.string() + "/trace.json";
  const Tree tree = full_tree(1);
  for (const char* codec : {"none", "fast"}) {
    auto options = small_options();
    options.codec = Codec::parse(codec).value();
    options.max_to_keep = 1;
    ASSERT_TRUE(Trace::start(path).has_value());
    {
      auto manager = open_manager(options, directory.string() + "/" + codec);
      for (const std::int64_t step : {1, 2}) ASSERT_TRUE(manager.save(step, {{"state", tree}}).has_value());
      EXPECT_OK(manager.wait_until_finished());
      ASSERT_TRUE(TraceFile(path).all("X", "run save").size() == 2) << "complete after each save";
      EXPECT_HOLDS(manager, 2, tree);
    }
    Trace::stop();

    const TraceFile trace(path);
    EXPECT_THAT(trace.names("X"),
                IsSupersetOf({"save", "check", "plan", "freeze", "freeze segment", "run save", "begin attempt",
                              "wait for coding", "write index", "wait for writes", "commit", "fsync", "fsync directory",
                              "rename", "retention", "restore", "read manifest", "read chunk tables", "decode"}));
    EXPECT_THAT(trace.names("X"), IsSupersetOf({codec == std::string("none") ? "digest" : "code"}));
    EXPECT_THAT(trace.names("b"), IsSupersetOf({"write", "read"}));
    EXPECT_THAT(trace.names("C"), IsSupersetOf({"bytes in flight", "staging bytes"}));
    EXPECT_TRUE(trace.slices_nest());
    EXPECT_TRUE(trace.spans_end());
    EXPECT_EQ(trace.all("X", "save").at(1).at("args").at("step"), 2);
    EXPECT_EQ(trace.all("X", "write index").at(0).at("args").at("item"), "state");
    EXPECT_EQ(trace.all("C", "bytes in flight").back().at("args").at("value"), 0);
  }
}

}  // namespace
}  // namespace milepost::testing
