#include "milepost/engine/state/tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace milepost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> paths_of(const Tree& tree) {
  std::vector<std::string> paths;
  for_each_leaf(tree, [&](const std::string& path, const Tree&) { paths.push_back(path); });
  return paths;
}

Tree nested(int depth) {
  Tree tree = 1;
  for (int i = 0; i < depth; ++i) tree = Tree::list({std::move(tree)});
  return tree;
}

TEST(Tree, IndexingBuildsMaps) {
  Tree tree;
  tree["model"]["w"] = Tensor::abstract(DType::f32, {2, 3});
  tree["model"]["w"] = Tensor::abstract(DType::f32, {2, 4});
  tree["step"] = 7;
  EXPECT_THAT(paths_of(tree), ElementsAre("model/w", "step"));
  EXPECT_EQ(tree.find("model/w")->describe(), "tensor F32[2, 4]");
  EXPECT_THROW(tree["step"]["x"], std::logic_error);
}

TEST(Tree, LeavesComeInKeyAndListOrder) {
  Tree tree;
  tree["b"] = Tree::list({1, Tree::map(), Tree::list({"x", nullptr})});
  tree["a/~"] = true;
  tree["\xC3\xA9"] = 1.5;
  tree["c"] = Tree::list();
  EXPECT_THAT(paths_of(tree), ElementsAre("a~1~0", "b/0", "b/2/0", "b/2/1", "\xC3\xA9"));
  EXPECT_THAT(paths_of(Tree(3)), ElementsAre(""));
  Tree::List many(11, Tree(0));
  EXPECT_EQ(paths_of(Tree(many))[10], "10");
}

TEST(Tree, LeavesCanBeChangedInPlace) {
  Tree tree = Tree::list({1, Tree::map({{"a", 2}})});
  for_each_leaf(tree, [](const std::string& path, Tree& leaf) { leaf = path; });
  EXPECT_EQ(*tree.find("1/a")->get_if<std::string>(), "1/a");
}

TEST(Tree, FindsWhatForEachLeafNames) {
  Tree tree;
  tree["a/b"]["~1"] = 1;
  tree["list"] = Tree::list({10, Tree::list({20})});
  tree["0"] = "zero";
  for_each_leaf(std::as_const(tree),
                [&](const std::string& path, const Tree& leaf) { EXPECT_EQ(tree.find(path), &leaf) << path; });
  EXPECT_EQ(tree.find(""), &tree);
  EXPECT_EQ(tree.find("list")->describe(), "list");
  for (const char* path :
       {"x", "list/2", "list/01", "list/-1", "list/", "list/0/0", "a/b", "a~1b/~01/x", "a~1b/~2", "a~1b/~", "/"}) {
    EXPECT_EQ(tree.find(path), nullptr) << path;
  }
}

TEST(Tree, JoinsPathsWithEscapes) {
  EXPECT_EQ(join_path("", "a"), "a");
  EXPECT_EQ(join_path("a", "b/c~d"), "a/b~1c~0d");
  EXPECT_EQ(join_path("a", std::size_t{12}), "a/12");
  EXPECT_EQ(join_path("", std::size_t{0}), "0");
}

TEST(Tree, DescribesItsKind) {
  EXPECT_EQ(Tree().describe(), "null");
  EXPECT_EQ(Tree(true).describe(), "bool");
  EXPECT_EQ(Tree(1).describe(), "int64");
  EXPECT_EQ(Tree(std::uint64_t{1}).describe(), "uint64");
  EXPECT_EQ(Tree(1.0).describe(), "double");
  EXPECT_EQ(Tree("x").describe(), "string");
  EXPECT_EQ(Tree(Tree::Bytes{}).describe(), "bytes");
  EXPECT_EQ(Tree::list().describe(), "list");
  EXPECT_EQ(Tree::map().describe(), "map");
}

TEST(CheckTree, AcceptsTheLimitsAndNamesTheFirstLeafBeyondThem) {
  const auto fault = [](const Tree& tree) {
    const auto checked = check_tree(tree);
    if (checked.has_value()) return std::string("none");
    EXPECT_EQ(checked.error().code(), ErrorCode::invalid_argument);
    return checked.error().to_string();
  };
  EXPECT_EQ(fault(nested(tree_depth_max)), "none");
  EXPECT_THAT(fault(nested(tree_depth_max + 1)), HasSubstr("nested more than 32 deep"));
  EXPECT_EQ(fault(Tree::map({{std::string(1024, 'k'), 1}})), "none");
  EXPECT_THAT(fault(Tree::map({{std::string(1025, 'k'), 1}})), HasSubstr("more than 1024 bytes"));
  EXPECT_EQ(fault(Tree::map({{"a", Tree::map({{"", 1}})}})), "leaf a: an empty key");
  EXPECT_EQ(fault(Tree::map({{"\xFF", 1}})), "a key that is not UTF-8");
  EXPECT_EQ(fault(Tree::map({{"a", Tree::list({1, "\xFF"})}})),
            "leaf a/1: a string that is not UTF-8; bytes can hold it");
  EXPECT_EQ(fault(Tree::map({{"w", Tensor::abstract(DType::f32, {-1})}})), "leaf w: tensor F32[-1]: a negative extent");
}

TEST(ForEachLeaf, StopsAtTheDepthThatCheckTreeRefuses) {
  EXPECT_EQ(paths_of(nested(tree_depth_max)).size(), 1U);
  EXPECT_EQ(paths_of(nested(1000)).size(), 0U);
}

}  // namespace
}  // namespace milepost
