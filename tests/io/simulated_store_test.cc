// The simulated disk must forget: tests that lean on it are worth nothing otherwise. So each rule
// of a safe protocol is broken once, and some power cut must show it.

#include "tests/support/simulated_store.h"

#include "milepost/io/try.h"
#include "tests/support/bytes.h"
#include "tests/support/fault_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {
namespace {

constexpr std::uint64_t seeds = 300;

// What a reader finds in one file after each of many power cuts.
std::set<std::string> contents_after_crashes(const SimulatedStore& store, const std::string& path) {
  std::set<std::string> found;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const auto disk = store.crash(seed);
    const auto data = read_file(*disk, path, 1 << 20);
    if (data.has_error()) {
      found.insert(std::string(to_string(data.error().code())));
    } else {
      found.insert(std::string(reinterpret_cast<const char*>(data->data()), data->size()));
    }
  }
  return found;
}

TEST(SimulatedStore, WhatWasSyncedStays) {
  SimulatedStore store;
  ASSERT_TRUE(write_file(store, "file", to_bytes("content")).has_value());
  ASSERT_TRUE(store.sync_directory("").has_value());
  EXPECT_THAT(contents_after_crashes(store, "file"), ::testing::ElementsAre("content"));
}

TEST(SimulatedStore, DataWithoutSyncIsLostOrHalfThere) {
  SimulatedStore store;
  auto file = store.create_file("file", {}).value();
  ASSERT_TRUE(store.sync_directory("").has_value());
  ASSERT_TRUE(write_at(*file, 0, to_bytes("content")).has_value());
  EXPECT_THAT(contents_after_crashes(store, "file"),
              ::testing::UnorderedElementsAre("", "content", std::string(7, '\0')));
}

TEST(SimulatedStore, NamesWithoutSyncMayBeLost) {
  SimulatedStore store;
  ASSERT_TRUE(write_file(store, "file", to_bytes("content")).has_value());
  EXPECT_THAT(contents_after_crashes(store, "file"), ::testing::UnorderedElementsAre("content", "not_found"));
}

TEST(SimulatedStore, ALaterWriteMayOutliveAnEarlierOne) {
  SimulatedStore store;
  auto file = store.create_file("file", {}).value();
  ASSERT_TRUE(store.sync_directory("").has_value());
  ASSERT_TRUE(write_at(*file, 0, to_bytes("ab")).has_value());
  ASSERT_TRUE(file->sync().has_value());
  ASSERT_TRUE(write_at(*file, 0, to_bytes("A")).has_value());
  ASSERT_TRUE(write_at(*file, 1, to_bytes("B")).has_value());
  EXPECT_THAT(contents_after_crashes(store, "file"), ::testing::UnorderedElementsAre("ab", "Ab", "aB", "AB"));
}

TEST(SimulatedStore, WritesTearAtSectors) {
  SimulatedStore store;
  auto file = store.create_file("file", {}).value();
  ASSERT_TRUE(write_at(*file, 0, std::vector<std::byte>(2048, std::byte{'-'})).has_value());
  ASSERT_TRUE(file->sync().has_value());
  ASSERT_TRUE(store.sync_directory("").has_value());
  ASSERT_TRUE(write_at(*file, 256, std::vector<std::byte>(1536, std::byte{'+'})).has_value());
  bool torn = false;
  for (const std::string& found : contents_after_crashes(store, "file")) {
    ASSERT_EQ(found.size(), 2048u);
    std::set<std::string> sectors_seen;
    for (const auto& [begin, end] : {std::pair{256, 512}, {512, 1024}, {1024, 1536}, {1536, 1792}}) {
      const std::string sector = found.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
      ASSERT_EQ(sector.find_first_not_of(sector[0]), std::string::npos) << "torn inside a sector";
      sectors_seen.insert(sector.substr(0, 1));
    }
    torn = torn || sectors_seen.size() == 2;
  }
  EXPECT_TRUE(torn);
}

TEST(SimulatedStore, NameChangesSurviveAsAPrefixInEachDirectory) {
  SimulatedStore store;
  for (const char* const name : {"a", "b", "c"}) ASSERT_TRUE(store.make_directory(name).has_value());
  std::set<std::string> states;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    std::string state;
    const auto disk = store.crash(seed);
    const auto entries = disk->list_directory("").value();
    for (const DirectoryEntry& entry : entries) state += entry.name;
    states.insert(state);
  }
  EXPECT_THAT(states, ::testing::ElementsAre("", "a", "ab", "abc"));
}

