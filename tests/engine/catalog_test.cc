#include "milepost/engine/catalog.h"

#include "tests/engine/hook_store.h"
#include "tests/support/simulated_store.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

void make_step(Store& store, const std::string& directory) {
  ASSERT_TRUE(store.make_directory(directory).has_value());
  ASSERT_TRUE(write_file(store, directory + "/step.json", {}).has_value());
}

// Between the listing of the root and the look at what it named, a newer step was committed and the listed one
// removed: there was a step at every moment, so the catalog must not say that there is none.
TEST(Catalog, AStepRemovedWhileListingHidesNoNewerOne) {
  const auto disk = std::make_shared<SimulatedStore>();
  HookStore store(disk);
  make_step(*disk, "1");
  bool moved_on = false;
  store.after([&](Operation operation, const std::string&) {
    if (operation != Operation::list || moved_on) return;
    moved_on = true;
    make_step(*disk, "2");
    ASSERT_TRUE(remove_tree(*disk, "1").has_value());
  });
  EXPECT_EQ(list_steps(store, "").value(), std::vector<std::int64_t>{2});
  EXPECT_TRUE(moved_on);
}

TEST(Catalog, PassesOverWhatIsNoStep) {
  SimulatedStore store;
  make_step(store, "7");
  make_step(store, "x8");
  ASSERT_TRUE(store.make_directory("9").has_value());  // somebody else's: no record
  ASSERT_TRUE(write_file(store, "10", {}).has_value());
  EXPECT_EQ(list_steps(store, "").value(), std::vector<std::int64_t>{7});
  EXPECT_EQ(list_steps(store, "x").value(), std::vector<std::int64_t>{8});
}

}  // namespace
}  // namespace milepost::testing
