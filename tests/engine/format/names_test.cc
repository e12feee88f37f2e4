#include "milepost/engine/format/names.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace milepost {
namespace {

constexpr const char* uuid = "01234567-89ab-4cde-8f01-23456789abcd";

TEST(Names, OfItemsStayInTheirDirectory) {
  for (const std::string name : {"model", "a b", "\xC3\xA9", "a.b", "manifest.json", "~", "a\\b"}) {
    EXPECT_TRUE(check_item_name(name).has_value()) << name;
  }
  EXPECT_TRUE(check_item_name(std::string(255, 'x')).has_value());
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string(".tmp-1"),
                                  std::string("a/b"), std::string("a\nb"), std::string("a\x7F"), std::string("a\0b", 3),
                                  std::string("\xFF"), std::string("step.json"), std::string(256, 'x')}) {
    const auto checked = check_item_name(name);
    ASSERT_TRUE(checked.has_error()) << name;
    EXPECT_EQ(checked.error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(is_file_name(name), name == "step.json") << name;
  }
}

TEST(Names, OfAttemptsAndTrashAreRecognised) {
  EXPECT_EQ(attempt_directory_name(7, uuid), std::string(".tmp-7-") + uuid);
  EXPECT_EQ(trash_directory_name(7, uuid), std::string(".trash-7-") + uuid);
  EXPECT_EQ(attempt_directory_name(std::nullopt, uuid), std::string(".tmp-file-") + uuid);
  for (const std::optional<std::int64_t> step : {std::optional<std::int64_t>(0), std::optional<std::int64_t>()}) {
    const std::string attempt = attempt_directory_name(step, make_uuid());
    EXPECT_TRUE(is_attempt_directory_name(attempt)) << attempt;
    EXPECT_TRUE(is_trash_directory_name(trash_name_of_attempt(attempt))) << attempt;
  }
  EXPECT_TRUE(is_trash_directory_name(trash_directory_name(std::numeric_limits<std::int64_t>::max(), uuid)));
  EXPECT_FALSE(is_trash_directory_name(attempt_directory_name(7, uuid)));
  EXPECT_EQ(trash_name_of_attempt(attempt_directory_name(7, uuid)), trash_directory_name(7, uuid));
  for (const std::string& name :
       {std::string(".tmp-"), std::string(".tmp-7"), std::string(".tmp-7-"), std::string(".tmp-7-x"),
        std::string(".tmp-07-") + uuid, std::string(".tmp--7-") + uuid, std::string(".tmp-7-") + uuid + "x",
        std::string(".tmp-files-") + uuid, std::string("tmp-7-") + uuid}) {
    EXPECT_FALSE(is_attempt_directory_name(name)) << name;
  }
}

TEST(Names, OfFiles) {
  EXPECT_EQ(data_file_name(3, true), "data-3.safetensors");
  EXPECT_EQ(data_file_name(3, false), "data-3.bin");
  EXPECT_EQ(table_file_name(3), "chunks-3.bin");
  EXPECT_TRUE(is_file_name(data_file_name(4294967295, true)));
}

TEST(Uuid, IsRandomAndOfVersion4) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string made = make_uuid();
    EXPECT_TRUE(is_uuid(made)) << made;
    EXPECT_EQ(made[14], '4');
    EXPECT_NE(std::string("89ab").find(made[19]), std::string::npos) << made;
    seen.insert(made);
  }
  EXPECT_EQ(seen.size(), 1000U);
  EXPECT_FALSE(is_uuid("0123456789ab-4cde-8f01-23456789abcd-"));
  EXPECT_FALSE(is_uuid(""));
}

}  // namespace
}  // namespace milepost