TEST(SimulatedStore, ARenameBetweenDirectoriesHappensInBothOrNeither) {
  SimulatedStore store;
  ASSERT_TRUE(store.make_directory("from").has_value());
  ASSERT_TRUE(store.make_directory("to").has_value());
  ASSERT_TRUE(store.sync_directory("").has_value());
  ASSERT_TRUE(write_file(store, "from/file", to_bytes("x")).has_value());
  ASSERT_TRUE(store.sync_directory("from").has_value());
  ASSERT_TRUE(store.rename_no_replace("from/file", "to/file").has_value());
  std::set<int> moved;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const auto disk = store.crash(seed);
    const bool at_source = disk->stat("from/file").has_value();
    const bool at_target = disk->stat("to/file").has_value();
    ASSERT_NE(at_source, at_target);
    moved.insert(at_target);
  }
  EXPECT_THAT(moved, ::testing::ElementsAre(0, 1));
  ASSERT_TRUE(store.sync_directory("to").has_value());
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    EXPECT_TRUE(store.crash(seed)->stat("to/file").has_value());
    EXPECT_TRUE(store.crash(seed)->stat("from/file").has_error());
  }
}

TEST(SimulatedStore, AnExchangeHappensInBothOrNeither) {
  SimulatedStore store;
  ASSERT_TRUE(store.make_directory("one").has_value());
  ASSERT_TRUE(store.make_directory("two").has_value());
  ASSERT_TRUE(write_file(store, "one/old", to_bytes("x")).has_value());
  ASSERT_TRUE(write_file(store, "two/new", to_bytes("x")).has_value());
  for (const char* const path : {"one", "two", ""}) ASSERT_TRUE(store.sync_directory(path).has_value());
  ASSERT_TRUE(store.exchange("one", "two").has_value());
  std::set<bool> exchanged;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const auto disk = store.crash(seed);
    const bool is_new = disk->stat("one/new").has_value();
    ASSERT_EQ(disk->stat("two/old").has_value(), is_new);
    ASSERT_NE(disk->stat("one/old").has_value(), is_new);
    exchanged.insert(is_new);
  }
  EXPECT_EQ(exchanged.size(), 2u);
  ASSERT_TRUE(store.sync_directory("").has_value());
  for (std::uint64_t seed = 0; seed < seeds; ++seed) EXPECT_TRUE(store.crash(seed)->stat("one/new").has_value());
}

TEST(SimulatedStore, AReplacedFileIsTheOldOrTheNewOne) {
  SimulatedStore store;
  ASSERT_TRUE(store.make_directory("attempt").has_value());
  ASSERT_TRUE(write_file(store, "file", to_bytes("old")).has_value());
  ASSERT_TRUE(store.sync_directory("").has_value());
  ASSERT_TRUE(write_file(store, "attempt/file", to_bytes("new")).has_value());
  ASSERT_TRUE(store.replace_file("attempt/file", "file").has_value());
  EXPECT_THAT(contents_after_crashes(store, "file"), ::testing::UnorderedElementsAre("old", "new"));
  ASSERT_TRUE(store.sync_directory("").has_value());
  EXPECT_THAT(contents_after_crashes(store, "file"), ::testing::ElementsAre("new"));
}

TEST(SimulatedStore, AnAppendWithoutSyncTears) {
  SimulatedStore store;
  ASSERT_TRUE(write_file(store, "file", to_bytes("old")).has_value());
  ASSERT_TRUE(store.sync_directory("").has_value());
  const auto file = store.open_file_to_write("file").value();
  ASSERT_TRUE(write_at(*file, 3, to_bytes("+new")).has_value());
  EXPECT_THAT(contents_after_crashes(store, "file"),
              ::testing::UnorderedElementsAre("old", "old+new", std::string("old\0\0\0\0", 7)));
  ASSERT_TRUE(file->sync().has_value());
  EXPECT_THAT(contents_after_crashes(store, "file"), ::testing::ElementsAre("old+new"));
}

