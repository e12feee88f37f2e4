// The catalog: which steps are in a directory. "Latest" is always a scan, never a trusted pointer.
#pragma once

#include "milepost/engine/format/step_naming.h"
#include "milepost/engine/format/step_record.h"
#include "milepost/io/store.h"

#include <cstdint>
#include <string>
#include <vector>

namespace milepost {

// Committed steps, ascending. A directory counts iff it is named as a step and holds a step record; anything else
// (attempts, trash, other people's files) is passed over and never touched. unavailable: a network file system shows
// none but steps that are gone, and not yet those that there are.
Result<std::vector<std::int64_t>> list_steps(Store& store, const StepNaming& naming);

// Reads and checks the record of a step. not_found if the step is not there, with the reason.
Result<StepRecord> read_step_record(Store& store, const std::string& directory);

}  // namespace milepost
