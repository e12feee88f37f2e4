#include "tests/memory/survival.h"

#include "tests/support/holding.h"
#include "tests/support/trials.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace milepost::testing {
namespace fs = std::filesystem;

const Tree& tree_of_step(std::int64_t step) {
  static const std::vector<Tree> trees = [] {
    std::vector<Tree> made;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      Tree tree = small_tree(seed);
      const std::int64_t thousands = seed == 3 && in_full() ? 1100 : 20;
      tree["large"] = make_tensor(DType::f32, {thousands << 10}, Layout::packed, seed);
      tree["strided"] = make_tensor(DType::bf16, {30, 50}, Layout::transposed, seed);
      made.push_back(std::move(tree));
    }
    return made;
  }();
  return trees.at(static_cast<std::size_t>(step));
}

std::vector<Setting> all_settings() {
  std::vector<Setting> settings;
  for (const SnapshotMode mode : all_modes) {
    for (const Codec codec : {Codec::none(), Codec::fast()}) settings.push_back({mode, codec});
  }
  settings.push_back({SnapshotMode::copy, Codec::fast(), IoBackend::threads});
  return settings;
}

std::string to_string(const Setting& setting) {
  return std::string(to_string(setting.mode)) + ", " + setting.codec.to_string() +
         (setting.backend == IoBackend::threads ? ", without io_uring" : "");
}

SavedSteps::SavedSteps(const Setting& setting) : options(small_options()) {
  options.mode = setting.mode;
  options.codec = setting.codec;
  // One that is asked for is there before the deed: what Asio loses while it is made is told apart so.
  options.io_backend = setting.backend == IoBackend::automatic ? available_io_backend() : setting.backend;
  auto manager = open_manager(options, path());
  for (const std::int64_t step : {1, 2}) EXPECT_TRUE(manager.save(step, {{"state", tree_of_step(step)}}).value());
  EXPECT_OK(manager.close());
}

void SavedSteps::expect_sound(CheckpointManager& manager, Complaints& complaints) const {
  const auto steps = manager.all_steps(true);
  complaints.error_of("listing", steps);
  if (steps.has_error()) return;
  complaints.unless(std::binary_search(steps->begin(), steps->end(), 2), "step 2 is gone");
  for (const std::int64_t step : *steps) {
    const std::string differs = difference_to_saved(manager, step, tree_of_step(step));
    complaints.unless(differs.empty(), "step " + std::to_string(step) + ": " + differs);
  }
  complaints.error_of("the next save",
                      manager.save(0, {{"state", tree_of_step(0)}}, {.overwrite = true, .mode = SnapshotMode::copy}));
  complaints.error_of("its end", manager.wait_until_finished());
  complaints.unless(difference_to_saved(manager, 0, tree_of_step(0)).empty(), "the next step differs");
  for (const std::int64_t step : manager.all_steps(true).value()) {
    if (step == 0 || step == 3) complaints.error_of("a removal", manager.delete_step(step));
  }
}

void SavedSteps::expect_swept(Complaints& complaints) const {
  open_manager(options, path()).close().value();
  for (const auto& entry : fs::directory_iterator(path())) {
    const std::string name = entry.path().filename();
    complaints.unless(!name.starts_with("."), name + " is left");
  }
}

bool survives(const SavedSteps& steps, std::uint64_t nth, bool forever, const Deed& deed, Complaints& complaints) {
  const Holding before;
  bool failed = false;
  {
    auto manager = open_manager(steps.options, steps.path());
    {
      AllocationFaults faults(nth, forever);
      deed(manager, faults, complaints);
      faults.stop();
      failed = faults.failed() > 0;
    }
    complaints.unless_for_memory("what went on", manager.wait_until_finished());
    complaints.unless_for_memory("what went on", manager.check_for_errors());
    steps.expect_sound(manager, complaints);
    complaints.error_of("closing", manager.close());
  }
  const std::string leaked = before.grown(steps.descriptors_lost_max);
  complaints.unless(leaked.empty(), "leaked: " + leaked);
  return failed;
}

std::string fail_each(const Trial& trial, std::size_t& count) {
  const std::uint64_t stride = stride_under_sanitizer(211);
  std::string found;
  // Where some are passed over each search begins elsewhere.
  for (std::uint64_t nth = 37 * count % stride;; nth += stride) {
    Complaints complaints;
    const bool failed = trial(nth, complaints);
    ++count;
    if (!complaints.text().empty()) found += "allocation " + std::to_string(nth) + ": " + complaints.text() + "\n";
    if (!failed || found.size() > 4000) return found;
  }
}

void expect_survival(std::string_view what, const std::vector<Setting>& settings, const Deed& deed,
                     const std::function<void(SavedSteps&)>& change) {
  std::size_t count = 0;
  for (const Setting& setting : settings) {
    for (const bool forever : {false, true}) {
      SavedSteps steps(setting);
      if (change) change(steps);
      const std::string found = fail_each(
          [&](std::uint64_t nth, Complaints& complaints) { return survives(steps, nth, forever, deed, complaints); },
          count);
      Complaints left;
      steps.expect_swept(left);
      EXPECT_EQ(found + left.text(), "") << to_string(setting) << (forever ? ", for ever" : ", once");
    }
  }
  report_trials("allocations that fail in " + std::string(what), count);
}

}  // namespace milepost::testing
