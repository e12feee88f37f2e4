// Steps so small that a test can crash at every operation of their life: written by the commit protocol,
// with an item whose two files hold the attempt's uuid, so that a mixture of two attempts shows.
#pragma once

#include "milepost/io/store.h"

#include <cstdint>
#include <string>
#include <vector>

namespace milepost::testing {

Result<void> commit_step(Store& store, std::int64_t step, bool overwrite = false, std::int64_t commit_unix_ns = 0);

// The attempt that a whole step is of. An error if the step is not there, or not whole.
Result<std::string> attempt_of(Store& store, const std::string& directory);

// The names in a directory, ascending.
std::vector<std::string> names_in(Store& store, const std::string& directory = "");

}  // namespace milepost::testing
