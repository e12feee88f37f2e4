// What has to hold whichever allocation fails, and a search for one after which it does not.
#pragma once

#include "tests/engine/open_manager.h"
#include "tests/memory/allocation_faults.h"
#include "tests/support/temp_dir.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace milepost::testing {

// What is wrong; empty: nothing.
class Complaints {
 public:
  void unless(bool good, const std::string& what) {
    if (!good) text_ += (text_.empty() ? "" : "; ") + what;
  }
  // Of a call that had memory.
  template <class T> void error_of(const std::string& what, const Result<T>& result) {
    unless(result.has_value(), what + ": " + testing::error_of(result));
  }
  // Of a call for which it may have run out.
  template <class T> void unless_for_memory(const std::string& what, const Result<T>& result) {
    if (result.has_value()) return;
    unless(result.error().code() == ErrorCode::no_space,
           what + ": " + std::string(to_string(result.error().code())) + ": " + result.error().to_string());
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What is saved as steps 0 to 3: several chunks, packed and strided; as step 3, in the whole form, two segments.
const Tree& tree_of_step(std::int64_t step);

struct Setting {
  SnapshotMode mode = SnapshotMode::copy;
  Codec codec = Codec::none();
  IoBackend backend = IoBackend::automatic;
};
std::vector<Setting> all_settings();
std::string to_string(const Setting& setting);

// In memory, with the committed steps 1 and 2.
class SavedSteps {
 public:
  explicit SavedSteps(const Setting& setting);

  std::string path() const { return root_.string() + "/steps"; }
  CheckpointManagerOptions options;
  std::size_t descriptors_lost_max = 0;  // by a deed

  // A manager that has lost nothing: every step that it lists is whole, step 2 is among them, and it saves and removes.
  void expect_sound(CheckpointManager& manager, Complaints& complaints) const;
  // Once the next manager has swept there is nothing but steps.
  void expect_swept(Complaints& complaints) const;

 private:
  TempDir root_{parent_in_memory()};
};

// Something done while memory runs out between start() and stop(). Says what is wrong with what it was told.
using Deed = std::function<void(CheckpointManager&, AllocationFaults&, Complaints&)>;
// Does it with a manager of its own, and looks at everything afterwards. Returns whether an allocation failed.
bool survives(const SavedSteps& steps, std::uint64_t nth, bool forever, const Deed& deed, Complaints& complaints);

// Calls trial(nth, complaints), which returns whether an allocation failed, for every nth, or in the short form under
// a sanitizer for some, until none failed. Returns what was complained of, and counts the trials.
using Trial = std::function<bool(std::uint64_t nth, Complaints&)>;
std::string fail_each(const Trial& trial, std::size_t& trials);

// Both for a deed, once and for ever, with each setting.
void expect_survival(std::string_view what, const std::vector<Setting>& settings, const Deed& deed,
                     const std::function<void(SavedSteps&)>& change = {});

}  // namespace milepost::testing
