// A forked child of which is known what it opens: each open of a file or directory that succeeds, in any of its
// threads, by the name that the kernel has for it. To be forked while the parent has one thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace milepost::testing {

struct TracedChild {
  bool ended_well = false;
  std::string told;                 // what it wrote
  std::vector<std::string> opened;  // in order
};

// Runs `live` in a child, which ends when it returns, with nothing else of the parent's destroyed. Throws
// std::runtime_error where processes cannot be traced.
TracedChild run_traced(const std::function<void(const std::function<void(std::string_view)>& tell)>& live);

}  // namespace milepost::testing