TEST(SimulatedStore, WhatAFailedSyncDidNotWriteNoLaterOneWrites) {
  SimulatedStore store;
  ASSERT_TRUE(write_file(store, "file", to_bytes("old")).has_value());
  ASSERT_TRUE(store.sync_directory("").has_value());
  const auto file = store.open_file_to_write("file").value();
  ASSERT_TRUE(write_at(*file, 3, to_bytes("+new")).has_value());
  store.fail_sync_after(1);
  ASSERT_TRUE(write_file(store, "other", {}).has_value());
  EXPECT_EQ(file->sync().error().code(), ErrorCode::io);
  ASSERT_TRUE(file->sync().has_value());
  EXPECT_EQ(read_file(store, "file", 100).value(), to_bytes("old+new")) << "processes see it all the same";
  EXPECT_THAT(contents_after_crashes(store, "file"), ::testing::ElementsAre(std::string("old\0\0\0\0", 7)));
  ASSERT_TRUE(write_at(*file, 3, to_bytes("+new")).has_value());
  ASSERT_TRUE(file->sync().has_value());
  EXPECT_THAT(contents_after_crashes(store, "file"), ::testing::ElementsAre("old+new"));
}

TEST(SimulatedStore, SameSeedSameDisk) {
  SimulatedStore store;
  auto file = store.create_file("file", {}).value();
  ASSERT_TRUE(write_at(*file, 0, pattern(100'000, 1)).has_value());
  ASSERT_TRUE(store.make_directory("dir").has_value());
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto first = store.crash(seed);
    const auto second = store.crash(seed);
    EXPECT_EQ(first->list_directory("").value().size(), second->list_directory("").value().size());
    const auto data = read_file(*first, "file", 1 << 20);
    const auto again = read_file(*second, "file", 1 << 20);
    ASSERT_EQ(data.has_value(), again.has_value());
    if (data.has_value()) {
      EXPECT_EQ(*data, *again);
    }
  }
}

TEST(SimulatedStore, ADiskAfterACrashIsDurableAndUnlocked) {
  SimulatedStore store;
  ASSERT_TRUE(store.make_directory("dir").has_value());
  ASSERT_TRUE(store.sync_directory("").has_value());
  const auto lock = store.lock_directory("dir", LockKind::exclusive).value();
  const auto disk = store.crash(1);
  EXPECT_TRUE(disk->lock_directory("dir", LockKind::exclusive).has_value());
  ASSERT_TRUE(write_file(*disk, "dir/file", to_bytes("x")).has_value());
  ASSERT_TRUE(disk->sync_directory("dir").has_value());
  EXPECT_TRUE(disk->crash(2)->stat("dir/file").has_value());
  EXPECT_TRUE(store.stat("dir/file").has_error()) << "the old disk is another one";
}

TEST(SimulatedStore, ProcessDeathKeepsAllButMakesNothingDurable) {
  SimulatedStore store;
  ASSERT_TRUE(store.make_directory("kept").has_value());
  ASSERT_TRUE(store.sync_directory("").has_value());
  ASSERT_TRUE(store.make_directory("dir").has_value());
  auto file = store.create_file("dir/file", {}).value();
  ASSERT_TRUE(write_at(*file, 0, to_bytes("x")).has_value());
  const auto lock = store.lock_directory("dir", LockKind::exclusive).value();
  const auto next = store.after_process_death();
  EXPECT_EQ(read_file(*next, "dir/file", 1).value(), to_bytes("x"));
  EXPECT_TRUE(next->lock_directory("dir", LockKind::exclusive).has_value());
  std::set<bool> survived;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const auto disk = next->crash(seed);
    EXPECT_TRUE(disk->stat("kept").has_value());
    survived.insert(disk->stat("dir").has_value());
  }
  EXPECT_EQ(survived.size(), 2u);
}

TEST(SimulatedStore, ADeadProcessChangesNothingMore) {
  SimulatedStore store;
  store.crash_after(2);
  ASSERT_TRUE(store.make_directory("first").has_value());
  ASSERT_TRUE(store.make_directory("second").has_value());
  const auto third = store.make_directory("third");
  ASSERT_TRUE(third.has_error());
  EXPECT_EQ(third.error().code(), ErrorCode::cancelled);
  EXPECT_TRUE(store.stat("first").has_error());
  EXPECT_EQ(store.operations(), 4u);
  EXPECT_EQ(store.after_process_death()->list_directory("").value().size(), 2u);
}

// A small commit protocol; each flag leaves out one of its safeguards.
struct Omissions {
  bool file_sync = false;
  bool attempt_sync = false;
  bool rename = false;
  bool root_sync = false;
};

Result<void> publish(Store& store, std::span<const std::byte> data, const Omissions& omit) {
  const std::string attempt = omit.rename ? "final" : "attempt";
  MILEPOST_TRY(store.make_directory(attempt));
  MILEPOST_ASSIGN(auto file, store.create_file(attempt + "/data", {}));
  for (std::size_t at = 0; at < data.size(); at += 1024) {
    MILEPOST_TRY(write_at(*file, at, data.subspan(at, 1024)));
  }
  if (!omit.file_sync) MILEPOST_TRY(file->sync());
  MILEPOST_TRY(file->close());
  if (!omit.attempt_sync) MILEPOST_TRY(store.sync_directory(attempt));
  if (!omit.rename) MILEPOST_TRY(store.rename_no_replace(attempt, "final"));
  if (!omit.root_sync) MILEPOST_TRY(store.sync_directory(""));
  return {};
}

// Crashes at every operation, in many ways. Returns how often the rule was broken: an acknowledged
// result is there, and what is there under the final name is whole.
int broken_rules(const Omissions& omit) {
  const auto data = pattern(4096, 9);
  int broken = 0;
  for (std::uint64_t point = 0;; ++point) {
    SimulatedStore store;
    store.crash_after(point);
    const bool acknowledged = publish(store, data, omit).has_value();
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      const auto disk = store.crash(seed);
      const bool visible = disk->stat("final").has_value();
      const auto found = read_file(*disk, "final/data", 1 << 20);
      const bool whole = found.has_value() && *found == data;
      if (visible ? !whole : acknowledged) ++broken;
    }
    if (acknowledged) return broken;
  }
}

