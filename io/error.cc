#include "milepost/io/error.h"

#include <cerrno>
#include <new>
#include <system_error>

namespace milepost {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::already_exists: return "already_exists";
    case ErrorCode::corruption: return "corruption";
    case ErrorCode::no_space: return "no_space";
    case ErrorCode::io: return "io";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::deadline_exceeded: return "deadline_exceeded";
    case ErrorCode::failed_precondition: return "failed_precondition";
    case ErrorCode::structure_mismatch: return "structure_mismatch";
    case ErrorCode::internal: return "internal";
  }
  return "unknown";
}

static ErrorCode code_of_errno(int system_errno) {
  switch (system_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ErrorCode::no_space;
    case ENOENT: return ErrorCode::not_found;
    case EEXIST:
    case ENOTEMPTY: return ErrorCode::already_exists;
    case EAGAIN:
    case EBUSY: return ErrorCode::unavailable;
    case ECANCELED: return ErrorCode::cancelled;
    case ETIMEDOUT: return ErrorCode::deadline_exceeded;
    default: return ErrorCode::io;
  }
}

// What needs memory here is only words, and goes without saying where there is none.
template <class Function> static void with_luck(const Function& fn) noexcept {
  try {
    fn();
  } catch (const std::bad_alloc&) {
  }
}

Error::Error(ErrorCode code, std::string message, int system_errno) noexcept : code_(code), errno_(system_errno) {
  with_luck([&] { message_ = std::make_shared<const std::string>(std::move(message)); });
}

Error Error::from_errno(int system_errno, std::string_view what) noexcept {
  Error error;
  error.code_ = code_of_errno(system_errno);
  error.errno_ = system_errno;
  with_luck([&] {
    std::string message(what);
    message += ": ";
    message += std::generic_category().message(system_errno);
    error.message_ = std::make_shared<const std::string>(std::move(message));
  });
  return error;
}

Error Error::out_of_memory() noexcept {
  Error error;
  error.code_ = ErrorCode::no_space;
  error.errno_ = ENOMEM;
  return error;
}

Error Error::of_exception(ErrorCode code) noexcept {
  try {
    try {
      throw;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::system_error& thrown) {
      return Error(code, thrown.what(), thrown.code().value());
    } catch (const std::exception& thrown) {
      return Error(code, thrown.what());
    } catch (...) {
      return Error(code, "an unknown exception");
    }
  } catch (...) {  // also of making the message
    return out_of_memory();
  }
}

const std::string& Error::message() const {
  static const std::string none = "out of memory";  // short enough to lie in the string itself
  return message_ ? *message_ : none;
}

Error& Error::within(std::string_view context) & noexcept {
  with_luck([&] { context_ = std::make_shared<const Context>(Context{std::string(context), context_}); });
  return *this;
}

Error&& Error::within(std::string_view context) && noexcept {
  within(context);
  return std::move(*this);
}

std::string Error::to_string() const {
  std::string text;
  for (const Context* context = context_.get(); context; context = context->inner.get()) {
    text += context->text;
    text += ": ";
  }
  return text + message();
}

Error& Error::and_then(const Error& later) noexcept {
  constexpr std::size_t told_bytes_max = 4096;
  if (message().size() > told_bytes_max) return *this;
  with_luck([&] {
    message_ = std::make_shared<const std::string>(to_string() + "; and then: " + later.to_string());
    context_.reset();
  });
  return *this;
}

void throw_exception_from_error(const Error& error, const boost::source_location&) { throw CheckpointError(error); }

}  // namespace milepost
