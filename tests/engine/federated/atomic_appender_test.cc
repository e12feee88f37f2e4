// Appends that are whole or gone, and what others wrote, which stays.
#include "milepost/engine/federated/atomic_appender.h"

#include "tests/engine/federated/releases.h"
#include "tests/engine/saving.h"
#include "tests/support/fault_store.h"
#include "tests/support/trials.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>

namespace milepost::testing {
namespace {

constexpr const char* file = "rows";
const std::string before = "one\r\ntwo\r\n";
// Several sectors long, so that it tears.
const std::string row = [] {
  std::string text;
  for (int i = 0; text.size() < 1500; ++i) text += std::to_string(i) + ",";
  return text + "\r\n";
}();

std::unique_ptr<AtomicAppender> open(Store& store) { return AtomicAppender::open(store, file).value(); }

// A disk whose process died between the record and the append.
std::shared_ptr<SimulatedStore> disk_with_record() {
  std::shared_ptr<SimulatedStore> last;
  for (std::uint64_t point = 0;; ++point) {
    SimulatedStore store;
    put_text(store, before, file);
    store.crash_after(point);
    if (auto appender = AtomicAppender::open(store, file); appender.has_value()) {
      static_cast<void>((*appender)->append(before.size(), row));
    }
    std::shared_ptr<SimulatedStore> disk = store.after_process_death();
    if (text_of(*disk, file) != before) return last;
    last = std::move(disk);
  }
}

TEST(AtomicAppender, AppendsAndLeavesNothingBeside) {
  SimulatedStore store;
  put_text(store, before, file);
  {
    auto appender = open(store);
    EXPECT_OK(appender->append(before.size(), "three\r\n"));
    EXPECT_OK(appender->append(before.size() + 7, "four\r\n"));
    EXPECT_EQ(text_of(store, file), before + "three\r\nfour\r\n");
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      EXPECT_EQ(text_of(*store.crash(seed), file), before + "three\r\nfour\r\n");
    }
  }
  EXPECT_THAT(names_in(store), ::testing::ElementsAre("rows"));
}

TEST(AtomicAppender, OneAtATime) {
  SimulatedStore store;
  {
    const auto first = open(store);
    expect_error(AtomicAppender::open(store, file), ErrorCode::unavailable, {"open to release into"});
  }
  EXPECT_OK(AtomicAppender::open(store, file));
}

TEST(AtomicAppender, ATornAppendIsCutOff) {
  std::set<std::string> seen;
  for (std::uint64_t point = 0;; ++point) {
    SimulatedStore store;
    put_text(store, before, file);
    store.crash_after(point);
    bool done = false;
    {
      auto appender = AtomicAppender::open(store, file);
      done = appender.has_value() && (*appender)->append(before.size(), row).has_value();
      if (done) store.crash_after(0);  // nothing is tidied up
    }
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      const auto disk = store.crash(point * 100 + seed);
      seen.insert(text_of(*disk, file));
      ASSERT_EQ(error_of(AtomicAppender::open(*disk, file)), "");
      const std::string text = text_of(*disk, file);
      ASSERT_EQ(text, text == before && !done ? before : before + row) << "after " << point << " operations";
      EXPECT_THAT(names_in(*disk), ::testing::ElementsAre("rows"));
    }
    if (done) break;
  }
  EXPECT_GT(seen.size(), 6u) << "nothing was ever torn";
}

// Even if the power fails while the torn row is being cut off.
TEST(AtomicAppender, CuttingOffMayBeInterrupted) {
  const std::string torn = before + row.substr(0, 512 - before.size()) + std::string(200, '\0');
  for (std::uint64_t point = 0;; ++point) {
    const auto disk = disk_with_record();
    put_text(*disk, torn, file);
    disk->crash_after(point);
    const bool opened = AtomicAppender::open(*disk, file).has_value();
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const auto after = disk->crash(seed);
      ASSERT_EQ(error_of(AtomicAppender::open(*after, file)), "");
      ASSERT_EQ(text_of(*after, file), before) << point;
    }
    if (opened) break;
  }
}

TEST(AtomicAppender, WhatOthersWroteStays) {
  for (const std::string& text : {
           before + "three\r\n",                                // a row in place of the torn one
           before + row + "more\r\n",                           // a row behind it
           before + row.substr(0, 100) + "x",                   // part of it, and something else
           std::string("One\r\ntwo\r\n") + row.substr(0, 600),  // what was before has changed
           std::string("one\r\n"),                              // rows are gone
           std::string(),
       }) {
    const auto disk = disk_with_record();
    put_text(*disk, text, file);
    EXPECT_OK(AtomicAppender::open(*disk, file));
    EXPECT_EQ(text_of(*disk, file), text);
  }
  const auto disk = disk_with_record();
  EXPECT_OK(disk->remove_file(file));
  EXPECT_OK(AtomicAppender::open(*disk, file));
  EXPECT_EQ(text_of(*disk, file), "<not_found>");
}

