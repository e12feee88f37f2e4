// What a manager tells of steps without reading their data, and how it names them.
#include "tests/engine/saving.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Metadata, OfAStepWithoutItsData) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(hooks));
  const Tree model = full_tree(1);
  ASSERT_TRUE(manager
                  .save(4, {{"model", model}, {"loader", Tree("position 7")}},
                        {.metrics = {{"loss", 0.5}}, .custom_metadata_json = R"({"run": [1, 2]})"})
                  .value());
  ASSERT_TRUE(manager.save(5, state(5)).value());
  EXPECT_OK(manager.wait_until_finished());

  std::vector<std::string> read;
  hooks->before([&](Operation operation, const std::string& path) {
    if (operation == Operation::read || operation == Operation::open_file) read.push_back(path);
  });
  const StepMetadata metadata = manager.metadata(4).value();
  EXPECT_THAT(read, ::testing::Contains(HasSubstr("manifest.json")));
  for (const std::string& path : read) {
    EXPECT_THAT(path, ::testing::AnyOf(HasSubstr("step.json"), HasSubstr("manifest.json")));
  }
  hooks->before({});

  EXPECT_EQ(metadata.step, 4);
  EXPECT_EQ(metadata.save->mode, "copy");
  EXPECT_EQ(metadata.save->codec, "fast");
  EXPECT_GT(metadata.save->captured_ns, 0);
  EXPECT_GE(metadata.save->written_ns, metadata.save->captured_ns);
  EXPECT_EQ(metadata.metrics, (Metrics{{"loss", 0.5}}));
  EXPECT_EQ(metadata.custom_metadata_json, R"({"run":[1,2]})");
  EXPECT_LE(metadata.init_unix_ns, metadata.commit_unix_ns);
  ASSERT_EQ(metadata.items.size(), 2u);
  EXPECT_EQ(metadata.items.at("loader").tree.get_if<std::string>()->substr(0), "position 7");
  std::vector<std::string> expected;
  for_each_leaf(model, [&](const std::string& path, const Tree& leaf) {
    if (leaf.get_if<Tensor>()) expected.push_back(path + " " + leaf.describe());
  });
  std::vector<std::string> found;
  for_each_leaf(metadata.items.at("model").tree, [&](const std::string& path, const Tree& leaf) {
    if (!leaf.get_if<Tensor>()) return;
    EXPECT_TRUE(leaf.get_if<Tensor>()->is_abstract());
    if (model.find(path)->get_if<Tensor>()) found.push_back(path + " " + leaf.describe());
  });
  EXPECT_EQ(found, expected);
  EXPECT_GT(metadata.items.at("model").raw_bytes, 0u);

  EXPECT_EQ(manager.item_metadata(5)->size(), 1u);
  EXPECT_EQ(manager.metrics(4).value(), (Metrics{{"loss", 0.5}}));
  EXPECT_EQ(manager.metrics(5).value(), std::nullopt);
  for (const auto& error :
       {error_of(manager.metadata(6)), error_of(manager.metrics(6)), error_of(manager.item_metadata(6))}) {
    EXPECT_THAT(error, HasSubstr("step 6: no such step"));
  }
}

TEST(Metadata, OfTheRootIsWrittenOnce) {
  auto store = std::make_shared<SimulatedStore>();
  auto options = small_options(store);
  options.root_custom_metadata_json = R"({"run": "first"})";
  auto manager = open_manager(options);
  const RootMetadata first = manager.metadata().value();
  EXPECT_EQ(first.custom_metadata_json, R"({"run":"first"})");
  EXPECT_GT(first.created_unix_ns, 0);
  options.root_custom_metadata_json = R"("second")";
  auto other = open_manager(options);
  EXPECT_EQ(other.metadata()->custom_metadata_json, first.custom_metadata_json);
  EXPECT_EQ(other.metadata()->uuid, first.uuid);
  options.root_custom_metadata_json = "{";
  EXPECT_EQ(CheckpointManager::open("x", options).error().code(), ErrorCode::invalid_argument);
}

