// When a manager saves: its options, its policies, preemption, and what becomes of a failure.
#include "tests/engine/saving.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include "milepost/policy/interval_tuning.h"

#include <gmock/gmock.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::int64_t> saved_of_30(CheckpointManagerOptions options) {
  options.store = std::make_shared<SimulatedStore>();
  auto manager = open_manager(options);
  for (std::int64_t step = 1; step <= 30; ++step) {
    const bool should = manager.should_save(step);
    EXPECT_EQ(manager.save(step, state(step)).value(), should) << step;
  }
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_EQ(manager.counters().declined + manager.counters().committed, 30u);
  return manager.all_steps(true).value();
}

TEST(Decision, ByTheSimpleOptions) {
  auto options = small_options();
  options.save_interval_steps = 10;
  options.save_on_steps = {7, 20, 23};
  EXPECT_THAT(saved_of_30(options), ElementsAre(1, 7, 10, 20, 23, 30));
  options.should_save_fn = [](std::int64_t step, std::optional<std::int64_t> latest) {
    return step - latest.value_or(0) >= 12;
  };
  EXPECT_THAT(saved_of_30(options), ElementsAre(12, 24));
}

TEST(Decision, ByAPolicy) {
  auto options = small_options();
  options.save_interval_steps = 10;  // without effect
  options.save_decision_policy =
      AnySavePolicy{{SpecificStepsPolicy{{3, 5}}, FixedIntervalPolicy{9}, [](const SaveDecisionContext& context) {
                       return SaveDecision{context.step == 29, "it is the last but one"};
                     }}};
  EXPECT_THAT(saved_of_30(options), ElementsAre(3, 5, 9, 18, 27, 29));
}

TEST(Decision, SaysWhy) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.save_interval_steps = 4;
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(4, state(4)).value());
  EXPECT_THAT(manager.save_decision(4)->reason, HasSubstr("not later"));
  EXPECT_THAT(manager.save_decision(8)->reason, HasSubstr("multiple of 4"));
  EXPECT_FALSE(manager.save_decision(9)->save);
}

TEST(Decision, APolicyThatThrows) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.should_save_fn = [](std::int64_t step, std::optional<std::int64_t>) -> bool {
    if (step == 2) throw std::runtime_error("no idea");
    return true;
  };
  auto manager = open_manager(options);
  EXPECT_TRUE(manager.should_save(2));
  const auto saved = manager.save(2, state(2));
  EXPECT_EQ(saved.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(saved.error().to_string(), HasSubstr("step 2: the save decision threw: no idea"));
  EXPECT_TRUE(manager.save(3, state(3)).value());
  EXPECT_OK(manager.wait_until_finished());
}

TEST(Decision, ContinuousWaitsForTheSaveInFlight) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(hooks);
  options.save_decision_policy = ContinuousCheckpointingPolicy{};
  Stop stop(*hooks, Operation::rename, "1");
  auto manager = open_manager(options);
  EXPECT_TRUE(manager.save(1, state(1)).value());
  stop.gate.wait_for_arrival();
  EXPECT_FALSE(manager.save(2, state(2)).value());
  stop.gate.open();
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_TRUE(manager.save(3, state(3)).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1, 3));
}

TEST(Decision, PreemptionSavesTheNextStepThatIsAskedAbout) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.save_interval_steps = 100;
  options.preemption = PreemptionWatcher::start({.signals = {}}).value();
  std::vector<ManagerEvent> events;
  options.on_event = [&](const ManagerEvent& event) { events.push_back(event); };
  auto manager = open_manager(options);
  std::int64_t step = 1;
  for (;; ++step) {
    ASSERT_LE(step, 20);
    if (step == 12) options.preemption->notify("maintenance at noon");
    const bool saved = manager.save(step, state(step)).value();
    EXPECT_EQ(saved, step == 1 || step == 12) << step;
    if (manager.reached_preemption(step)) break;
  }
  EXPECT_EQ(step, 12);
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, 12, small_tree(12));
  const auto told = std::count_if(events.begin(), events.end(), [](const ManagerEvent& event) {
    return event.kind == ManagerEventKind::preempted && event.step == 12 && event.reason == "maintenance at noon";
  });
  EXPECT_EQ(told, 1);
}

