// Where exceptions end: at the library's public calls, in the bodies of its threads and tasks, and wherever something
// has to be cleaned up or passed on whatever happens. What is most often thrown is std::bad_alloc.
#pragma once

#include "milepost/io/error.h"

#include <type_traits>
#include <utility>

namespace milepost {

// Calls a function that returns a Result, or nothing; what it throws is the error.
template <class Function> auto caught(Function&& fn) noexcept {
  using Returned = std::invoke_result_t<Function>;
  using Outcome = std::conditional_t<std::is_void_v<Returned>, Result<void>, Returned>;
  try {
    if constexpr (std::is_void_v<Returned>) {
      std::forward<Function>(fn)();
      return Outcome();
    } else {
      return Outcome(std::forward<Function>(fn)());
    }
  } catch (...) {
    return Outcome(Error::of_exception(ErrorCode::internal));
  }
}

}  // namespace milepost
