// The committed steps of a directory, as last listed, with what their records say of time and metrics. Records
// are read when they are first asked for.
#pragma once

#include "milepost/engine/format/step_naming.h"
#include "milepost/engine/format/step_record.h"
#include "milepost/io/store.h"
#include "milepost/policy/preservation.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace milepost {

// All methods may be called from several threads at once.
class StepIndex {
 public:
  StepIndex(std::shared_ptr<Store> store, StepNaming naming) : store_(std::move(store)), naming_(std::move(naming)) {}

  const StepNaming& naming() const { return naming_; }

  // Lists the directory again; what was known of the steps is forgotten.
  Result<void> reload();

  std::vector<std::int64_t> steps() const;  // ascending
  std::optional<std::int64_t> latest() const;
  bool contains(std::int64_t step) const;

  // Room for a step, taken ahead of its save: adding a step that is committed must not fail.
  using Room = std::map<std::int64_t, std::optional<StepInfo>>::node_type;
  static Room make_room(StepInfo info);
  void add(Room room) noexcept;
  bool forget(std::int64_t step);  // whether it was known
  // Forgets the steps that somebody else has removed; whether there were any.
  Result<bool> forget_missing();

  struct Unreadable {
    std::int64_t step = 0;
    Error error;
  };
  struct Infos {
    std::vector<StepInfo> steps;         // ascending
    std::vector<Unreadable> unreadable;  // their record is damaged, or of a newer format
  };
  // Reads the records that are not known yet. Steps that somebody removed meanwhile are forgotten. An error of the
  // store itself ends it.
  Result<Infos> infos();

 private:
  const std::shared_ptr<Store> store_;
  const StepNaming naming_;

  mutable std::mutex mutex_;
  std::map<std::int64_t, std::optional<StepInfo>> steps_;
  std::uint64_t version_ = 0;  // counts the changes of steps_
};

// What retention and best_fn look at.
StepInfo info_of(const StepRecord& record);

}  // namespace milepost