// A notice that comes after the decision not to save a step does not say: stop here.
TEST(Decision, PreemptionNeverLosesAStep) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.save_interval_steps = 100;
  options.preemption = PreemptionWatcher::start({.signals = {}}).value();
  auto manager = open_manager(options);
  EXPECT_TRUE(manager.save(1, state(1)).value());
  EXPECT_FALSE(manager.save(2, state(2)).value());
  options.preemption->notify("now");
  EXPECT_FALSE(manager.reached_preemption(2));
  EXPECT_TRUE(manager.save(3, state(3)).value());
  EXPECT_TRUE(manager.reached_preemption(3));
  EXPECT_OK(manager.wait_until_finished());
}

TEST(Decision, PreemptionSavesWhateverThePolicySays) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.save_decision_policy = SpecificStepsPolicy{{1}};
  options.preemption = PreemptionWatcher::start({.signals = {}}).value();
  auto manager = open_manager(options);
  EXPECT_TRUE(manager.save(1, state(1)).value());
  EXPECT_FALSE(manager.save(2, state(2)).value());
  options.preemption->notify("now");
  EXPECT_TRUE(manager.save(3, state(3)).value());
  EXPECT_TRUE(manager.reached_preemption(3));
  EXPECT_OK(manager.wait_until_finished());
  const auto grace = manager.last_save()->grace;
  ASSERT_TRUE(grace.has_value());
  EXPECT_TRUE(grace->start);
  EXPECT_TRUE(grace->fits);
  EXPECT_GT(grace->left_s, 1);
  EXPECT_NE(grace->reason, "");
}

// A deadline that cannot be met: the step is tried all the same, and the report says that it did not fit.
TEST(Decision, PreemptionWithoutTimeStillTries) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.preemption = PreemptionWatcher::start({.signals = {}, .grace = 0s, .margin = 0s}).value();
  auto manager = open_manager(options);
  options.preemption->notify("at once");
  EXPECT_TRUE(manager.save(1, state(1)).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_FALSE(manager.last_save()->grace->fits);
  EXPECT_HOLDS(manager, 1, small_tree(1));
}

TEST(Decision, ATuningPolicyIsFedWithWhatIsMeasured) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.save_decision_policy = OverheadSharePolicy{0.5};
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(0, state(0)).value());
  std::string reason;
  for (std::int64_t step = 1; step < 200 && reason.find("a save costs") == std::string::npos; ++step) {
    reason = manager.save_decision(step)->reason;
    ASSERT_TRUE(manager.save(step, state(step)).has_value());
    EXPECT_OK(manager.wait_until_finished());
  }
  EXPECT_THAT(reason, HasSubstr("a save costs"));
}

TEST(Decision, EitherNamedItemsOrOneWithoutAName) {
  auto store = std::make_shared<SimulatedStore>();
  {
    auto manager = open_manager(small_options(store));
    EXPECT_TRUE(manager.save(1, small_tree(1)).value());
    const auto mixed = manager.save(2, state(2));
    EXPECT_EQ(mixed.error().code(), ErrorCode::invalid_argument);
    EXPECT_TRUE(manager.save(2, small_tree(2)).value());
    EXPECT_OK(manager.wait_until_finished());
    EXPECT_HOLDS(manager, 2, small_tree(2));
    EXPECT_EQ(manager.restore()->items.front().name, "default");
  }
  auto manager = open_manager(small_options(store));
  EXPECT_TRUE(manager.save(3, state(3)).value());
  EXPECT_EQ(manager.save(4, small_tree(4)).error().code(), ErrorCode::invalid_argument);
}

