#include "milepost/engine/checkpoint_manager_options.h"

#include "milepost/engine/format/step_naming.h"
#include "milepost/io/try.h"

namespace milepost {

static Error invalid(std::string what) { return Error(ErrorCode::invalid_argument, std::move(what)); }

Result<void> check_codec(const Codec& codec) {
  if (codec.kind == Codec::Kind::zstd && (codec.level < 1 || codec.level > 19)) {
    return invalid("codec zstd: the level " + std::to_string(codec.level) + " is not between 1 and 19");
  }
  return {};
}

Result<void> check_options(const CheckpointManagerOptions& options) {
  if (options.save_interval_steps < 1) {
    return invalid("save_interval_steps is " + std::to_string(options.save_interval_steps) + ": it must be at least 1");
  }
  if (options.max_to_keep && *options.max_to_keep < 0) {
    return invalid("max_to_keep is " + std::to_string(*options.max_to_keep) + ": it must not be negative");
  }
  if (options.staging_bytes != 0 && options.staging_bytes < staging_bytes_min) {
    return invalid("staging_bytes is " + std::to_string(options.staging_bytes) + ": it must be at least " +
                   std::to_string(staging_bytes_min));
  }
  if (options.worker_threads < 0) return invalid("worker_threads is negative");
  if (options.worker_nice < 0 || options.worker_nice > 19) return invalid("worker_nice is not between 0 and 19");
  MILEPOST_TRY(check_codec(options.codec));
  return StepNaming(options.step_prefix).check();
}

}  // namespace milepost
