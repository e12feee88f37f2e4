// The catalog: which steps are in a directory. "Latest" is always a scan, never a trusted pointer.
#pragma once

#include "milepost/engine/format/step_record.h"
#include "milepost/io/store.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace milepost {

// Committed steps, ascending. A directory counts iff its name is <prefix><step> and it holds a step
// record; anything else (attempts, trash, other people's files) is passed over and never touched.
Result<std::vector<std::int64_t>> list_steps(Store& store, std::string_view step_prefix);

// Reads and checks the record of a step. not_found if the step is not there, with the reason.
Result<StepRecord> read_step_record(Store& store, const std::string& directory);

}  // namespace milepost
