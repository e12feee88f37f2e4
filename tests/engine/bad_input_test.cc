// Calls that are wrong are refused with a reason, and leave nothing behind.
#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

template <class T>
void expect_refused(const Result<T>& result, const std::string& reason, ErrorCode code = ErrorCode::invalid_argument) {
  ASSERT_TRUE(result.has_error()) << reason;
  EXPECT_EQ(result.error().code(), code) << result.error().to_string();
  EXPECT_THAT(result.error().to_string(), HasSubstr(reason));
}

TEST(BadInput, Options) {
  const auto refused = [](const std::string& reason, const auto& change) {
    auto options = small_options(std::make_shared<SimulatedStore>());
    change(options);
    expect_refused(CheckpointManager::open("x", options), reason);
  };
  refused("save_interval_steps", [](auto& options) { options.save_interval_steps = 0; });
  refused("max_to_keep", [](auto& options) { options.max_to_keep = -1; });
  refused("staging_bytes", [](auto& options) { options.staging_bytes = (64 << 20) - 1; });
  refused("worker_threads", [](auto& options) { options.worker_threads = -1; });
  refused("worker_nice", [](auto& options) { options.worker_nice = 20; });
  refused("level", [](auto& options) { options.codec = Codec::zstd(20); });
  refused("prefix", [](auto& options) { options.step_prefix = "step1"; });
  refused("name", [](auto& options) { options.step_prefix = "a/b"; });
  refused("best_mode", [](auto& options) { options.best_mode = static_cast<BestMode>(2); });
  refused("keep_period", [](auto& options) { options.keep_period = 0; });
  refused("keep_time_interval", [](auto& options) { options.keep_time_interval = std::chrono::seconds(0); });
  refused("keep_latest is -1", [](auto& options) { options.max_to_keep = 1, options.keep_latest = -1; });
  refused("set that too", [](auto& options) { options.keep_latest = 1; });
  refused("write_retries", [](auto& options) { options.write_retries = -1; });
  refused("timeout", [](auto& options) { options.timeout = std::chrono::nanoseconds(0); });
  refused("deletion", [](auto& options) { options.deletion_threads = 0; });
  refused("todelete_subdir", [](auto& options) { options.todelete_subdir = "a/b"; });
  refused("preservation_policy excludes", [](auto& options) {
    options.preservation_policy = PreserveAll{};
    options.max_to_keep = 1;
  });
  refused("step_name_format excludes", [](auto& options) {
    options.step_name_format = StepNameFormat{};
    options.step_prefix = "step_";
  });
}

TEST(BadInput, OfSave) {
  auto store = std::make_shared<SimulatedStore>();
  auto manager = open_manager(small_options(store));
  const std::uint64_t before = store->list_directory("")->size();
  const auto refused = [&](const std::string& reason, Items items, SaveOptions options = {}, std::int64_t step = 1) {
    SCOPED_TRACE(reason);
    expect_refused(manager.save(step, std::move(items), std::move(options)), reason);
    EXPECT_FALSE(manager.is_saving_in_progress());
  };
  refused("negative", {{"a", 1}}, {}, -1);
  refused("no items", {});
  refused("item a: given twice", {{"a", 1}, {"b", 1}, {"a", 1}});
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("/"), std::string(300, 'x'),
        std::string("step.json"), std::string(".tmp"), std::string("a\nb"), std::string("\xFF"),
        std::string("a\0b", 3)}) {
    refused("name", {{"good", 1}, {name, 1}});
  }
  Tree tree;
  tree["layers"]["w"] = Tensor::abstract(DType::f32, {2});
  refused("step 1: item a: leaf layers/w: the tensor has no memory", {{"a", tree}});
  float memory[4] = {};
  tree["layers"]["w"] = Tensor::of(memory, {-1});
  refused("item a: leaf layers/w", {{"a", tree}});
  tree["layers"]["w"] = Tensor::of(memory, {1 << 30, 1 << 30}, {0, 0});
  refused("step 1: item a: leaf layers/w: tensor F32[1073741824, 1073741824] is larger than any memory", {{"a", tree}});
  tree["layers"]["w"] = Tensor::of(memory, {2, 2}, {1});
  refused("item a: leaf layers/w", {{"a", tree}});
  tree["layers"]["w"] = Tensor::of(static_cast<const float*>(nullptr), {2});
  refused("item a: leaf layers/w", {{"a", tree}});
  tree["layers"]["w"] = "\xFF";
  refused("item a: leaf layers/w", {{"a", tree}});
  tree["layers"]["w"] = 1;
  tree["layers"][""] = 1;
  refused("empty key", {{"a", tree}});
  Tree deep;
  for (int i = 0; i < 40; ++i) deep = Tree::list({deep});
  refused("nested", {{"a", deep}});
  refused("level", {{"a", 1}}, {.codec = Codec::zstd(0)});
  for (const char* json : {"", "{", "nonsense", "1 2", R"({"a": 1, "a": 2})", "\"\xFF\""}) {
    refused("custom metadata", {{"a", 1}}, {.custom_metadata_json = json});
  }
  refused("metric", {{"a", 1}}, {.metrics = {{"", 1.0}}});
  refused("metric", {{"a", 1}}, {.metrics = {{"\xFF", 1.0}}});

  EXPECT_EQ(store->list_directory("")->size(), before);
  EXPECT_TRUE(manager.all_steps()->empty());
  // The same manager, used well: the longest name, the last step, every odd double.
  const std::string name(255, 'x');
  const std::int64_t last = std::numeric_limits<std::int64_t>::max();
  const Metrics odd = {{"nan", std::numeric_limits<double>::quiet_NaN()},
                       {"inf", -std::numeric_limits<double>::infinity()}};
  ASSERT_TRUE(manager.save(last, {{name, 1}}, {.metrics = odd}).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_EQ(difference(1, manager.restore(last)->tree(name)), "");
}

