// The reading half of a checkpoint manager.
#pragma once

#include "milepost/engine/format/step_naming.h"
#include "milepost/engine/manager/saver.h"
#include "milepost/engine/metadata.h"
#include "milepost/engine/restore/restore.h"
#include "milepost/io/posix_store.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace milepost {

// All methods may be called from several threads at once; CheckpointManager says what they do.
class Restorer {
 public:
  // All outlive it. Null for the saver: nothing is waited for. `backend` is for other directories.
  Restorer(const RestoreContext& context, const StepNaming& naming, Saver* saver, IoBackend backend)
      : context_(context), naming_(naming), saver_(saver), backend_(backend) {}

  Result<Restored> restore(std::optional<std::int64_t> step, const RestoreOptions& options);
  Result<std::optional<std::int64_t>> restore_latest(Tree& target, std::string_view item);
  Result<StepReader> open_step(std::int64_t step);
  Result<StepMetadata> metadata(std::int64_t step);
  Result<StepRecord> record(std::int64_t step);
  Result<RootMetadata> root_metadata();

 private:
  Result<Restored> restore_from(const std::string& directory, std::optional<std::int64_t> step, RestoreOptions options);
  Result<Restored> restore_newest_good(RestoreOptions options);
  Error no_such_step(std::int64_t step);
  Error no_steps() const;
  bool is_gone(std::int64_t step);
  Result<void> wait_for_latest();
  // Gives `read` an opened step, none: the latest, or null if there is none; again if that step was removed meanwhile.
  template <class Read>
  std::invoke_result_t<Read, StepReader*> read_step(std::optional<std::int64_t> step, const Read& read);

  const RestoreContext context_;
  const StepNaming& naming_;
  Saver* const saver_;
  const IoBackend backend_;
};

}  // namespace milepost
