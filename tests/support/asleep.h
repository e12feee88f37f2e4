// Whether a thread waits: so that a test acts on one that has come to its wait, without a clock.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>

namespace milepost::testing {

// Whether a thread of this process, named by what gettid() returned in it, has begun and waits for something.
inline bool is_asleep(int thread) {
  std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string text;
  std::getline(stat, text);
  const std::size_t name_end = text.rfind(')');
  return thread != 0 && name_end != std::string::npos && text.substr(name_end + 2, 1) == "S";
}

}  // namespace milepost::testing
