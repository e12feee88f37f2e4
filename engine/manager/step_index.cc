#include "milepost/engine/manager/step_index.h"

#include "milepost/engine/catalog.h"
#include "milepost/engine/format/names.h"
#include "milepost/io/try.h"

#include <set>

namespace milepost {

StepInfo info_of(const StepRecord& record) { return {record.step, record.commit_unix_ns, record.metrics}; }

Result<void> StepIndex::reload() {
  for (;;) {
    std::uint64_t before;
    {
      const std::lock_guard lock(mutex_);
      before = version_;
    }
    MILEPOST_ASSIGN(const auto found, list_steps(*store_, naming_));
    std::map<std::int64_t, std::optional<StepInfo>> steps;
    for (const std::int64_t step : found) steps.emplace(step, std::nullopt);
    const std::lock_guard lock(mutex_);
    if (version_ != before) continue;  // the listing was overtaken
    ++version_;
    steps_ = std::move(steps);
    return {};
  }
}

std::vector<std::int64_t> StepIndex::steps() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::int64_t> steps;
  steps.reserve(steps_.size());
  for (const auto& [step, info] : steps_) steps.push_back(step);
  return steps;
}

std::optional<std::int64_t> StepIndex::latest() const {
  const std::lock_guard lock(mutex_);
  return steps_.empty() ? std::nullopt : std::optional(steps_.rbegin()->first);
}

bool StepIndex::contains(std::int64_t step) const {
  const std::lock_guard lock(mutex_);
  return steps_.contains(step);
}

StepIndex::Room StepIndex::make_room(StepInfo info) {
  const std::int64_t step = info.step;
  std::map<std::int64_t, std::optional<StepInfo>> one;
  one.emplace(step, std::move(info));
  return one.extract(step);
}

void StepIndex::add(Room room) noexcept {
  const std::lock_guard lock(mutex_);
  ++version_;
  steps_.erase(room.key());
  steps_.insert(std::move(room));
}

bool StepIndex::forget(std::int64_t step) {
  const std::lock_guard lock(mutex_);
  ++version_;
  return steps_.erase(step) > 0;
}

Result<bool> StepIndex::forget_missing() {
  const std::vector<std::int64_t> known = steps();
  MILEPOST_ASSIGN(const auto entries, store_->list_directory(""));
  std::set<std::int64_t> listed;
  for (const DirectoryEntry& entry : entries) {
    if (const auto step = naming_.parse(entry.name)) listed.insert(*step);
  }
  bool any = false;
  for (const std::int64_t step : known) {
    if (listed.contains(step)) continue;
    // A listing may be out of date, on network file systems.
    const auto record = store_->stat(naming_.name(step) + '/' + std::string(step_record_name));
    if (record.has_error() && record.error().code() == ErrorCode::not_found) any = forget(step) || any;
  }
  return any;
}

Result<StepIndex::Infos> StepIndex::infos() {
  Infos infos;
  for (const std::int64_t step : steps()) {
    std::optional<StepInfo> known;
    std::uint64_t before;
    {
      const std::lock_guard lock(mutex_);
      const auto it = steps_.find(step);
      if (it == steps_.end()) continue;
      known = it->second;
      before = version_;
    }
    if (known) {
      infos.steps.push_back(*std::move(known));
      continue;
    }
    auto record = read_step_record(*store_, naming_.name(step));
    if (record.has_value() && record->step != step) {
      record = Error(ErrorCode::corruption,
                     naming_.name(step) + "/step.json: is the record of step " + std::to_string(record->step));
    }
    std::optional<StepInfo> read;
    if (record.has_value()) {
      read = info_of(*record);
      infos.steps.push_back(*read);
    }
    const std::lock_guard lock(mutex_);
    if (read) {
      if (version_ == before) steps_.find(step)->second = std::move(read);
    } else if (record.error().code() == ErrorCode::not_found) {
      if (version_ == before) steps_.erase(step), ++version_;
    } else if (record.error().code() == ErrorCode::corruption ||
               record.error().code() == ErrorCode::failed_precondition) {
      infos.unreadable.push_back({step, record.error()});
    } else {
      return record.error().within("step " + std::to_string(step));
    }
  }
  return infos;
}

}  // namespace milepost
