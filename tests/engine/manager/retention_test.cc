// Which steps a manager keeps, through restarts, damage and readers.
#include "tests/engine/saving.h"
#include "tests/support/bytes.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

void save_with(CheckpointManager& manager, std::int64_t step, Metrics metrics = {}) {
  const auto saved = manager.save(step, state(step), {.metrics = std::move(metrics), .force = true});
  ASSERT_TRUE(saved.has_value()) << saved.error().to_string();
  EXPECT_OK(manager.wait_until_finished());
}

CheckpointManagerOptions best_two(std::shared_ptr<Store> store) {
  auto options = small_options(std::move(store));
  options.max_to_keep = 2;
  options.best_fn = [](const Metrics& metrics) { return metrics.at("loss"); };
  options.best_mode = BestMode::min;
  return options;
}

TEST(Retention, KeepsTheBestAndTheNewest) {
  auto manager = open_manager(best_two(std::make_shared<SimulatedStore>()));
  const std::vector<double> losses = {5, 1, 4, std::nan(""), 2, 9};
  for (std::size_t i = 0; i < losses.size(); ++i)
    save_with(manager, static_cast<std::int64_t>(i), {{"loss", losses[i]}});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 4, 5));
  EXPECT_EQ(manager.best_step().value(), 1);
  for (const std::int64_t step : {1, 4, 5}) EXPECT_HOLDS(manager, step, small_tree(static_cast<std::uint64_t>(step)));
}

TEST(Retention, DecidesTheSameAfterARestart) {
  auto store = std::make_shared<SimulatedStore>();
  const std::vector<double> losses = {5, 1, 4, 2, 9, 3};
  for (const bool lightweight : {false, true}) {
    for (std::size_t i = 0; i < losses.size(); ++i) {
      auto options = best_two(store);
      options.lightweight_initialize = lightweight;
      options.step_prefix = lightweight ? "l_" : "f_";
      auto manager = open_manager(options);
      save_with(manager, static_cast<std::int64_t>(i), {{"loss", losses[i]}});
    }
  }
  for (const char* prefix : {"l_", "f_"}) {
    auto options = best_two(store);
    options.step_prefix = prefix;
    auto manager = open_manager(options);
    EXPECT_THAT(manager.all_steps().value(), ElementsAre(1, 3, 5));
    EXPECT_EQ(manager.best_step().value(), 1);
  }
}

// It was asked for just now.
TEST(Retention, AStepOlderThanWhatIsThereOutlivesItsOwnSave) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.max_to_keep = 1;
  auto manager = open_manager(options);
  save_with(manager, 10);
  save_with(manager, 5);
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(5, 10));
  EXPECT_HOLDS(manager, 5, small_tree(5));
  save_with(manager, 11);
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(11));
}

TEST(Retention, KeepsTheLatestBesideTheBest) {
  auto options = best_two(std::make_shared<SimulatedStore>());
  options.keep_latest = 2;
  options.keep_period = 100;
  auto manager = open_manager(options);
  for (std::int64_t step = 0; step < 6; ++step) save_with(manager, step * 50, {{"loss", static_cast<double>(step)}});
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(0, 50, 100, 200, 250));
  const auto plan = manager.preservation_plan().value();
  ASSERT_EQ(plan.size(), 5u);
  for (const PreservationDecision& decision : plan) {
    EXPECT_TRUE(decision.keep);
    EXPECT_NE(decision.reason, "");
  }
}

TEST(Retention, StepsWithoutMetricsStayUnlessToldOtherwise) {
  for (const bool keep : {true, false}) {
    auto options = best_two(std::make_shared<SimulatedStore>());
    options.keep_checkpoints_without_metrics = keep;
    auto manager = open_manager(options);
    save_with(manager, 1);
    for (std::int64_t step = 2; step < 6; ++step) save_with(manager, step, {{"loss", static_cast<double>(step)}});
    const auto steps = manager.all_steps().value();
    EXPECT_EQ(std::count(steps.begin(), steps.end(), 1), keep ? 1 : 0);
    EXPECT_EQ(manager.best_step().value(), 2);
  }
}

TEST(Retention, BestStepWithoutAFunctionIsTheLatest) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  EXPECT_EQ(manager.best_step().value(), std::nullopt);
  save_with(manager, 3, {{"loss", 1}});
  save_with(manager, 7);
  EXPECT_EQ(manager.best_step().value(), 7);
}

