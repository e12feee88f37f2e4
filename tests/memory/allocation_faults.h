// Memory that runs out, on demand: in a program with this file every allocation by new, in any thread, is counted
// between two marks, and the Nth fails, alone or with all after it. So do the two other ways in which the library takes
// memory, mmap and aligned_alloc (by the linker's --wrap). What others allocate by malloc, such as zstd, does not
// count.
#pragma once

#include <cstdint>

namespace milepost::testing {

// One at a time.
class AllocationFaults {
 public:
  AllocationFaults(std::uint64_t nth, bool forever);
  ~AllocationFaults() { stop(); }
  AllocationFaults(const AllocationFaults&) = delete;
  AllocationFaults& operator=(const AllocationFaults&) = delete;

  // The marks; what is counted goes on where it stopped.
  void start();
  void stop();  // memory is back
  // Allocations that failed.
  std::uint64_t failed() const;
};

}  // namespace milepost::testing
