// Releases in the format of checkpoints when operations fail, when the process dies, and while others read.
#include "milepost/engine/federated/file_release_manager.h"
#include "tests/engine/federated/releases.h"
#include "tests/support/fault_store.h"

#include <atomic>
#include <optional>
#include <thread>

namespace milepost::testing {
namespace {

// The text of that key; or, in angle brackets, why there is none.
std::string text_at(FileReleaseManager& manager, std::int64_t key) {
  const auto value = manager.get_value(key);
  if (value.has_error()) return "<" + std::string(to_string(value.error().code())) + ">";
  const auto* text = value->get_if<std::string>();
  return text ? *text : "<" + value->describe() + ">";
}

struct FileVariant {
  bool forever;
  bool takes_effect;
};

class FaultOfFiles : public ::testing::TestWithParam<FileVariant> {};
INSTANTIATE_TEST_SUITE_P(Variants, FaultOfFiles,
                         ::testing::Values(FileVariant{false, false}, FileVariant{true, false},
                                           FileVariant{false, true}));

TEST_P(FaultOfFiles, OfEveryOperation) {
  for (std::uint64_t n = 0;; ++n) {
    SCOPED_TRACE("operation " + std::to_string(n));
    const auto faults = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
    faults->inject({.after = n, .forever = GetParam().forever, .takes_effect = GetParam().takes_effect});
    auto opened = FileReleaseManager::open("simulated", {.store = faults});
    if (opened.has_error()) {
      EXPECT_EQ(opened.error().code(), ErrorCode::io) << error_of(opened);
      faults->heal();
      opened = FileReleaseManager::open("simulated", {.store = faults});
      ASSERT_TRUE(opened.has_value()) << error_of(opened);
    }
    // A first release, one that overwrites it, and another key.
    std::string before = "<not_found>";
    for (const auto& [key, text] : {std::pair<std::int64_t, std::string>{5, "old"}, {5, "new"}, {7, "other"}}) {
      if (key == 7) before = "<not_found>";
      const auto released = opened->release(text, key);
      if (released.has_error()) {
        EXPECT_EQ(released.error().code(), ErrorCode::io) << error_of(released);
        EXPECT_THAT(error_of(released), ::testing::StartsWith("release " + std::to_string(key)));
        faults->heal();
        const std::string found = text_at(*opened, key);
        EXPECT_TRUE(found == before || found == text) << found << "\n" << error_of(released);
        EXPECT_OK(opened->release(text, key));
      }
      std::string found = text_at(*opened, key);
      if (found == "<io>") {
        faults->heal();
        found = text_at(*opened, key);
      }
      EXPECT_EQ(found, text);
      before = text;
    }
    EXPECT_THAT(faults->violations(), ::testing::IsEmpty());
    if (faults->faults_fired() == 0 || HasFailure()) {
      EXPECT_GT(n, 20u);
      return;
    }
  }
}

// The first release of a key: all of it, or none.
TEST(FileReleaseCrash, AtEveryPoint) {
  for (std::uint64_t n = 0;; ++n) {
    SCOPED_TRACE("after " + std::to_string(n) + " operations");
    const auto store = std::make_shared<SimulatedStore>();
    store->crash_after(n);
    bool done = false;
    if (auto opened = FileReleaseManager::open("simulated", {.store = store}); opened.has_value()) {
      done = opened->release("first", 5).has_value();
    }
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      const std::shared_ptr<SimulatedStore> disk =
          seed == 0 ? store->after_process_death() : store->crash(n * 4 + seed);
      auto next = open_files(disk);
      const std::string found = text_at(next, 5);
      EXPECT_TRUE(found == "first" || (found == "<not_found>" && !done)) << found;
      EXPECT_OK(next.release("second", 5));
      EXPECT_EQ(text_at(next, 5), "second");
      EXPECT_THAT(names_in(*disk), ::testing::ElementsAre("milepost.json", "release_5"));
    }
    if (HasFailure() || store->operations() < n) break;
  }
}

// Readers find the old value or the new one, and what they find never goes back.
TEST(FileReleaseConcurrency, ReadersBesideReleasers) {
  const auto store = std::make_shared<SimulatedStore>();
  auto manager = open_files(store);
  auto elsewhere = open_files(store);
  EXPECT_OK(manager.release(std::int64_t{0}, 1));
  std::atomic<bool> done = false;
  {
    std::vector<std::jthread> readers;
    for (FileReleaseManager* const reader : {&manager, &elsewhere}) {
      readers.emplace_back([&, reader] {
        std::int64_t seen = 0;
        // Whoever reads elsewhere all the time would let nobody release.
        for (int reads = 0; !done && (reader == &manager || reads < 20); ++reads) {
          const auto value = reader->get_value(1);
          ASSERT_TRUE(value.has_value()) << error_of(value);
          const std::int64_t found = *value->get_if<std::int64_t>();
          EXPECT_GE(found, seen);
          seen = found;
        }
      });
    }
    for (std::int64_t next = 1; next <= 8;) {
      const auto released = manager.release(next, 1);
      if (released.has_value()) {
        ++next;
        continue;
      }
      // The other manager's reader has it open at this moment.
      EXPECT_EQ(released.error().code(), ErrorCode::unavailable) << error_of(released);
    }
    done = true;
  }
  EXPECT_EQ(*elsewhere.get_value(1)->get_if<std::int64_t>(), 8);
}

}  // namespace
}  // namespace milepost::testing
