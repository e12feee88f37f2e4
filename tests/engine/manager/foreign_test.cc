// Steps that somebody else made: another version of the library, or a person with a copy command.
#include "milepost/engine/format/names.h"
#include "tests/engine/saving.h"
#include "tests/engine/small_steps.h"
#include "tests/support/bytes.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Foreign : public ::testing::Test {
 protected:
  Foreign() {
    auto manager = open_manager(small_options(), root);
    save_all(manager, {1, 2, 3});
    EXPECT_OK(manager.close());
  }

  // Changes a step's record, and says again what its digest is.
  void change_record(std::int64_t step, const std::string& what, const std::string& with) const {
    const fs::path path = fs::path(root) / std::to_string(step) / step_record_name;
    std::ifstream file(path, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(file), {});
    text.erase(0, text.find('\n') + 1);
    ASSERT_NE(text.find(what), std::string::npos) << text;
    text.replace(text.find(what), what.size(), with);
    std::ofstream(path, std::ios::binary) << "{\"xxh3_128\":\"" << Digest::of(text).hex() << "\",\n" << text;
  }

  CheckpointManager keeping(int max_to_keep) const {
    auto options = small_options();
    options.max_to_keep = max_to_keep;
    return open_manager(options, root);
  }

  const TempDir there;
  const std::string root = there.string();
};

// Its record has fields that we do not know: it is a step like any other.
TEST_F(Foreign, OfANewerMinorVersion) {
  for (const std::int64_t step : {1, 3}) {
    change_record(step, "\"minor\":1}", "\"minor\":7},\n\"weather\":{\"sky\":[\"blue\"]}");
  }
  auto manager = keeping(2);
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1, 2, 3));
  EXPECT_HOLDS(manager, 3, tree_of(3));
  EXPECT_EQ(manager.metadata(3)->step, 3);
  EXPECT_TRUE(manager.open_step(3)->verify()->empty());
  save_all(manager, {4});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(3, 4));
}

// Nobody knows what it holds: it is not read, not removed and not counted.
TEST_F(Foreign, OfANewerMajorVersion) {
  change_record(2, "\"major\":1", "\"major\":2");
  auto manager = keeping(2);
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1, 2, 3));
  EXPECT_EQ(manager.restore(2).error().code(), ErrorCode::failed_precondition);
  EXPECT_HOLDS(manager, 3, tree_of(3));
  save_all(manager, {4});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(2, 3, 4));
  EXPECT_THAT(manager.preservation_plan()->front().reason, HasSubstr("cannot be read"));
}

TEST_F(Foreign, WhoseRecordNamesAnotherStep) {
  fs::copy(root + "/2", root + "/7", fs::copy_options::recursive);
  auto manager = keeping(1);
  EXPECT_EQ(manager.latest_step(), 7);
  for (const auto& error : {error_of(manager.restore()), error_of(manager.restore(7)), error_of(manager.metadata(7)),
                            error_of(manager.open_step(7))}) {
    EXPECT_THAT(error, HasSubstr("step 7: 7/step.json: is the record of step 2"));
  }
  EXPECT_HOLDS(manager, 2, tree_of(2));
  save_all(manager, {8});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(7, 8)) << "it is kept, and counts for nothing";
}

// A file, a link to a step and a directory without a record have names of steps.
TEST_F(Foreign, NamesAlone) {
  std::ofstream(root + "/5") << "mine";
  fs::create_directory_symlink(root + "/3", root + "/6");
  fs::create_directories(root + "/7/state");
  auto manager = keeping(1);
  EXPECT_THAT(manager.all_steps().value(), ElementsAre(1, 2, 3));
  for (const std::int64_t step : {5, 6, 7}) {
    EXPECT_TRUE(manager.restore(step).has_error());
    EXPECT_EQ(manager.save(step, state(step), {.force = true}).error().code(), ErrorCode::already_exists);
    EXPECT_TRUE(manager.save(step, state(step), {.overwrite = true}).has_error());
    EXPECT_EQ(manager.delete_step(step).error().code(), ErrorCode::not_found);
  }
  save_all(manager, {8});
  EXPECT_THAT(manager.all_steps(true).value(), ElementsAre(8));
  const auto store = PosixStore::open(root, {}).value();
  EXPECT_THAT(names_in(*store), ElementsAre("5", "6", "7", "8", "milepost.json"));
  EXPECT_EQ(read_file(*store, "5", 10).value(), to_bytes("mine"));
}

}  // namespace
}  // namespace milepost::testing
