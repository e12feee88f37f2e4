#include "milepost/io/error.h"

#include <cerrno>
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

Error Error::from_errno(int system_errno, std::string_view what) {
  std::string message(what);
  message += ": ";
  message += std::generic_category().message(system_errno);
  return Error(code_of_errno(system_errno), std::move(message), system_errno);
}

Error& Error::within(std::string context) & {
  context_.push_back(std::move(context));
  return *this;
}

Error&& Error::within(std::string context) && {
  context_.push_back(std::move(context));
  return std::move(*this);
}

std::string Error::to_string() const {
  std::string text;
  for (auto it = context_.rbegin(); it != context_.rend(); ++it) {
    text += *it;
    text += ": ";
  }
  return text + message_;
}

Error& Error::and_then(const Error& later) {
  constexpr std::size_t told_bytes_max = 4096;
  if (message_.size() > told_bytes_max) return *this;
  message_ = to_string() + "; and then: " + later.to_string();
  context_.clear();
  return *this;
}

void throw_exception_from_error(const Error& error, const boost::source_location&) { throw CheckpointError(error); }

}  // namespace milepost
