// Bytes through files, compressed or not.
#include "milepost/io/byte_stream.h"

#include "tests/support/bytes.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

const std::vector<std::string> names = {"a", "a.gz", "a.bz2", "a.xz", "a.zst"};

// Compresses, but not to nothing.
std::vector<std::byte> sample(std::size_t bytes) {
  std::vector<std::byte> data = pattern(bytes, 3);
  for (std::byte& byte : data) byte &= std::byte{0x1F};
  return data;
}

Result<void> write(Store& store, const std::string& name, std::span<const std::byte> data, std::size_t piece) {
  auto file = store.create_file(name, {}).value();
  const auto sink = make_byte_sink(*file, compression_of(name));
  for (std::size_t at = 0; at < data.size(); at += piece) {
    const auto written = sink->write(data.subspan(at, std::min(piece, data.size() - at)));
    if (written.has_error()) return written;
  }
  return sink->finish();
}

Result<std::vector<std::byte>> read(Store& store, const std::string& name, std::size_t piece) {
  const auto file = store.open_file(name).value();
  const auto source = make_byte_source(*file, compression_of(name));
  std::vector<std::byte> data, buffer(piece);
  for (;;) {
    const auto bytes = source->read(buffer);
    if (bytes.has_error()) return bytes.error();
    if (*bytes == 0) return data;
    data.insert(data.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*bytes));
  }
}

TEST(ByteStream, EndingsSayHow) {
  EXPECT_EQ(compression_of("x.csv"), Compression::none);
  EXPECT_EQ(compression_of("gz"), Compression::none);
  EXPECT_EQ(compression_of("x.gz"), Compression::gzip);
  EXPECT_EQ(compression_of("x.csv.bz2"), Compression::bzip2);
  EXPECT_EQ(compression_of("x.xz"), Compression::xz);
  EXPECT_EQ(compression_of("x.zst"), Compression::zstd);
}

TEST(ByteStream, ComesBack) {
  for (const std::string& name : names) {
    for (const std::size_t bytes : {0, 1, 1000, 300'000}) {
      SimulatedStore store;
      const auto data = sample(bytes);
      ASSERT_TRUE(write(store, name, data, 270'001).has_value()) << name;
      EXPECT_EQ(read(store, name, 65'537).value(), data) << name << " " << bytes;
      if (name != "a" && bytes > 1000) {
        EXPECT_LT(store.stat(name).value().size, bytes * 3 / 4);
      }
    }
  }
}

TEST(ByteStream, TwoStreamsInAFileAreReadAsOne) {
  for (const std::string& name : names) {
    SimulatedStore store;
    const auto data = sample(5000);
    ASSERT_TRUE(write(store, name, data, 5000).has_value());
    auto twice = read_file(store, name, 1 << 20).value();
    twice.insert(twice.end(), twice.begin(), twice.end());
    ASSERT_TRUE(write_file(store, "twice" + name, twice).has_value());
    auto expected = data;
    expected.insert(expected.end(), data.begin(), data.end());
    EXPECT_EQ(read(store, "twice" + name, 999).value(), expected) << name;
  }
}

// Cut where some content is gone; what compressors write behind it may be superfluous.
TEST(ByteStream, WhatIsCutIsNoticed) {
  const auto data = sample(50'000);
  for (const std::string& name : names) {
    if (name == "a") continue;
    SimulatedStore store;
    ASSERT_TRUE(write(store, name, data, 5000).has_value());
    const auto whole = read_file(store, name, 1 << 20).value();
    for (const std::size_t left : {std::size_t{0}, std::size_t{3}, whole.size() / 3, whole.size() - 20}) {
      const std::string cut = std::to_string(left) + name;
      ASSERT_TRUE(write_file(store, cut, std::span(whole).first(left)).has_value());
      const auto found = read(store, cut, 4096);
      ASSERT_TRUE(found.has_error()) << cut;
      EXPECT_EQ(found.error().code(), ErrorCode::corruption);
      EXPECT_THAT(found.error().message(), ::testing::HasSubstr("decompressed"));
    }
  }
}

TEST(ByteStream, ErrorsOfTheDiskComeThrough) {
  const auto data = sample(100'000);
  for (const std::string& name : names) {
    FaultStore store(std::make_shared<SimulatedStore>());
    store.inject({.system_errno = ENOSPC, .operations = {Operation::write}});
    const auto written = write(store, name, data, 30'000);
    ASSERT_TRUE(written.has_error()) << name;
    EXPECT_EQ(written.error().code(), ErrorCode::no_space) << name;
    store.heal();
    ASSERT_TRUE(write(store, "2" + name, data, 30'000).has_value());
    store.inject({.system_errno = EIO, .operations = {Operation::read}});
    const auto found = read(store, "2" + name, 4096);
    ASSERT_TRUE(found.has_error()) << name;
    EXPECT_EQ(found.error().code(), ErrorCode::io) << name;
  }
}

}  // namespace
}  // namespace milepost::testing