TEST(Decision, WithoutAsynchronySaveReturnsWhenCommitted) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(faults);
  options.enable_async_checkpointing = false;
  auto manager = open_manager(options);
  EXPECT_TRUE(manager.save(1, state(1)).value());
  EXPECT_FALSE(manager.is_saving_in_progress());
  EXPECT_GE(manager.last_save()->stall_s, manager.last_save()->committed_s);
  faults->inject({.operations = {Operation::sync}});
  EXPECT_EQ(manager.save(2, state(2)).error().code(), ErrorCode::io);
  EXPECT_TRUE(manager.save(3, state(3)).value());
}

TEST(Decision, OverwritesAtomically) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  ASSERT_TRUE(manager.save(1, state(1)).value());
  ASSERT_TRUE(manager.save(1, state(5), {.metrics = {{"loss", 2}}, .overwrite = true}).value());
  ASSERT_TRUE(manager.save(2, state(2), {.overwrite = true}).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_HOLDS(manager, 1, small_tree(5));
  EXPECT_HOLDS(manager, 2, small_tree(2));
  EXPECT_EQ(manager.metrics(1).value()->at("loss"), 2);
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(1, 2));
}

// --- Failures.

TEST(Failures, MayEndSavingForGood) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(faults);
  options.on_save_error = OnSaveError::refuse_to_save;
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(1, state(1)).value());
  EXPECT_OK(manager.wait_until_finished());
  faults->inject({.system_errno = ENOSPC, .operations = {Operation::write}});
  ASSERT_TRUE(manager.save(2, state(2)).value());
  EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::no_space);
  for (const std::int64_t step : {3, 4}) {
    const auto refused = manager.save(step, state(step));
    EXPECT_EQ(refused.error().code(), ErrorCode::no_space);
    EXPECT_THAT(refused.error().to_string(), HasSubstr("step 2: item state"));
  }
  EXPECT_HOLDS(manager, 1, small_tree(1));
}

TEST(Failures, OfWritesMayBeTriedAgain) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  for (const Codec codec : {Codec::none(), Codec::fast()}) {
    auto options = small_options(faults);
    options.write_retries = 2;
    options.step_prefix = codec.to_string() + "_";
    options.codec = codec;
    auto manager = open_manager(options);
    faults->inject({.operations = {Operation::write}, .path_contains = "data-"});
    ASSERT_TRUE(manager.save(1, state(1)).value());
    EXPECT_OK(manager.wait_until_finished());
    EXPECT_EQ(manager.last_save()->retries, 1u);
    EXPECT_EQ(manager.counters().retries, 1u);
    EXPECT_EQ(manager.metadata(1)->save->retries, 1u);
    EXPECT_HOLDS(manager, 1, small_tree(1));
    // Too often, or with an error that no repetition helps: then the save fails.
    const std::uint64_t before = faults->faults_fired();
    faults->inject({.forever = true, .operations = {Operation::write}, .path_contains = "data-"});
    ASSERT_TRUE(manager.save(2, state(2)).value());
    EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::io);
    EXPECT_GE(faults->faults_fired(), before + 3);
    faults->inject({.system_errno = ENOSPC, .operations = {Operation::write}, .path_contains = "data-"});
    ASSERT_TRUE(manager.save(3, state(3)).value());
    EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::no_space);
    faults->heal();
    EXPECT_TRUE(faults->violations().empty());
  }
}

TEST(Failures, WaitingEndsInTime) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(hooks);
  options.timeout = 2ms;
  Stop stop(*hooks, Operation::rename, "1");
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(1, state(1)).value());
  stop.gate.wait_for_arrival();
  for (const auto& late : {manager.wait_until_finished(), manager.wait_until_finished(1ms), manager.close()}) {
    EXPECT_EQ(late.error().code(), ErrorCode::deadline_exceeded);
    EXPECT_THAT(late.error().to_string(), HasSubstr("step 1: not committed after"));
  }
  stop.gate.open();
  EXPECT_OK(manager.wait_until_finished(1h));
  EXPECT_HOLDS(manager, 1, small_tree(1));
}

