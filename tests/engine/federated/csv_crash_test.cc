// The power fails, the process dies, or an operation fails, at every point of opening, appending and rewriting: the
// file is that of before or of after, and what was acknowledged is in it.
#include "tests/engine/federated/releases.h"
#include "tests/support/fault_store.h"
#include "tests/support/trials.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <random>
#include <vector>

namespace milepost::testing {
namespace {

struct Release {
  std::int64_t key;
  ProgramValue value;
};

// An append, one of many sectors, a rewrite for a column, one that removes, and appends behind them.
const std::vector<Release>& releases() {
  static const std::vector<Release> all = [] {
    std::string numbers;
    for (int i = 0; numbers.size() < 1800; ++i) numbers += std::to_string(i) + ", ";
    ProgramValue more = loss(0.25);
    more["note"] = "a \"note\"";
    ProgramValue large = loss(0.5);
    large["note"] = numbers;
    return std::vector<Release>{{1, loss(1)}, {2, more}, {3, large}, {4, loss(0.75)}, {3, more}, {5, large}};
  }();
  return all;
}

// How, and to what file.
struct Target {
  CsvSaveMode mode;
  const char* name;

  Result<CsvFileReleaseManager> open(const std::shared_ptr<Store>& store) const {
    return CsvFileReleaseManager::open(name, {.save_mode = mode, .store = store});
  }
};
constexpr Target appended = {CsvSaveMode::append, "metrics.csv"};
constexpr Target written = {CsvSaveMode::write, "metrics.csv"};
constexpr Target gzipped = {CsvSaveMode::write, "metrics.csv.gz"};
constexpr Target zstd = {CsvSaveMode::write, "metrics.csv.zst"};

std::string name_of(const Target& target) {
  std::string name = target.name;
  std::ranges::replace(name, '.', '_');
  return (target.mode == CsvSaveMode::append ? "append_to_" : "write_") + name;
}

// The rows before all of them, and after each.
const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = [] {
    const auto store = std::make_shared<SimulatedStore>();
    auto manager = open_csv(store);
    std::vector<std::string> found = {text_of(*store)};
    for (const Release& release : releases()) {
      EXPECT_OK(manager.release(release.value, release.key));
      found.push_back(text_of(*store));
    }
    return found;
  }();
  return all;
}

// Releases until the process is dead; how many were acknowledged, none if the file was not opened.
std::optional<std::size_t> live(const std::shared_ptr<Store>& store, const Target& target) {
  auto opened = target.open(store);
  if (opened.has_error()) return std::nullopt;
  std::size_t acknowledged = 0;
  for (const Release& release : releases()) {
    if (opened->release(release.value, release.key).has_error()) break;
    ++acknowledged;
  }
  return acknowledged;
}

// A new process on what is left.
void expect_good(const std::shared_ptr<SimulatedStore>& disk, std::optional<std::size_t> acknowledged,
                 const Target& target) {
  const std::size_t before = acknowledged.value_or(0);
  const std::size_t after = std::min(before + 1, releases().size());
  if (target.mode == CsvSaveMode::write && acknowledged) {
    const std::string text = rows_of(*disk, target.name);  // without anybody's help
    EXPECT_TRUE(text == texts()[before] || text == texts()[after]) << text;
  }
  auto opened = target.open(disk);
  ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
  const std::string text = rows_of(*disk, target.name);
  EXPECT_TRUE(text == texts()[before] || text == texts()[after]) << text;
  EXPECT_THAT(names_in(*disk), ::testing::ElementsAre("." + std::string(target.name) + ".milepost", target.name))
      << "not swept";
  EXPECT_OK(opened->release(loss(9), 9));
  EXPECT_EQ(rows_of(*disk, target.name), text == "key\r\n"                       ? "key,loss\r\n9,9.0\r\n"
                                         : text.starts_with("key,loss,note\r\n") ? text + "9,9.0,\r\n"
                                                                                 : text + "9,9.0\r\n");
}

class CsvCrash : public ::testing::TestWithParam<Target> {};
INSTANTIATE_TEST_SUITE_P(Targets, CsvCrash, ::testing::Values(appended, written, gzipped, zstd),
                         [](const auto& target) { return name_of(target.param); });

TEST_P(CsvCrash, AtEveryPoint) {
  for (std::uint64_t n = 0;; n += stride_under_sanitizer(5)) {
    const auto store = std::make_shared<SimulatedStore>();
    store->crash_after(n);
    const auto acknowledged = live(store, GetParam());
    SCOPED_TRACE("after " + std::to_string(n) + " operations, with " + std::to_string(acknowledged.value_or(0)) +
                 " releases acknowledged");
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      expect_good(store->crash(n * 16 + seed), acknowledged, GetParam());
    }
    expect_good(store->after_process_death(), acknowledged, GetParam());
    if (HasFailure() || store->operations() < n) break;
  }
}

