// GroupingReleaseManager: releases values to several managers. TensorFlow Federated's manager of that name.
#pragma once

#include "milepost/engine/federated/release_manager.h"

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace milepost {

// As safe as the managers that it releases to.
template <class Key> class GroupingReleaseManager final : public ReleaseManager<Key> {
 public:
  using Managers = std::vector<std::shared_ptr<ReleaseManager<Key>>>;

  // invalid_argument if there is no manager, or one is null.
  static Result<GroupingReleaseManager> of(Managers managers) {
    if (managers.empty()) return Error(ErrorCode::invalid_argument, "there is no manager to release to");
    for (const auto& manager : managers) {
      if (!manager) return Error(ErrorCode::invalid_argument, "a manager to release to is null");
    }
    return GroupingReleaseManager(std::move(managers));
  }

  // Releases to all of them, one after the other, whatever becomes of the others. The error has the code of the first
  // that failed, and says what happened to which, by its place in the list, from 1. Each manager awaits the value by
  // itself, so that one that filters it need not.
  Result<void> release(const ProgramValue& value, const Key& key) override {
    std::size_t failures = 0;
    Error first;
    std::string story;
    for (std::size_t i = 0; i < managers_.size(); ++i) {
      const Result<void> released = release_to(*managers_[i], value, key);
      if (released.has_value()) continue;
      if (failures++ == 0) first = released.error();
      story += (failures > 1 ? "; manager " : "manager ") + std::to_string(i + 1) + ": " + released.error().to_string();
    }
    if (failures == 0) return {};
    return Error(first.code(),
                 std::to_string(failures) + " of " + std::to_string(managers_.size()) + " managers failed: " + story,
                 first.system_errno());
  }

 private:
  explicit GroupingReleaseManager(Managers managers) : managers_(std::move(managers)) {}

  static Result<void> release_to(ReleaseManager<Key>& manager, const ProgramValue& value, const Key& key) try {
    return manager.release(value, key);
  } catch (...) {
    return error_of_current_exception("it");
  }

  Managers managers_;
};

}  // namespace milepost