// Nobody knows what is in it, so nobody removes it; and it does not count as one of those to keep.
TEST(Retention, ADamagedStepIsNeverRemoved) {
  auto store = std::make_shared<SimulatedStore>();
  {
    auto manager = open_manager(small_options(store));
    for (const std::int64_t step : {1, 2, 3}) save_with(manager, step);
  }
  ASSERT_TRUE(store->remove_file("1/step.json").has_value());
  ASSERT_TRUE(write_file(*store, "1/step.json", to_bytes("{}")).has_value());
  auto options = small_options(store);
  options.max_to_keep = 2;
  auto manager = open_manager(options);
  save_with(manager, 4);
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1, 3, 4));
  const auto plan = manager.preservation_plan().value();
  ASSERT_EQ(plan.size(), 3u);
  EXPECT_TRUE(plan[0].keep);
  EXPECT_THAT(plan[0].reason, HasSubstr("cannot be read"));
  EXPECT_EQ(manager.restore(1).error().code(), ErrorCode::corruption);
}

TEST(Retention, APolicyOfTheUsers) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.preservation_policy = [](std::span<const StepInfo> steps) {
    std::vector<PreservationDecision> plan;
    for (const StepInfo& info : steps) {
      plan.push_back({info.step, !info.metrics.contains("draft"), "drafts go"});
    }
    return plan;
  };
  std::vector<ManagerEvent> events;
  options.on_event = [&](const ManagerEvent& event) { events.push_back(event); };
  auto manager = open_manager(options);
  for (std::int64_t step = 0; step < 6; ++step)
    save_with(manager, step, step % 2 == 1 ? Metrics{{"draft", 1}} : Metrics{});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(0, 2, 4, 5));
  std::vector<std::int64_t> removed;
  for (const ManagerEvent& event : events) {
    if (event.kind != ManagerEventKind::step_removed) continue;
    removed.push_back(event.step);
    EXPECT_EQ(event.reason, "drafts go");
  }
  EXPECT_THAT(removed, ElementsAre(1, 3));
  EXPECT_EQ(manager.counters().removed, 2u);
}

TEST(Retention, DeletesAStepWhenTold) {
  auto store = std::make_shared<SimulatedStore>();
  auto manager = open_manager(small_options(store));
  for (const std::int64_t step : {1, 2}) save_with(manager, step);
  EXPECT_EQ(manager.delete_step(9).error().code(), ErrorCode::not_found);
  {
    const auto reader = manager.open_step(1).value();
    EXPECT_EQ(manager.delete_step(1).error().code(), ErrorCode::unavailable);
  }
  EXPECT_OK(manager.delete_step(1));
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2));
  EXPECT_EQ(manager.delete_step(1).error().code(), ErrorCode::not_found);
  EXPECT_OK(manager.delete_step(2));
  EXPECT_EQ(manager.latest_step(), std::nullopt);
  save_with(manager, 1);
  EXPECT_HOLDS(manager, 1, small_tree(1));
  auto options = small_options(store);
  options.read_only = true;
  EXPECT_EQ(open_manager(options).delete_step(1).error().code(), ErrorCode::failed_precondition);
}

TEST(Retention, AStepThatIsReadGoesLater) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.max_to_keep = 1;
  auto manager = open_manager(options);
  save_with(manager, 1);
  {
    auto reader = manager.open_step(1).value();
    save_with(manager, 2);
    EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
    EXPECT_TRUE(reader.verify().value().empty());
  }
  EXPECT_OK(manager.close());
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2));
}

// What was to go while newer steps were there is all that is left when they were deleted.
TEST(Retention, CloseNeverRemovesTheLastStep) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.max_to_keep = 1;
  auto manager = open_manager(options);
  save_with(manager, 1);
  {
    const auto reader = manager.open_step(1).value();
    save_with(manager, 2);
  }
  EXPECT_OK(manager.delete_step(2));
  EXPECT_OK(manager.close());
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1));
}

TEST(Retention, ReloadSeesWhatOthersDid) {
  auto store = std::make_shared<SimulatedStore>();
  auto manager = open_manager(best_two(store));
  save_with(manager, 1, {{"loss", 3}});
  auto other = open_manager(best_two(store));
  save_with(other, 2, {{"loss", 1}});
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1));
  EXPECT_OK(manager.reload());
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1, 2));
  EXPECT_EQ(manager.best_step().value(), 2);
}

TEST(Retention, InTheBackgroundAndToASubdirectory) {
  auto store = std::make_shared<SimulatedStore>();
  auto options = small_options(store);
  options.max_to_keep = 1;
  options.enable_background_delete = true;
  options.deletion_threads = 3;
  {
    auto manager = open_manager(options);
    for (std::int64_t step = 0; step < 5; ++step) save_with(manager, step);
    EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(4));
    EXPECT_EQ(store->list_directory("").value().size(), 2u) << "nothing but the step and milepost.json";
  }
  options.todelete_subdir = "old";
  auto manager = open_manager(options);
  save_with(manager, 5);
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(5));
  EXPECT_TRUE(store->stat("old/4/step.json").has_value());
}

}  // namespace
}  // namespace milepost::testing
