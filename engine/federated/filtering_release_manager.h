// FilteringReleaseManager: releases parts of values to another manager. TensorFlow Federated's manager of that name.
#pragma once

#include "milepost/engine/federated/release_manager.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace milepost {

// Whether the leaf of that path (tree.h) is released; of a value that is a leaf itself the path is "". A reference is
// one leaf, whatever its value.
using ReleaseFilter = std::function<bool(const std::string& path)>;

// The value without the leaves that the filter turns down, and without the maps and lists in which nothing is left (or
// ever was); nothing if nothing is left of it. What moves up in a list has a new index. Awaits no reference.
// failed_precondition if the filter throws; the error of a CheckpointError, if it is one.
Result<std::optional<ProgramValue>> filter_value(const ProgramValue& value, const ReleaseFilter& filter);

// As safe as the manager that it releases to. Values of which nothing is left are not released, and that is no error.
template <class Key> class FilteringReleaseManager final : public ReleaseManager<Key> {
 public:
  // Neither may be null.
  FilteringReleaseManager(std::shared_ptr<ReleaseManager<Key>> manager, ReleaseFilter filter)
      : manager_(std::move(manager)), filter_(std::move(filter)) {}

  Result<void> release(const ProgramValue& value, const Key& key) override {
    auto filtered = filter_value(value, filter_);
    if (filtered.has_error()) return filtered.error();
    return *filtered ? manager_->release(**filtered, key) : Result<void>();
  }

 private:
  const std::shared_ptr<ReleaseManager<Key>> manager_;
  const ReleaseFilter filter_;  // called from whatever thread
};

}  // namespace milepost
