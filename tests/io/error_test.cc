#include "milepost/io/error.h"

#include "milepost/io/caught.h"
#include "milepost/io/try.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <new>
#include <stdexcept>
#include <system_error>

namespace milepost {
namespace {

TEST(Error, TellsTheWholeStoryOutermostFirst) {
  const Error error = Error::from_errno(ENOSPC, "pwrite data-0.bin@8388608")
                          .within("leaf layers/3/w")
                          .within("item model")
                          .within("step 42");
  EXPECT_EQ(error.to_string(),
            "step 42: item model: leaf layers/3/w: pwrite data-0.bin@8388608: No space left on device");
  EXPECT_EQ(error.code(), ErrorCode::no_space);
  EXPECT_EQ(error.system_errno(), ENOSPC);
  EXPECT_EQ(error.message(), "pwrite data-0.bin@8388608: No space left on device");
}

TEST(Error, CopiesAreIndependent) {
  const Error error = Error(ErrorCode::io, "pread failed").within("item model");
  Error copy = error;
  copy.within("step 1");
  EXPECT_EQ(copy.to_string(), "step 1: item model: pread failed");
  EXPECT_EQ(error.to_string(), "item model: pread failed");
  copy.and_then(Error(ErrorCode::io, "and more").within("step 2"));
  EXPECT_EQ(copy.to_string(), "step 1: item model: pread failed; and then: step 2: and more");
  EXPECT_EQ(error.message(), "pread failed");
}

// What runs in a catch block.
Error of_thrown(const std::function<void()>& fn) {
  return caught([&] { fn(); }).error();
}

TEST(Error, TellsOfExceptions) {
  const Error memory = of_thrown([] { throw std::bad_alloc(); }).within("step 1");
  EXPECT_EQ(memory.code(), ErrorCode::no_space);
  EXPECT_EQ(memory.system_errno(), ENOMEM);
  EXPECT_EQ(memory.to_string(), "step 1: out of memory");
  EXPECT_EQ(of_thrown([] { throw std::runtime_error("why"); }).message(), "why");
  EXPECT_EQ(of_thrown([] { throw 1; }).message(), "an unknown exception");
  EXPECT_EQ(of_thrown([] { throw std::system_error(EMFILE, std::generic_category()); }).system_errno(), EMFILE);
  EXPECT_EQ(caught([]() -> Result<int> { return 3; }).value(), 3);
}

TEST(Error, CodeSaysWhatTheCallerDoesNext) {
  EXPECT_EQ(Error::from_errno(EDQUOT, "x").code(), ErrorCode::no_space);
  EXPECT_EQ(Error::from_errno(ENOENT, "x").code(), ErrorCode::not_found);
  EXPECT_EQ(Error::from_errno(EEXIST, "x").code(), ErrorCode::already_exists);
  EXPECT_EQ(Error::from_errno(EACCES, "x").code(), ErrorCode::io);
  EXPECT_EQ(Error::from_errno(EIO, "x").code(), ErrorCode::io);
}

Result<int> half(int n) {
  if (n % 2 != 0) return Error(ErrorCode::invalid_argument, "odd");
  return n / 2;
}

Result<int> quarter(int n) {
  MILEPOST_ASSIGN(const int once, half(n));
  MILEPOST_TRY(half(once));
  return half(once);
}

TEST(Result, CarriesTheErrorUp) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().message(), "odd");
  EXPECT_THROW((void)quarter(7).value(), CheckpointError);
}

}  // namespace
}  // namespace milepost