TEST(Failures, ATimeoutLongerThanTheClockIsNone) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.timeout = std::chrono::nanoseconds::max();
  auto manager = open_manager(options);
  for (const std::int64_t step : {1, 2, 3}) {
    ASSERT_TRUE(manager.save(step, state(step)).value());
    EXPECT_TRUE(manager.restore(step).has_value());
  }
  EXPECT_OK(manager.close());
}

TEST(Failures, WaitingForRemovalsEndsInTime) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(hooks);
  options.max_to_keep = 1;
  options.enable_background_delete = true;
  Stop stop(*hooks, Operation::remove_file);
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(1, state(1)).value());
  ASSERT_TRUE(manager.save(2, state(2)).value());
  EXPECT_TRUE(manager.wait_until(SaveEvent::committed).value());
  stop.gate.wait_for_arrival();
  const auto late = manager.wait_until_finished(1ms);
  EXPECT_EQ(late.error().code(), ErrorCode::deadline_exceeded);
  EXPECT_THAT(late.error().to_string(), HasSubstr("still being removed"));
  stop.gate.open();
  EXPECT_OK(manager.close());
}

// A loop whose steps are mostly declined hears of a failure at the next of them.
TEST(Failures, AreToldByASaveThatDeclines) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(faults);
  options.save_interval_steps = 1000;
  auto manager = open_manager(options);
  faults->inject({.operations = {Operation::sync}});
  ASSERT_TRUE(manager.save(1000, state(1)).value());
  while (manager.is_saving_in_progress()) std::this_thread::yield();
  EXPECT_EQ(manager.save(1001, state(1)).error().code(), ErrorCode::io);
  EXPECT_FALSE(manager.save(1002, state(1)).has_error());
}

TEST(Failures, AProgressListenerThatThrowsFailsTheSave) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  bool throws = true;
  options.on_save_progress = [&](const Progress&) {
    if (throws) throw std::runtime_error("no terminal");
  };
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(1, state(1)).value());
  EXPECT_THAT(error_of(manager.wait_until_finished()), HasSubstr("step 1: on_save_progress threw: no terminal"));
  throws = false;
  ASSERT_TRUE(manager.save(2, state(2)).value());
  EXPECT_OK(manager.wait_until_finished());
}

TEST(Failures, OfWhichTheFirstIsTold) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(faults);
  options.on_save_progress = [&](const Progress&) { throw std::runtime_error("no terminal"); };
  auto manager = open_manager(options);
  faults->inject({.system_errno = ENOSPC, .operations = {Operation::write}, .path_contains = "data-"});
  Tree one_chunk;
  one_chunk["values"] = make_tensor(DType::f32, {100}, Layout::packed, 1);
  ASSERT_TRUE(manager.save(1, {{"state", one_chunk}}).value());
  expect_error(manager.wait_until_finished(), ErrorCode::no_space, {"step 1: item state: leaf values: pwrite "});
}

TEST(Failures, SaveWaitsNoLongerThanTheTimeout) {
  auto hooks = std::make_shared<HookStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(hooks);
  options.timeout = 2ms;
  Stop stop(*hooks, Operation::rename, "1");
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(1, state(1)).value());
  stop.gate.wait_for_arrival();
  EXPECT_EQ(manager.save(2, state(2)).error().code(), ErrorCode::deadline_exceeded);
  stop.gate.open();
  EXPECT_OK(manager.wait_until_finished(1h));
  EXPECT_TRUE(manager.save(2, state(2)).value());
  EXPECT_OK(manager.wait_until_finished(1h));
}

