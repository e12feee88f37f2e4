#include "milepost/io/error.h"

#include "milepost/io/try.h"

#include <gtest/gtest.h>

#include <cerrno>

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