// Told at once, not when the save in flight has ended.
TEST(BadInput, OfASaveBehindAnother) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(hooks));
  Gate gate;
  hooks->before([&](Operation operation, const std::string&) {
    if (operation == Operation::make_directory) gate.pass();
  });
  ASSERT_TRUE(manager.save(1, {{"a", 1}}).value());
  expect_refused(manager.save(2, {{"a", "\xFF"}}), "item a");
  EXPECT_TRUE(manager.is_saving_in_progress());
  gate.open();
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_EQ(manager.all_steps().value(), std::vector<std::int64_t>({1}));
}

TEST(BadInput, MetadataTooLargeToReadAgain) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  const auto saved = manager.save(1, {{"a", 1}}, {.custom_metadata_json = '"' + std::string(17 << 20, 'x') + '"'});
  expect_refused(saved, "custom metadata");
}

TEST(BadInput, TheDirectory) {
  const TempDir directory;
  auto options = small_options();
  options.create = false;
  expect_refused(CheckpointManager::open(directory.string() + "/missing", options),
                 "open " + directory.string() + "/missing", ErrorCode::not_found);
  options.create = true;
  options.read_only = true;
  expect_refused(CheckpointManager::open(directory.string() + "/missing", options), "missing", ErrorCode::not_found);
  EXPECT_FALSE(fs::exists(directory.path() / "missing"));

  std::ofstream(directory.path() / "file") << "mine";
  for (const char* path : {"/file", "/file/below"}) {
    const auto opened = CheckpointManager::open(directory.string() + path, small_options());
    ASSERT_TRUE(opened.has_error());
    EXPECT_THAT(opened.error().to_string(), HasSubstr("Not a directory")) << path;
  }
  EXPECT_EQ(fs::file_size(directory.path() / "file"), 4u);
  EXPECT_TRUE(CheckpointManager::open("", small_options()).has_error());
}

// Even root may not create anything in /proc.
TEST(BadInput, ADirectoryThatCannotBeWritten) {
  const auto opened = CheckpointManager::open("/proc/self/checkpoints", small_options());
  ASSERT_TRUE(opened.has_error());
  EXPECT_THAT(opened.error().to_string(), HasSubstr("/proc/self/checkpoints"));
  EXPECT_NE(opened.error().system_errno(), 0);
}

TEST(BadInput, RelativePathsAreResolvedOnce) {
  const TempDir directory;
  const fs::path before = fs::current_path();
  fs::current_path(directory.path());
  {
    auto manager = open_manager(small_options(), "steps");
    fs::current_path(before);
    ASSERT_TRUE(manager.save(1, {{"state", small_tree(1)}}).value());
    EXPECT_OK(manager.wait_until_finished());
    EXPECT_HOLDS(manager, 1, small_tree(1));
  }
  EXPECT_TRUE(fs::exists(directory.path() / "steps/1/step.json"));
}

}  // namespace
}  // namespace milepost::testing
