// The disk's own limit, to hold the engine's throughput against.
#pragma once

#include "milepost/io/error.h"

#include <cstdint>
#include <string>

namespace main_job {

// Writes a file of that many bytes into the directory, direct, several blocks in flight, and fsyncs
// it; removes it. GB/s.
milepost::Result<double> measure_write_rate(const std::string& directory, std::uint64_t bytes);

}  // namespace main_job
