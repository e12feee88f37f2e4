// Errors and results.
//
// An Error is a value: a code chosen by what the caller does next, the message of the place that
// failed, the errno if a system call did, and the chain of what was being done, outermost first:
//
//   step 42: item model: leaf layers/3/w: pwrite data-0.bin@8388608: No space left on device
//
// An Error can always be made, copied and passed on: where there is no memory for its words, they are left out.
//
// Result<T> holds a T or an Error. It must not be ignored. `.value()` throws CheckpointError for
// users who prefer exceptions; nothing else in the library throws one.
#pragma once

#include <boost/system/result.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace milepost {

enum class ErrorCode {
  invalid_argument,     // the call itself is wrong: change it
  not_found,            // no such step, item, leaf or directory
  already_exists,       // the step is there, and was not touched
  corruption,           // bytes on disk are not what was written: restore another step
  no_space,             // of the disk, or of memory (ENOMEM): free some, then try again
  io,                   // the system refused or failed: see errno
  unavailable,          // held by somebody else, or not possible just now: try again later
  cancelled,            // stopped on request
  deadline_exceeded,    // did not finish in the time given; it may still finish
  failed_precondition,  // the object is in the wrong state for this call
  structure_mismatch,   // what was saved has other leaves, types or shapes than what was asked for: ask for those
  internal,             // a defect of this library
};

// "corruption", "no_space", ...
std::string_view to_string(ErrorCode code);

class [[nodiscard]] Error {
 public:
  Error() = default;
  Error(ErrorCode code, std::string message, int system_errno = 0) noexcept;

  // The error of a failed system call: `what` names the call and its object ("open step.json").
  // The code follows from the errno (ENOSPC and EDQUOT: no_space; ENOENT: not_found; ...).
  static Error from_errno(int system_errno, std::string_view what) noexcept;
  // no_space, with ENOMEM.
  static Error out_of_memory() noexcept;
  // Of the exception that is being handled: `code`, but out_of_memory() for std::bad_alloc.
  static Error of_exception(ErrorCode code) noexcept;

  ErrorCode code() const { return code_; }
  // The errno of the system call that failed, or 0.
  int system_errno() const { return errno_; }
  // The innermost message, without its context.
  const std::string& message() const;

  // Adds what was being done, outside of what was added before. Returns *this for `return e.within(...)`.
  Error& within(std::string_view context) & noexcept;
  Error&& within(std::string_view context) && noexcept;

  // The whole story on one line, outermost context first.
  std::string to_string() const;

  // Adds what went wrong after this, for those who can tell only one error; of very many, the first ones.
  Error& and_then(const Error& later) noexcept;

 private:
  struct Context {
    std::string text;
    std::shared_ptr<const Context> inner;
  };
  ErrorCode code_ = ErrorCode::internal;
  int errno_ = 0;
  // Shared with copies, which therefore allocate nothing.
  std::shared_ptr<const std::string> message_;  // null: there was no memory for one
  std::shared_ptr<const Context> context_;      // the outermost
};
static_assert(std::is_nothrow_copy_constructible_v<Error> && std::is_nothrow_copy_assignable_v<Error>);

// What Result::value() throws.
class CheckpointError : public std::runtime_error {
 public:
  explicit CheckpointError(Error error) : std::runtime_error(error.to_string()), error_(std::move(error)) {}
  const Error& error() const { return error_; }

 private:
  Error error_;
};

[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location& location);

template <class T> class [[nodiscard]] Result : public boost::system::result<T, Error> {
 public:
  using boost::system::result<T, Error>::result;
};

template <> class [[nodiscard]] Result<void> : public boost::system::result<void, Error> {
 public:
  using boost::system::result<void, Error>::result;
};

// Of two things that were both done: the first error, with the second behind it.
inline Result<void> both(const Result<void>& first, const Result<void>& second) {
  if (first.has_value()) return second;
  return second.has_value() ? first : Error(first.error()).and_then(second.error());
}

}  // namespace milepost