// What was appended whole may be changed by anybody, also to what looks like a part of it.
TEST(AtomicAppender, WhatWasAcknowledgedIsOverWith) {
  SimulatedStore store;
  put_text(store, before, file);
  auto appender = open(store);
  EXPECT_OK(appender->append(before.size(), row));
  const auto disk = store.after_process_death();
  put_text(*disk, before + row.substr(0, 100), file);
  EXPECT_OK(AtomicAppender::open(*disk, file));
  EXPECT_EQ(text_of(*disk, file), before + row.substr(0, 100));
}

TEST(AtomicAppender, AFileOfAnotherSizeIsNotAppendedTo) {
  SimulatedStore store;
  put_text(store, before, file);
  auto appender = open(store);
  put_text(store, before + "three\r\n", file);
  expect_error(appender->append(before.size(), row), ErrorCode::unavailable, {"somebody else"});
  EXPECT_EQ(text_of(store, file), before + "three\r\n");
  EXPECT_EQ(store.stat(".rows.milepost/append").error().code(), ErrorCode::not_found) << "nothing was begun";
}

// Somebody else comes while the record is made durable, which takes its time, or right before the row is written.
TEST(AtomicAppender, WhatOthersDoMeanwhileStays) {
  const std::string longer = before + "three\r\n";
  const std::string other = "One\r\ntwo\r\n";
  const auto appends = [&](SimulatedStore& disk) {
    const auto rows = disk.open_file_to_write(file).value();
    EXPECT_OK(write_at(*rows, before.size(), to_bytes("three\r\n")));
  };
  const auto replaces = [&](const std::string& text) {
    return [=](SimulatedStore& disk) { put_text(disk, text, file); };
  };
  struct Case {
    Operation moment;
    const char* path;
    std::function<void(SimulatedStore&)> change;
    std::string text;
  };
  for (const Case& c :
       {Case{Operation::sync, ".rows.milepost/append", appends, longer},
        Case{Operation::sync, ".rows.milepost/append", replaces(longer), longer},
        Case{Operation::sync, ".rows.milepost/append", replaces(other), other},
        Case{Operation::write, file, replaces(longer), longer}, Case{Operation::write, file, replaces(other), other}}) {
    const auto disk = std::make_shared<SimulatedStore>();
    put_text(*disk, before, file);
    HookStore hooks(disk);
    auto appender = open(hooks);
    const Meanwhile meanwhile(hooks, c.moment, c.path, [&] { c.change(*disk); });
    expect_error(appender->append(before.size(), row), ErrorCode::unavailable, {"somebody else"});
    EXPECT_TRUE(meanwhile.happened());
    EXPECT_EQ(text_of(*disk, file), c.text);
    EXPECT_OK(appender->append(c.text.size(), row));
    EXPECT_EQ(text_of(*disk, file), c.text + row);
  }
}

TEST(AtomicAppender, AFailureIsUndone) {
  for (const bool takes_effect : {false, true}) {
    for (std::uint64_t n = 0;; ++n) {
      auto disk = std::make_shared<SimulatedStore>();
      put_text(*disk, before, file);
      FaultStore faults(disk);
      auto appender = open(faults);
      faults.inject({.system_errno = ENOSPC, .after = n, .takes_effect = takes_effect});
      const auto appended = appender->append(before.size(), row);
      if (faults.faults_fired() == 0) break;
      EXPECT_THAT(faults.violations(), ::testing::IsEmpty());
      faults.heal();
      EXPECT_EQ(text_of(*disk, file), appended.has_value() ? before + row : before) << n;
      if (appended.has_error()) {
        EXPECT_EQ(appended.error().code(), ErrorCode::no_space);
        EXPECT_OK(appender->append(before.size(), row));
        EXPECT_EQ(text_of(*disk, file), before + row) << n;
      }
    }
  }
}

// What goes wrong in the life of one process.
struct Mishap {
  enum Kind : std::uint8_t { death, fault, fault_from_then_on, lost_sync } kind;
  std::uint64_t after;  // operations; of a lost_sync, fsyncs
};
constexpr Mishap::Kind kinds[] = {Mishap::death, Mishap::fault, Mishap::fault_from_then_on, Mishap::lost_sync};

