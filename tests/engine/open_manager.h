// What most tests of the manager begin with.
#pragma once

#include "milepost/engine/checkpoint_manager.h"
#include "tests/engine/trees.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {

inline constexpr SnapshotMode all_modes[] = {SnapshotMode::copy, SnapshotMode::lazy, SnapshotMode::borrow,
                                             SnapshotMode::cow};

// Small, and with more than one worker on any machine.
inline CheckpointManagerOptions small_options(std::shared_ptr<Store> store = nullptr) {
  CheckpointManagerOptions options;
  options.staging_bytes = std::uint64_t{64} << 20;
  options.worker_threads = 2;
  options.worker_nice = 0;
  options.store = std::move(store);
  return options;
}

inline CheckpointManager open_manager(CheckpointManagerOptions options, const std::string& directory = "simulated") {
  return CheckpointManager::open(directory, std::move(options)).value();
}

// The story of a failure; empty if there is none.
template <class T> std::string error_of(const Result<T>& result) {
  return result.has_error() ? result.error().to_string() : "";
}
#define EXPECT_OK(expression) EXPECT_EQ(::milepost::testing::error_of(expression), "")

// What a table of bad inputs expects: the code, and what the story says.
template <class T> void expect_error(const Result<T>& result, ErrorCode code, const std::vector<std::string>& parts) {
  ASSERT_TRUE(result.has_error()) << (parts.empty() ? "" : parts.front());
  const std::string text = result.error().to_string();
  EXPECT_EQ(result.error().code(), code) << text;
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << "\nin: " << text;
}

// How the step's only item, restored without a target, differs from that tree; empty if it does not.
inline std::string difference_to_saved(CheckpointManager& manager, std::int64_t step, const Tree& expected) {
  auto restored = manager.restore(step);
  return restored.has_error() ? error_of(restored) : difference(expected, restored->tree());
}
#define EXPECT_HOLDS(manager, step, expected) \
  EXPECT_EQ(::milepost::testing::difference_to_saved(manager, step, expected), "") << "step " << (step)

}  // namespace milepost::testing
