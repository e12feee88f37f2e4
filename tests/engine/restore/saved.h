// A manager with one step, for tests of what a restore makes of it.
#pragma once

#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/simulated_store.h"

#include <memory>
#include <utility>

namespace milepost::testing {

inline CheckpointManager saved(const Tree& tree, Codec codec = Codec::fast()) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  EXPECT_TRUE(manager.save(1, {{"state", tree}}, {.codec = codec}).value());
  EXPECT_OK(manager.wait_until_finished());
  return manager;
}

inline Result<Restored> restore(CheckpointManager& manager, RestoreItem item) {
  return manager.restore(1, {.items = {std::move(item)}});
}

}  // namespace milepost::testing