// A process that opens the file, and appends to it if it is as before; whether it was told that all went well.
bool live(const std::shared_ptr<SimulatedStore>& disk, Mishap mishap, bool appends) {
  const auto faults = std::make_shared<FaultStore>(disk);
  if (mishap.kind == Mishap::death) disk->crash_after(mishap.after);
  if (mishap.kind == Mishap::lost_sync) disk->fail_sync_after(mishap.after);
  if (mishap.kind == Mishap::fault || mishap.kind == Mishap::fault_from_then_on) {
    faults->inject({.after = mishap.after, .forever = mishap.kind == Mishap::fault_from_then_on});
  }
  auto appender = AtomicAppender::open(*faults, file);
  if (appender.has_error()) return false;
  return !appends || (*appender)->append(before.size(), row).has_value();
}

// A process fails to append, the next one fails to repair that, a third one finds all well; then the power fails.
TEST(AtomicAppender, WhateverHappensToTwoProcessesTheThirdSettlesIt) {
  const std::uint64_t stride = trials<std::uint64_t>(3, 1);
  std::size_t histories = 0;
  std::set<std::string> seen;
  for (const Mishap::Kind first : kinds) {
    for (const Mishap::Kind second : kinds) {
      for (std::uint64_t n = 0; n < 30; ++n) {
        const auto disk = std::make_shared<SimulatedStore>();
        put_text(*disk, before, file);
        const bool appended = live(disk, {first, n}, true);
        for (std::uint64_t m = n % stride; m < 16; m += stride, ++histories) {
          SCOPED_TRACE(std::to_string(first) + " at " + std::to_string(n) + ", " + std::to_string(second) + " at " +
                       std::to_string(m));
          const std::shared_ptr<SimulatedStore> second_life = disk->after_process_death();
          live(second_life, {second, m}, false);
          const std::shared_ptr<SimulatedStore> third_life = second_life->after_process_death();
          EXPECT_OK(AtomicAppender::open(*third_life, file));
          const std::string settled = text_of(*third_life, file);
          ASSERT_TRUE(settled == before + row || (!appended && settled == before)) << settled;
          for (std::uint64_t seed = 0; seed < 3; ++seed) {
            const auto after = third_life->crash(m * 8 + seed);
            EXPECT_OK(AtomicAppender::open(*after, file));
            ASSERT_EQ(text_of(*after, file), settled);
          }
          seen.insert(settled);
        }
        if (appended && first != Mishap::lost_sync) break;
      }
    }
  }
  EXPECT_EQ(seen.size(), 2u);
  report_trials("histories of an append", histories);
}

// In one process: the append fails, and so does its undoing; when that has succeeded later, no power cut undoes it.
TEST(AtomicAppender, ARepairIsDurable) {
  for (std::uint64_t n = 0; n < 4; ++n) {
    auto disk = std::make_shared<SimulatedStore>();
    put_text(*disk, before, file);
    FaultStore faults(disk);
    auto appender = open(faults);
    faults.inject({.after = n, .forever = true, .operations = {Operation::sync}, .path_contains = file});
    static_cast<void>(appender->append(before.size(), row));
    faults.heal();
    EXPECT_OK(appender->repair());
    const std::string repaired = text_of(*disk, file);
    appender.reset();
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      const auto after = disk->crash(seed);
      EXPECT_OK(AtomicAppender::open(*after, file));
      ASSERT_EQ(text_of(*after, file), repaired) << n;
    }
  }
}

TEST(AtomicAppender, WhatCannotBeUndoneAtOnceIsUndoneLater) {
  for (const bool in_process : {true, false}) {
    auto disk = std::make_shared<SimulatedStore>();
    put_text(*disk, before, file);
    FaultStore faults(disk);
    auto appender = open(faults);
    // The write is there, the fsync fails, and so does all that comes after it.
    faults.inject({.after = 1, .forever = true, .operations = {Operation::sync, Operation::truncate}});
    expect_error(appender->append(before.size(), row), ErrorCode::io, {"could not be cut off"});
    EXPECT_EQ(text_of(*disk, file), before + row);
    if (in_process) {
      faults.heal();
      EXPECT_OK(appender->repair());
    } else {
      appender.reset();
      const auto next = disk->after_process_death();
      EXPECT_OK(AtomicAppender::open(*next, file));
      EXPECT_EQ(text_of(*next, file), before + row) << "whole: nobody knows that it was reported as failed";
      continue;
    }
    EXPECT_EQ(text_of(*disk, file), before);
    EXPECT_OK(appender->append(before.size(), row));
  }
}

}  // namespace
}  // namespace milepost::testing
