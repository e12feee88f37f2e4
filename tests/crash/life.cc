#include "tests/crash/life.h"

#include "tests/engine/small_steps.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

namespace milepost::testing {

using ::testing::Contains;
using ::testing::IsSupersetOf;
using ::testing::Not;

CheckpointManagerOptions Life::options() const {
  auto options = small_options();
  options.max_to_keep = max_to_keep;
  options.enable_background_delete = background;
  options.deletion_threads = background ? 2 : 1;
  options.todelete_subdir = todelete_subdir;
  options.io_backend = io_backend;
  return options;
}

std::ostream& operator<<(std::ostream& out, const Life& life) { return out << life.name; }

void prepare(const Life& life, const std::string& directory) {
  if (life.before.empty()) return;
  {
    auto manager = open_manager(small_options(), directory);
    for (const Content content : life.before) manager.save(content, {{"state", tree_of(content)}}).value();
    EXPECT_OK(manager.close());
  }
  const std::string left = directory + '/' + std::to_string(life.before.front());
  for (const char* const name :
       {"/.tmp-8-01234567-89ab-4cde-8f01-23456789abcd", "/.tmp-8-11234567-89ab-4cde-8f01-23456789abcd",
        "/.trash-9-01234567-89ab-4cde-8f01-23456789abcd"}) {
    std::filesystem::copy(left, directory + name, std::filesystem::copy_options::recursive);
  }
}

void live(const Life& life, const std::string& directory, const ChildProcess::Tell& tell) {
  auto options = life.options();
  options.on_event = [&](const ManagerEvent& event) {
    if (event.kind != ManagerEventKind::save_committed) return;
    tell(*std::find_if(life.saves.begin(), life.saves.end(), [&](Content c) { return step_of(c) == event.step; }));
  };
  auto manager = open_manager(options, directory);
  std::optional<StepReader> reader;
  if (life.reads) reader = manager.open_step(life.before.front()).value();
  for (const Content content : life.saves) {
    manager
        .save(step_of(content), {{"state", tree_of(content)}},
              {.force = true,
               .overwrite = content != step_of(content),
               .mode = static_cast<SnapshotMode>(content % 3),
               .codec = content % 2 == 0 ? Codec::none() : Codec::fast()})
        .value();
  }
  manager.wait_until_finished().value();
  if (life.deletes) {
    manager.delete_step(*life.deletes).value();
    tell(-*life.deletes);
  }
  reader.reset();
  manager.close().value();
}

Expected::Expected(const Life& life, const std::vector<std::int64_t>& told) : life_(life) {
  for (const Content content : life.before) contents_[step_of(content)] = {content};
  for (const std::int64_t number : told) {
    if (number < 0) {
      deleted_ = true;
    } else {
      contents_[step_of(number)] = {number};
      ++committed_;
    }
  }
  if (committed_ < life.saves.size()) {
    in_flight_ = step_of(life.saves[committed_]);
    contents_[*in_flight_].insert(life.saves[committed_]);
  }
}

void Expected::check(const std::string& directory) const {
  auto options = life_.options();
  options.read_only = true;
  auto manager = open_manager(options, directory);
  const std::vector<std::int64_t> listed = manager.all_steps().value();
  expect_whole(manager, listed);

  const bool is_there = in_flight_ && std::binary_search(listed.begin(), listed.end(), *in_flight_);
  std::vector<std::int64_t> all = steps_after(committed_ + (is_there ? 1 : 0));
  if (!life_.todelete_subdir.empty() && std::filesystem::exists(directory + '/' + life_.todelete_subdir)) {
    auto moved = open_manager(options, directory + '/' + life_.todelete_subdir);
    expect_whole(moved, moved.all_steps().value());
    for (const std::int64_t step : moved.all_steps().value()) EXPECT_EQ(std::erase(all, step), 1u) << step;
    EXPECT_EQ(listed, all) << "a step is nowhere, or at two places";
  }
  EXPECT_THAT(all, IsSupersetOf(listed));
  if (life_.deletes) std::erase(all, *life_.deletes);
  if (deleted_) {
    EXPECT_THAT(listed, Not(Contains(*life_.deletes)));
  }
  const auto kept = static_cast<std::size_t>(life_.max_to_keep.value_or(1000));
  if (all.size() > kept && all.size() > life_.before.size())
    all.erase(all.begin(), all.end() - life_.max_to_keep.value());
  EXPECT_THAT(listed, IsSupersetOf(all));
}

std::vector<std::int64_t> Expected::steps_after(std::size_t saves) const {
  std::set<std::int64_t> steps;
  for (const Content content : life_.before) steps.insert(step_of(content));
  for (std::size_t i = 0; i < saves; ++i) steps.insert(step_of(life_.saves[i]));
  return {steps.begin(), steps.end()};
}

void Expected::expect_whole(CheckpointManager& manager, const std::vector<std::int64_t>& steps) const {
  for (const std::int64_t step : steps) {
    ASSERT_TRUE(contents_.contains(step)) << step;
    auto restored = manager.restore(step);
    ASSERT_TRUE(restored.has_value()) << restored.error().to_string();
    EXPECT_TRUE(std::any_of(contents_.at(step).begin(), contents_.at(step).end(),
                            [&](Content content) { return difference(tree_of(content), restored->tree()).empty(); }))
        << "step " << step;
    EXPECT_TRUE(manager.open_step(step)->verify().value().empty());
  }
}

void expect_next_goes_on(const Life& life, const std::string& directory) {
  const auto store = PosixStore::open(directory, {.backend = life.io_backend}).value();
  auto manager = open_manager(life.options(), directory);
  EXPECT_OK(manager.wait_until_finished());
  std::vector<std::string> expected = {"milepost.json"};
  for (const std::int64_t step : manager.all_steps().value()) expected.push_back(std::to_string(step));
  if (store->stat("old").has_value()) expected.push_back("old");
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names_in(*store), expected);
  EXPECT_TRUE(manager.save(99, {{"state", tree_of(99)}}, {.force = true}).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, 99, tree_of(99));
}

}  // namespace milepost::testing