TEST(Metadata, OfTheRootIsOfWhomeverWasFaster) {
  auto disk = std::make_shared<SimulatedStore>();
  auto hooks = std::make_shared<HookStore>(disk);
  auto options = small_options(disk);
  options.root_custom_metadata_json = R"("faster")";
  hooks->before([&](Operation operation, const std::string& path) {
    if (operation == Operation::close && path.ends_with("/milepost.json")) open_manager(options);
  });
  auto slower = small_options(hooks);
  slower.root_custom_metadata_json = R"("slower")";
  EXPECT_EQ(open_manager(slower).metadata()->custom_metadata_json, R"("faster")");
}

TEST(Metadata, OfARootThatCannotBeRead) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  for (const bool read_only : {false, true}) {
    auto options = small_options(faults);
    open_manager(options);
    options.read_only = read_only;
    faults->inject({.operations = {Operation::open_file}, .path_contains = "milepost.json"});
    expect_error(CheckpointManager::open("simulated", options), ErrorCode::io, {"milepost.json"});
  }
}

TEST(Naming, PaddedAndOfTheUsersOwnMaking) {
  auto store = std::make_shared<SimulatedStore>();
  auto padded = small_options(store);
  padded.step_prefix = "ckpt_";
  padded.step_format_fixed_length = 6;
  padded.max_to_keep = 2;
  auto named = small_options(store);
  named.max_to_keep = 2;
  named.step_name_format = {.name = [](std::int64_t step) { return std::to_string(step) + ".ckpt"; },
                            .parse = [](std::string_view name) -> std::optional<std::int64_t> {
                              return std::stoll(std::string(name));  // throws at foreign names
                            }};
  for (const auto& options : {padded, named}) {
    for (std::int64_t step = 8; step < 12; ++step) {
      auto manager = open_manager(options);
      ASSERT_TRUE(manager.save(step, state(step)).value());
      EXPECT_OK(manager.close());
    }
    auto manager = open_manager(options);
    EXPECT_THAT(manager.all_steps().value(), ElementsAre(10, 11));
    EXPECT_HOLDS(manager, 10, small_tree(10));
  }
  for (const char* name : {"ckpt_000010", "ckpt_000011", "10.ckpt", "11.ckpt"}) {
    EXPECT_TRUE(store->stat(name).has_value()) << name;
  }
  EXPECT_EQ(store->list_directory("")->size(), 5u);
}

TEST(Naming, ANameThatNoFileCanHave) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.step_name_format = {.name = [](std::int64_t step) { return step == 5 ? "a/b" : "s" + std::to_string(step); },
                              .parse = [](std::string_view name) -> std::optional<std::int64_t> {
                                return name.starts_with("s") ? std::stoll(std::string(name.substr(1))) : -1;
                              }};
  auto manager = open_manager(options);
  EXPECT_EQ(manager.save(5, state(5)).error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(manager.save(5, state(5), {.overwrite = true}).error().code(), ErrorCode::invalid_argument);
  EXPECT_TRUE(manager.save(6, state(6)).value());
  EXPECT_OK(manager.wait_until_finished());
}

TEST(Naming, PermissionsOfWhatIsCreated) {
  const TempDir directory;
  const std::string root = directory.string() + "/new";
  auto options = small_options();
  options.path_permission_mode = 0750;
  auto manager = open_manager(options, root);
  ASSERT_TRUE(manager.save(1, state(1)).value());
  EXPECT_OK(manager.close());
  const auto mode_of = [](const std::filesystem::path& path) {
    struct stat info = {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  };
  EXPECT_EQ(mode_of(root), 0750u);
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    EXPECT_EQ(mode_of(entry.path()), entry.is_directory() ? 0750u : 0640u) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 5);
}

}  // namespace
}  // namespace milepost::testing
