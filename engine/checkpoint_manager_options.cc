#include "milepost/engine/checkpoint_manager_options.h"

#include "milepost/io/refusal.h"
#include "milepost/io/try.h"

namespace milepost {

Result<void> check_codec(const Codec& codec) {
  if (codec.kind == Codec::Kind::zstd && (codec.level < 1 || codec.level > 19)) {
    return invalid("codec zstd: the level " + std::to_string(codec.level) + " is not between 1 and 19");
  }
  return {};
}

static Result<void> check_preservation(const CheckpointManagerOptions& options) {
  if (options.keep_period && *options.keep_period < 1) {
    return invalid("keep_period is " + std::to_string(*options.keep_period) + ": it must be at least 1");
  }
  if (options.keep_time_interval && *options.keep_time_interval <= std::chrono::nanoseconds::zero()) {
    return invalid("keep_time_interval must be longer than nothing");
  }
  if (options.keep_latest && *options.keep_latest < 0) {
    return invalid("keep_latest is " + std::to_string(*options.keep_latest) + ": it must not be negative");
  }
  if (options.best_mode != BestMode::max && options.best_mode != BestMode::min) {
    return invalid("best_mode is neither max nor min");
  }
  if (options.preservation_policy &&
      (options.max_to_keep || options.keep_time_interval || options.keep_period || options.keep_latest)) {
    return invalid("preservation_policy excludes max_to_keep, keep_time_interval, keep_period and keep_latest");
  }
  if (options.keep_latest && !options.max_to_keep) return invalid("keep_latest is beside max_to_keep: set that too");
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
  if (options.write_retries < 0) return invalid("write_retries is negative");
  if (options.worker_threads < 0) return invalid("worker_threads is negative");
  if (options.worker_nice < 0 || options.worker_nice > 19) return invalid("worker_nice is not between 0 and 19");
  MILEPOST_TRY(check_codec(options.codec));
  MILEPOST_TRY(check_preservation(options));
  if (options.timeout <= std::chrono::nanoseconds::zero()) return invalid("timeout must be longer than nothing");
  if (options.step_name_format && (!options.step_prefix.empty() || options.step_format_fixed_length != 0)) {
    return invalid("step_name_format excludes step_prefix and step_format_fixed_length");
  }
  const StepNaming naming = naming_of(options);
  MILEPOST_TRY(naming.check());
  return check_collector_options(collector_options_of(options), naming);
}

StepNaming naming_of(const CheckpointManagerOptions& options) {
  if (options.step_name_format) return StepNaming(*options.step_name_format);
  return StepNaming(options.step_prefix, options.step_format_fixed_length);
}

CollectorOptions collector_options_of(const CheckpointManagerOptions& options) {
  return {options.todelete_subdir, options.enable_background_delete, options.deletion_threads};
}

SaveDecisionPolicy decision_policy_of(const CheckpointManagerOptions& options) {
  // A job that is told to stop saves before, whatever the policy: else all since the last save is lost.
  if (options.save_decision_policy && options.preemption) {
    return AnySavePolicy{{PreemptionCheckpointingPolicy{}, options.save_decision_policy}};
  }
  if (options.save_decision_policy) return options.save_decision_policy;
  return save_policy_of({options.save_interval_steps, options.save_on_steps, options.should_save_fn});
}

PreservationPolicy preservation_policy_of(const CheckpointManagerOptions& options) {
  if (options.preservation_policy) return options.preservation_policy;
  if (!options.max_to_keep) return {};
  PreservationRule rule;
  rule.max_to_keep = options.max_to_keep;
  if (options.keep_time_interval) {
    rule.keep_time_interval_s = std::chrono::duration<double>(*options.keep_time_interval).count();
  }
  rule.keep_period = options.keep_period;
  rule.best_fn = options.best_fn;
  rule.best_mode = options.best_mode;
  rule.keep_checkpoints_without_metrics = options.keep_checkpoints_without_metrics;
  rule.keep_latest = options.keep_latest;
  return preservation_policy_of(std::move(rule));
}

}  // namespace milepost
