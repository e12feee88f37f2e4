#include "milepost/engine/item_files.h"

#include "tests/engine/open_manager.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void put(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

std::string get(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

bool is_executable(const fs::path& path) {
  return (fs::status(path).permissions() & fs::perms::owner_exec) != fs::perms::none;
}

std::set<std::string> names_in(const fs::path& path) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(path)) names.insert(entry.path().filename());
  return names;
}

Tree file(const std::string& content) {
  Tensor bytes = Tensor::allocate(DType::u8, {std::ssize(content)}).value();
  std::copy(content.begin(), content.end(), bytes.as<char>());
  return Tree(bytes);
}

const std::string large(3'000'001, 'x');

void make_tokenizer(const fs::path& root) {
  put(root / "vocab.json", "{\"a\":1}");
  put(root / "merges/large.txt", large);
  put(root / "merges/empty", "");
  put(root / ".hidden", "dot");
  put(root / "odd ~name", "tilde");
  put(root / "bin/run", "#!/bin/sh\n");
  fs::permissions(root / "bin/run", fs::perms::owner_exec, fs::perm_options::add);
  fs::create_directory(root / "nothing");
}

// Through a save and a restore, from directory to directory.
TEST(Files, ADirectoryComesBackAsItWas) {
  const TempDir directory;
  make_tokenizer(directory.path() / "in");
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  {
    const Files files = Files::read(directory.string() + "/in/").value();
    ASSERT_TRUE(manager.save(1, {{"state", small_tree(1)}, make_item("tokenizer", files).value()}).value());
  }
  fs::remove_all(directory.path() / "in");  // it is in memory
  const std::string out = directory.string() + "/out";
  ASSERT_EQ(error_of(manager.restore(1)->get<Files>("tokenizer")->write(out)), "");

  EXPECT_EQ(names_in(out), (std::set<std::string>{".hidden", "bin", "merges", "nothing", "odd ~name", "vocab.json"}));
  EXPECT_EQ(get(out + "/vocab.json"), "{\"a\":1}");
  EXPECT_EQ(get(out + "/merges/large.txt"), large);
  EXPECT_EQ(get(out + "/merges/empty"), "");
  EXPECT_EQ(get(out + "/.hidden"), "dot");
  EXPECT_EQ(get(out + "/odd ~name"), "tilde");
  EXPECT_TRUE(is_executable(out + "/bin/run"));
  EXPECT_FALSE(is_executable(out + "/vocab.json"));
  EXPECT_THAT(names_in(out + "/nothing"), IsEmpty());
  EXPECT_EQ(names_in(directory.path()), std::set<std::string>{"out"});
}

TEST(Files, ASingleFile) {
  const TempDir directory;
  put(directory.path() / "model.spm", "pieces");
  fs::permissions(directory.path() / "model.spm", fs::perms::owner_exec, fs::perm_options::add);
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  const Files files = Files::read(directory.string() + "/model.spm").value();
  ASSERT_TRUE(manager.save(1, {make_item("spm", files).value()}).value());
  const std::string out = directory.string() + "/out.spm";
  EXPECT_OK(manager.restore(1)->get<Files>("spm")->write(out));
  EXPECT_EQ(get(out), "pieces");
  EXPECT_TRUE(is_executable(out));
}

TEST(Files, SomeOfThemAlone) {
  const TempDir directory;
  make_tokenizer(directory.path() / "in");
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  const Files files = Files::read(directory.string() + "/in").value();
  ASSERT_TRUE(manager.save(1, {make_item("tokenizer", files).value()}).value());
  for (const bool modes : {false, true}) {
    RestoreItem part{.name = "tokenizer", .select = {"content/bin", "content/vocab.json"}};
    if (modes) part.select.push_back("executable");
    const auto restored = manager.restore(1, {.items = {part}});
    const std::string out = directory.string() + (modes ? "/modes" : "/plain");
    ASSERT_EQ(error_of(restored->get<Files>("tokenizer")->write(out)), "");
    EXPECT_EQ(get(out + "/vocab.json"), "{\"a\":1}");
    EXPECT_FALSE(fs::exists(out + "/merges"));
    EXPECT_EQ(is_executable(out + "/bin/run"), modes);
  }
}

TEST(Files, WritingReplacesOnlyWhenAsked) {
  const TempDir directory;
  const std::string out = directory.string() + "/out";
  const Files one{file("one")};
  const Files tree{Tree::map({{"two", file("two")}})};
  ASSERT_EQ(error_of(one.write(out)), "");
  const auto refused = tree.write(out);
  ASSERT_TRUE(refused.has_error());
  EXPECT_EQ(refused.error().code(), ErrorCode::already_exists);
  EXPECT_EQ(get(out), "one");
  EXPECT_OK(tree.write(out, true));
  EXPECT_EQ(get(out + "/two"), "two");
  EXPECT_OK(one.write(out, true));
  EXPECT_EQ(get(out), "one");
  put(directory.path() / "elsewhere", "elsewhere");
  fs::remove(out);
  fs::create_symlink(directory.path() / "elsewhere", out);
  EXPECT_TRUE(one.write(out).has_error());
  EXPECT_OK(one.write(out, true));  // the link goes, not what it leads to
  EXPECT_FALSE(fs::is_symlink(out));
  EXPECT_EQ(get(directory.path() / "elsewhere"), "elsewhere");
  EXPECT_EQ(names_in(directory.path()), (std::set<std::string>{"elsewhere", "out"}));
}