// Also while the next process repairs: the file of before or of after, whichever the first repair found.
TEST(CsvCrash, WhileItIsRepaired) {
  for (std::uint64_t n = 20; n < 110; n += 3) {
    const auto store = std::make_shared<SimulatedStore>();
    store->crash_after(n);
    const auto acknowledged = live(store, appended);
    const std::shared_ptr<SimulatedStore> disk = store->crash(n);
    for (std::uint64_t point = 0; point < 12; ++point) {
      const std::shared_ptr<SimulatedStore> again = disk->crash(0);
      again->crash_after(point);
      static_cast<void>(CsvFileReleaseManager::open(csv_name, {.store = again}));
      expect_good(again->crash(n * 16 + point), acknowledged, appended);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

// The process dies, and the power fails when the next one has opened the file, and has made use of what it found.
TEST(CsvCrash, AfterItIsRepaired) {
  for (std::uint64_t n = 0;; ++n) {
    const auto store = std::make_shared<SimulatedStore>();
    store->crash_after(n);
    const auto acknowledged = live(store, appended);
    SCOPED_TRACE("after " + std::to_string(n) + " operations");
    const std::shared_ptr<SimulatedStore> disk = store->after_process_death();
    auto opened = CsvFileReleaseManager::open(csv_name, {.store = disk});
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    const std::string found = text_of(*disk);
    EXPECT_OK(opened->release(loss(9), 9));
    const std::string released = text_of(*disk);
    for (const bool closed : {false, true}) {
      if (closed) static_cast<void>(std::move(opened).value());
      for (std::uint64_t seed = 0; seed < 8; ++seed) EXPECT_EQ(text_of(*disk->crash(n * 16 + seed)), released);
    }
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      const std::shared_ptr<SimulatedStore> again = store->after_process_death();
      EXPECT_OK(CsvFileReleaseManager::open(csv_name, {.store = again}));
      expect_good(again->crash(n * 16 + seed), acknowledged, appended);
    }
    if (::testing::Test::HasFailure() || store->operations() < n) break;
  }
}

struct CsvVariant {
  Target target;
  int system_errno;
  bool forever;
  bool takes_effect;
};

class CsvFault : public ::testing::TestWithParam<CsvVariant> {};
INSTANTIATE_TEST_SUITE_P(
    Variants, CsvFault,
    ::testing::Values(CsvVariant{appended, EIO, false, false}, CsvVariant{appended, ENOSPC, true, false},
                      CsvVariant{appended, EIO, false, true}, CsvVariant{appended, EIO, true, true},
                      CsvVariant{written, ENOSPC, false, false}, CsvVariant{written, EIO, false, true},
                      CsvVariant{gzipped, ENOSPC, true, false}, CsvVariant{zstd, EIO, false, false}));

TEST_P(CsvFault, OfEveryOperation) {
  const CsvVariant variant = GetParam();
  for (std::uint64_t n = 0;; ++n) {
    const auto disk = std::make_shared<SimulatedStore>();
    const auto faults = std::make_shared<FaultStore>(disk);
    faults->inject({.system_errno = variant.system_errno,
                    .after = n,
                    .forever = variant.forever,
                    .takes_effect = variant.takes_effect});
    SCOPED_TRACE("operation " + std::to_string(n));
    const char* const name = variant.target.name;
    auto manager = variant.target.open(faults);
    if (manager.has_error()) {
      EXPECT_EQ(manager.error().system_errno(), variant.system_errno) << manager.error().to_string();
      faults->heal();
      manager = variant.target.open(faults);
      ASSERT_TRUE(manager.has_value()) << manager.error().to_string();
    }
    for (std::size_t i = 0; i < releases().size(); ++i) {
      const Release& release = releases()[i];
      const auto released = manager->release(release.value, release.key);
      if (released.has_value()) {
        ASSERT_EQ(rows_of(*disk, name), texts()[i + 1]);
        continue;
      }
      EXPECT_EQ(released.error().code(), variant.system_errno == EIO ? ErrorCode::io : ErrorCode::no_space);
      EXPECT_THAT(released.error().to_string(), ::testing::StartsWith("release " + std::to_string(release.key)));
      faults->heal();
      const std::string text = rows_of(*disk, name);
      const std::string story = released.error().to_string();
      const bool unknown = story.find("unknown") != std::string::npos || story.find("cut off") != std::string::npos ||
                           variant.takes_effect;
      EXPECT_TRUE(text == texts()[i] || (unknown && text == texts()[i + 1])) << story << "\n" << text;
      ASSERT_EQ(error_of(manager->release(release.value, release.key)), "");
      ASSERT_EQ(rows_of(*disk, name), texts()[i + 1]) << story;
    }
    EXPECT_THAT(faults->violations(), ::testing::IsEmpty());
    const bool fired = faults->faults_fired() > 0;
    faults->heal();
    static_cast<void>(std::move(manager).value());
    const auto next = disk->after_process_death();
    EXPECT_OK(variant.target.open(disk->after_process_death()));
    EXPECT_EQ(rows_of(*next, name), texts().back());
    if (!fired || HasFailure()) break;
  }
}

// A program that is started again and again, and in each of its lives meets something else, until all is released.
void live_again_and_again(const Target& target, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::uint64_t below) { return random() % below; };
  std::shared_ptr<SimulatedStore> disk = std::make_shared<SimulatedStore>();
  std::size_t acknowledged = 0;  // releases: as many are there at the least
  std::size_t tried = 0;         // and these at the most
  for (int life = 0; acknowledged < releases().size(); ++life) {
    SCOPED_TRACE("life " + std::to_string(life) + ", " + std::to_string(acknowledged) + " releases acknowledged");
    const auto faults = std::make_shared<FaultStore>(disk);
    if (life < 5) {
      const std::uint64_t after = draw(40);
      switch (draw(4)) {
        case 0: disk->crash_after(after); break;
        case 1: disk->fail_sync_after(draw(6)); break;
        case 2: faults->inject({.after = after, .takes_effect = draw(2) == 0}); break;
        default: faults->inject({.system_errno = ENOSPC, .after = after, .forever = true});
      }
    }
    if (auto opened = target.open(faults); opened.has_value()) {
      // Of a disk whose process is dead by now nothing can be read.
      const std::string found = rows_of(*disk, target.name);
      const auto begin = texts().begin() + static_cast<std::ptrdiff_t>(acknowledged);
      const auto end = texts().begin() + static_cast<std::ptrdiff_t>(tried) + 1;
      const auto at = std::find(begin, end, found);
      ASSERT_TRUE(at != end || found.front() == '<') << found;
      std::size_t next = at == end ? acknowledged : static_cast<std::size_t>(at - texts().begin());
      for (int failures = 0; next < releases().size() && failures < 2;) {
        tried = std::max(tried, next + 1);
        if (opened->release(releases()[next].value, releases()[next].key).has_value()) {
          acknowledged = tried = ++next;
        } else if (++failures == 1 && draw(2) == 0) {
          faults->heal();
        }
      }
      if (draw(3) == 0) disk->crash_after(0);  // nothing is tidied up
    }
    ASSERT_THAT(faults->violations(), ::testing::IsEmpty());
    disk = draw(2) == 0 ? disk->after_process_death() : disk->crash(seed * 16 + static_cast<std::uint64_t>(life));
  }
  EXPECT_OK(target.open(disk));
  EXPECT_EQ(rows_of(*disk, target.name), texts().back());
}

TEST(CsvHistory, FaultsAndDeathsAndPowerCutsInAnyOrder) {
  const std::uint64_t count = trials<std::uint64_t>(300, 20'000);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Target& target = i % 3 == 2 ? written : appended;
    SCOPED_TRACE(name_of(target) + ", seed " + std::to_string(seed() + i));
    live_again_and_again(target, seed() + i);
    if (::testing::Test::HasFailure()) break;
  }
  report_trials("histories of a CSV file", count);
}

}  // namespace
}  // namespace milepost::testing