TEST(SimulatedStore, CatchesEveryOmittedSafeguard) {
  EXPECT_EQ(broken_rules({}), 0);
  EXPECT_GT(broken_rules({.file_sync = true}), 0);
  EXPECT_GT(broken_rules({.attempt_sync = true}), 0);
  EXPECT_GT(broken_rules({.rename = true}), 0);
  EXPECT_GT(broken_rules({.root_sync = true}), 0);
}

TEST(FaultStore, EveryOperationCanFail) {
  const auto data = pattern(4096, 9);
  std::uint64_t failures = 0;
  for (std::uint64_t point = 0;; ++point) {
    FaultStore store(std::make_shared<SimulatedStore>());
    store.inject({.system_errno = ENOSPC, .after = point});
    const auto result = publish(store, data, {});
    EXPECT_THAT(store.violations(), ::testing::IsEmpty());
    if (store.faults_fired() == 0) {
      EXPECT_TRUE(result.has_value());
      EXPECT_EQ(store.operations(), point);
      break;
    }
    ++failures;
    ASSERT_TRUE(result.has_error()) << "a false success at operation " << point;
    EXPECT_EQ(result.error().code(), ErrorCode::no_space);
    EXPECT_TRUE(store.log().back().failed_on_purpose);
  }
  EXPECT_EQ(failures, 11u);
}

TEST(FaultStore, PicksByKindAndPathOnceOrForEver) {
  FaultStore store(std::make_shared<SimulatedStore>());
  store.inject({.after = 1, .operations = {Operation::make_directory}, .path_contains = "x"});
  EXPECT_TRUE(store.make_directory("a").has_value());
  EXPECT_TRUE(store.make_directory("x1").has_value());
  EXPECT_TRUE(store.list_directory("x1").has_value());
  EXPECT_TRUE(store.make_directory("x2").has_error());
  EXPECT_TRUE(store.stat("x2").has_error());
  EXPECT_TRUE(store.make_directory("x2").has_value());
  store.inject({.forever = true, .operations = {Operation::make_directory}});
  EXPECT_TRUE(store.make_directory("b").has_error());
  EXPECT_TRUE(store.make_directory("b").has_error());
  store.heal();
  EXPECT_TRUE(store.make_directory("b").has_value());
  EXPECT_EQ(store.faults_fired(), 3u);
}

TEST(FaultStore, AnOperationCanTakeEffectAndYetFail) {
  FaultStore store(std::make_shared<SimulatedStore>());
  store.inject({.operations = {Operation::rename}, .takes_effect = true});
  ASSERT_TRUE(store.make_directory("from").has_value());
  EXPECT_TRUE(store.rename_no_replace("from", "to").has_error());
  EXPECT_TRUE(store.stat("to").has_value());
}

TEST(FaultStore, ASecondSyncAfterAFailedOneIsAViolation) {
  FaultStore store(std::make_shared<SimulatedStore>());
  store.inject({.operations = {Operation::sync}});
  auto file = store.create_file("file", {}).value();
  EXPECT_EQ(file->sync().error().system_errno(), EIO);
  EXPECT_EQ(write_at(*file, 0, to_bytes("x")).error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(store.violations(), ::testing::IsEmpty());
  EXPECT_TRUE(file->sync().has_error());
  EXPECT_THAT(store.violations(), ::testing::SizeIs(1));
}

}  // namespace
}  // namespace milepost::testing