TEST(Failures, OfRemovalSurfaceAndSavingGoesOn) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  for (const bool background : {false, true}) {
    auto options = small_options(faults);
    options.max_to_keep = 1;
    options.enable_background_delete = background;
    options.step_prefix = background ? "b_" : "f_";
    auto manager = open_manager(options);
    ASSERT_TRUE(manager.save(1, state(1)).value());
    EXPECT_OK(manager.wait_until_finished());
    faults->inject({.operations = {Operation::remove_file}});
    ASSERT_TRUE(manager.save(2, state(2)).value());
    EXPECT_EQ(manager.wait_until_finished().error().code(), ErrorCode::io);
    ASSERT_TRUE(manager.save(3, state(3)).value());
    EXPECT_OK(manager.wait_until_finished());
    EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(3));
    EXPECT_EQ(manager.counters().failed, 0u);
  }
}

TEST(Failures, OfThePollFunctionSurface) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  Gate polled;
  options.preemption = PreemptionWatcher::start({.signals = {},
                                                 .poll = [&]() -> Result<std::optional<PreemptionWarning>> {
                                                   polled.pass();
                                                   return Error(ErrorCode::unavailable, "no metadata server");
                                                 },
                                                 .poll_interval = 1h})
                           .value();
  std::vector<std::string> unwatched;
  options.on_event = [&](const ManagerEvent& event) {
    if (event.kind == ManagerEventKind::unwatched) unwatched.push_back(event.error->to_string());
  };
  auto manager = open_manager(options);
  polled.wait_for_arrival();
  polled.open();
  Result<void> checked;
  while ((checked = manager.check_for_errors()).has_value()) std::this_thread::yield();
  EXPECT_THAT(checked.error().to_string(), HasSubstr("no metadata server"));
  // A loop that only saves hears of it as well, once.
  for (const std::int64_t step : {1, 2}) ASSERT_TRUE(manager.save(step, state(step)).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_THAT(unwatched, ElementsAre(HasSubstr("no metadata server")));
}

TEST(Events, TellTheStoryOfEverySave) {
  auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto options = small_options(faults);
  options.max_to_keep = 1;
  std::vector<std::string> story;
  options.on_event = [&](const ManagerEvent& event) {
    story.push_back(std::string(to_string(event.kind)) + " " + std::to_string(event.step));
    EXPECT_EQ(event.report.has_value(), event.kind == ManagerEventKind::save_committed);
    EXPECT_EQ(event.error.has_value(), event.kind == ManagerEventKind::save_failed);
    if (event.report) {
      EXPECT_GT(event.report->raw_bytes, 0u);
      EXPECT_GT(event.report->commit_unix_ns, 0);
    }
  };
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(1, state(1)).value());
  EXPECT_OK(manager.wait_until_finished());
  faults->inject({.operations = {Operation::sync}});
  ASSERT_TRUE(manager.save(2, state(2)).value());
  EXPECT_TRUE(manager.wait_until_finished().has_error());
  ASSERT_TRUE(manager.save(3, state(3)).value());
  EXPECT_OK(manager.wait_until_finished());
  EXPECT_THAT(story, ElementsAre("save_started 1", "save_committed 1", "save_started 2", "save_failed 2",
                                 "save_started 3", "save_committed 3", "step_removed 1"));
  const SaveCounters counters = manager.counters();
  EXPECT_EQ(counters.started, 3u);
  EXPECT_EQ(counters.committed, 2u);
  EXPECT_EQ(counters.failed, 1u);
  EXPECT_EQ(counters.removed, 1u);
  EXPECT_GT(counters.stored_bytes, 0u);
}

TEST(Events, AListenerThatThrowsIsReported) {
  auto options = small_options(std::make_shared<SimulatedStore>());
  options.on_event = [](const ManagerEvent& event) {
    if (event.kind == ManagerEventKind::save_committed) throw std::runtime_error("no disk for the log");
  };
  auto manager = open_manager(options);
  ASSERT_TRUE(manager.save(1, state(1)).value());
  EXPECT_THAT(error_of(manager.wait_until_finished()), HasSubstr("step 1: on_event threw: no disk for the log"));
  EXPECT_THAT(error_of(manager.check_for_errors()), HasSubstr("on_event threw"));
  EXPECT_HOLDS(manager, 1, small_tree(1));
}

}  // namespace
}  // namespace milepost::testing
