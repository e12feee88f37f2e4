// What tests of the manager save, and how.
#pragma once

#include "tests/engine/hook_store.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {

inline Tree tree_of(std::int64_t step) { return small_tree(static_cast<std::uint64_t>(step)); }
inline Items state(std::int64_t step) { return {{"state", tree_of(step)}}; }

inline void save(CheckpointManager& manager, std::int64_t step, SaveOptions options = {.force = true}) {
  const auto saved = manager.save(step, state(step), std::move(options));
  ASSERT_TRUE(saved.has_value()) << saved.error().to_string();
  ASSERT_TRUE(*saved);
}

inline void save_all(CheckpointManager& manager, const std::vector<std::int64_t>& steps) {
  for (const std::int64_t step : steps) save(manager, step);
  EXPECT_OK(manager.wait_until_finished());
}

// Stops a save before its first operation of a kind.
struct Stop {
  Stop(HookStore& hooks, Operation operation, const std::string& path_contains = "") {
    hooks.before([=, this](Operation now, const std::string& path) {
      if (now == operation && path.find(path_contains) != std::string::npos) gate.pass();
    });
  }
  Gate gate;
};

// Does something else before a store's first operation of a kind on a path.
class Meanwhile {
 public:
  Meanwhile(HookStore& hooks, Operation operation, std::string path, std::function<void()> action) {
    hooks.before([=, happened = happened_, path = std::move(path), action = std::move(action)](Operation now,
                                                                                               const std::string& at) {
      if (now == operation && at == path && !std::exchange(*happened, true)) action();
    });
  }
  bool happened() const { return *happened_; }

 private:
  const std::shared_ptr<bool> happened_ = std::make_shared<bool>(false);
};

}  // namespace milepost::testing
