// The root of a directory of checkpoints: milepost.json, which says what it is.
#pragma once

#include "milepost/engine/format/step_record.h"
#include "milepost/io/store.h"

#include <string>

namespace milepost {

// Writes milepost.json into a new root, with custom metadata that was checked, or checks the one that is there, which
// is never changed. corruption, or failed_precondition for the record of a newer version; when only reading, a damaged
// record does not matter.
Result<void> ensure_root_record(Store& store, bool read_only, const std::string& custom_metadata_json = "null");

// not_found, corruption, failed_precondition.
Result<RootRecord> read_root_record(Store& store);

}  // namespace milepost
