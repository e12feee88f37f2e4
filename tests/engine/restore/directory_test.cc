// Restoring from another directory than the manager's.
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace milepost::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

CheckpointManagerOptions named_options(std::shared_ptr<Store> store = nullptr) {
  auto options = small_options(std::move(store));
  options.step_prefix = "step_";
  options.step_format_fixed_length = 6;
  return options;
}

// Every path below with the time of its last change, and the size of files.
std::map<std::string, std::pair<std::filesystem::file_time_type, std::uintmax_t>> listing(
    const std::filesystem::path& root) {
  std::map<std::string, std::pair<std::filesystem::file_time_type, std::uintmax_t>> result;
  result[""] = {last_write_time(root), 0};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    result[entry.path().string()] = {entry.last_write_time(), entry.is_regular_file() ? entry.file_size() : 0};
  }
  return result;
}

TEST(RestoreDirectory, AnyStepOrTheLatestAndChangesNothing) {
  const TempDir other;
  {
    auto writer = open_manager(named_options(), other.string());
    for (const std::int64_t step : {3, 7}) ASSERT_TRUE(writer.save(step, {{"state", small_tree(step)}}).value());
    EXPECT_OK(writer.close());
  }
  // What a dead writer left stays there too.
  std::filesystem::create_directory(other.path() / ".tmp-9-00000000000000000000000000000000");
  auto manager = open_manager(named_options(std::make_shared<SimulatedStore>()));
  ASSERT_TRUE(manager.save(5, {{"state", small_tree(5)}}).value());
  const auto before = listing(other.path());

  auto third = manager.restore(3, {.directory = other.string()});
  ASSERT_EQ(error_of(third), "");
  EXPECT_EQ(third->step, 3);
  EXPECT_EQ(difference(small_tree(3), third->tree()), "");
  const Tree target = target_like(small_tree(7), Layout::sliced);
  auto latest =
      manager.restore(std::nullopt, {.items = {{.name = "state", .target = target}}, .directory = other.string()});
  ASSERT_EQ(error_of(latest), "");
  EXPECT_EQ(latest->step, 7);
  EXPECT_EQ(difference(small_tree(7), latest->tree()), "");
  EXPECT_EQ(latest->tree()["w"].get_if<Tensor>()->data(), target.find("w")->get_if<Tensor>()->data());

  EXPECT_EQ(listing(other.path()), before);
  EXPECT_EQ(manager.all_steps().value(), std::vector<std::int64_t>{5});
  EXPECT_EQ(manager.restore().value().step, 5);
}

TEST(RestoreDirectory, ErrorsNameIt) {
  const TempDir other;
  auto manager = open_manager(named_options(std::make_shared<SimulatedStore>()));
  ASSERT_TRUE(manager.save(5, {{"state", small_tree(5)}}).value());
  const auto error = [&](std::optional<std::int64_t> step, const std::string& directory) {
    auto restored = manager.restore(step, {.directory = directory});
    EXPECT_TRUE(restored.has_error());
    return restored.has_error() ? restored.error() : Error();
  };
  const std::string missing = (other.path() / "missing").string();
  EXPECT_EQ(error(std::nullopt, missing).code(), ErrorCode::not_found);
  EXPECT_THAT(error(std::nullopt, missing).to_string(), HasSubstr("restore from " + missing));
  EXPECT_FALSE(std::filesystem::exists(missing));

  EXPECT_EQ(error(std::nullopt, other.string()).code(), ErrorCode::not_found);
  EXPECT_THAT(error(std::nullopt, other.string()).to_string(), HasSubstr("there are no steps in " + other.string()));

  // Steps of another naming are not found.
  auto writer = open_manager(small_options(), other.string());
  ASSERT_TRUE(writer.save(5, {{"state", small_tree(1)}}).value());
  EXPECT_OK(writer.close());
  EXPECT_EQ(error(5, other.string()).code(), ErrorCode::not_found);

  auto same = open_manager(named_options(), other.string());
  ASSERT_TRUE(same.save(6, {{"state", small_tree(1)}}).value());
  EXPECT_OK(same.close());
  EXPECT_THAT(error(5, other.string()).to_string(),
              AllOf(HasSubstr(other.string() + ": step 5: no such step"), HasSubstr("the latest is 6")));
  std::ofstream(other.path() / "step_000006" / "state" / "manifest.json", std::ios::app) << ' ';
  const Error damaged = error(6, other.string());
  EXPECT_EQ(damaged.code(), ErrorCode::corruption);
  EXPECT_THAT(damaged.to_string(), AllOf(HasSubstr("restore from " + other.string()), HasSubstr("manifest.json")));
}

TEST(RestoreDirectory, NotOfAStepThatIsOpen) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  ASSERT_TRUE(manager.save(5, {{"state", small_tree(5)}}).value());
  auto reader = manager.open_step(5).value();
  const auto restored = reader.restore({.directory = "elsewhere"});
  ASSERT_TRUE(restored.has_error());
  EXPECT_EQ(restored.error().code(), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace milepost::testing
