// Early return of errors; for the library's own sources, not for its public headers.
#pragma once

#include "milepost/io/error.h"

// MILEPOST_TRY(expression of type Result<T>);  returns the error to the caller.
#define MILEPOST_TRY(expression)                           \
  do {                                                     \
    auto try_result = (expression);                        \
    if (try_result.has_error()) return try_result.error(); \
  } while (false)

// MILEPOST_ASSIGN(auto file, store.open_file(path));  declares or assigns, or returns the error.
#define MILEPOST_ASSIGN(target, expression) \
  MILEPOST_ASSIGN_NAMED(target, (expression), MILEPOST_CONCAT(try_result_, __LINE__))
#define MILEPOST_ASSIGN_NAMED(target, expression, name) \
  auto name = expression;                               \
  if (name.has_error()) return name.error();            \
  target = std::move(name).value()
#define MILEPOST_CONCAT(a, b) MILEPOST_CONCAT_EXPANDED(a, b)
#define MILEPOST_CONCAT_EXPANDED(a, b) a##b