TEST(Files, WhatCannotBeWrittenLeavesNothing) {
  const TempDir directory;
  const auto missing = Files{file("x")}.write(directory.string() + "/no/such/out");
  ASSERT_TRUE(missing.has_error());
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  for (const char* path : {"", "/", "..", "a/.."}) {
    EXPECT_TRUE(Files{file("x")}.write(path, true).has_error()) << path;
  }
  EXPECT_THAT(names_in(directory.path()), IsEmpty());
}

// From a file that somebody made to break out of the directory.
TEST(Files, HostileNamesAreRefused) {
  const TempDir directory;
  const std::string out = directory.string() + "/out";
  const std::vector<std::string> names = {"..", ".", "../x", "/etc/x", "a/b", std::string(256, 'n')};
  for (const std::string& name : names) {
    for (const bool deep : {false, true}) {
      Tree content = Tree::map({{name, file("evil")}});
      if (deep) content = Tree::map({{"sub", content}});
      const Files files{content};
      EXPECT_EQ(files.write(out).error().code(), ErrorCode::invalid_argument) << name;
      EXPECT_TRUE(make_item("files", files).has_error()) << name;
      const auto restored = value_of<Files>({"files", Tree::map({{"content", content}}), "files"});
      ASSERT_TRUE(restored.has_error()) << name;
      EXPECT_EQ(restored.error().code(), ErrorCode::corruption);
    }
  }
  const std::string zero("a\0b", 3);
  EXPECT_TRUE((Files{Tree::map({{zero, file("x")}})}.write(out).has_error()));
  EXPECT_THAT(names_in(directory.path()), IsEmpty());
}

TEST(Files, TreesThatAreNoFilesAreCorruption) {
  const auto code = [](Tree tree) {
    const auto restored = value_of<Files>({"files", std::move(tree), "files"});
    return restored.has_error() ? restored.error().code() : ErrorCode::internal;
  };
  const Tree good = file("x");
  EXPECT_EQ(code(Tree(1)), ErrorCode::corruption);
  EXPECT_EQ(code(Tree::map({{"content", "text"}})), ErrorCode::corruption);
  EXPECT_EQ(code(Tree::map({{"content", Tree::list({good})}})), ErrorCode::corruption);
  EXPECT_EQ(code(Tree::map({{"content", Tensor::allocate(DType::f32, {1}).value()}})), ErrorCode::corruption);
  EXPECT_EQ(code(Tree::map({{"content", Tensor::allocate(DType::u8, {1, 1}).value()}})), ErrorCode::corruption);
  EXPECT_EQ(code(Tree::map({{"content", good}, {"executable", 1}})), ErrorCode::corruption);
  EXPECT_EQ(code(Tree::map({{"content", good}, {"executable", Tree::list({1})}})), ErrorCode::corruption);
  const Tree directory = Tree::map({{"sub", Tree::map()}});
  EXPECT_EQ(code(Tree::map({{"content", directory}, {"executable", Tree::list({"sub"})}})), ErrorCode::corruption);
}

TEST(Files, ALinkToThemIsFollowed) {
  const TempDir directory;
  put(directory.path() / "in/a", "in a");
  fs::create_directory_symlink("in", directory.path() / "to_directory");
  fs::create_symlink("in/a", directory.path() / "to_file");
  const auto tree = Files::read(directory.string() + "/to_directory");
  ASSERT_TRUE(tree.has_value()) << tree.error().to_string();
  EXPECT_TRUE(tree->content.find("a"));
  const auto one = Files::read(directory.string() + "/to_file");
  ASSERT_TRUE(one.has_value()) << one.error().to_string();
  EXPECT_OK(one->write(directory.string() + "/out"));
  EXPECT_EQ(get(directory.path() / "out"), "in a");
}

TEST(Files, LinksPipesAndOddNamesAreNotRead) {
  const TempDir directory;
  const fs::path in = directory.path() / "in";
  const auto story = [&] {
    const auto read = Files::read(in.string());
    EXPECT_TRUE(read.has_error());
    return read.has_error() ? read.error().to_string() : "";
  };
  put(in / "fine", "fine");
  fs::create_symlink("fine", in / "link");
  EXPECT_THAT(story(), HasSubstr("in/link: is a symbolic link: copy the directory with cp -rL first"));
  fs::remove(in / "link");
  ASSERT_EQ(::mkfifo((in / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(story(), HasSubstr("in/pipe: is neither"));
  fs::remove(in / "pipe");
  put(in / "caf\xe9", "latin");
  EXPECT_THAT(story(), HasSubstr("UTF-8"));
  fs::remove(in / "caf\xe9");
  EXPECT_TRUE(Files::read(in.string()).has_value());

  const auto missing = Files::read((directory.path() / "missing").string());
  ASSERT_TRUE(missing.has_error());
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace milepost::testing
