// The root of a directory of checkpoints: milepost.json, which says what it is.
#pragma once

#include "milepost/io/store.h"

namespace milepost {

// Writes milepost.json into a new root, or checks the one that is there. corruption, or failed_precondition for
// the record of a newer version; when only reading, a damaged record does not matter.
Result<void> ensure_root_record(Store& store, bool read_only);

}  // namespace milepost
