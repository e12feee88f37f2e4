// A directory of checkpoints, with what reading its steps needs.
#pragma once

#include "milepost/engine/collector.h"
#include "milepost/engine/format/step_naming.h"
#include "milepost/engine/restore/restore.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace milepost::tool {

enum class Access { look, change };

class CheckpointDirectory {
 public:
  // `prefix`: of the steps' names; without it, what the directory shows. failed_precondition, with
  // the way out, if the directory is none of checkpoints, mixes prefixes, or names its steps otherwise.
  static Result<CheckpointDirectory> open(const std::string& path, const std::optional<std::string>& prefix,
                                          Access access = Access::look);

  const std::string& path() const { return path_; }
  // Ascending.
  const std::vector<std::int64_t>& steps() const { return steps_; }
  // A decimal number or "latest". not_found names the steps that there are.
  Result<std::int64_t> find_step(const std::string& text) const;

  Result<StepRecord> read_record(std::int64_t step);
  Result<StepReader> open_step(std::int64_t step);
  // Where it was opened to be changed. Steps that somebody has open are not touched; what a removal that
  // was killed had left goes too.
  Collected remove_steps(const std::vector<std::int64_t>& steps);

 private:
  CheckpointDirectory() = default;

  std::string path_;
  StepNaming naming_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Spares<DecodingSpace>> decoders_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<BufferPool> staging_;
  std::vector<std::int64_t> steps_;
};

}  // namespace milepost::tool
