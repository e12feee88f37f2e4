// Where a restore goes: given, fresh and partial targets; what does not fit is said path by path.
#include "tests/engine/restore/saved.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(RestoreTarget, EveryLayoutInPlace) {
  const Tree tree = full_tree(1);
  auto manager = saved(tree);
  for (const Layout layout : {Layout::packed, Layout::transposed, Layout::sliced, Layout::reversed}) {
    const Tree target = target_like(tree, layout);
    auto restored = restore(manager, {.name = "state", .target = target}).value();
    EXPECT_EQ(difference(tree, restored.tree()), "");
    for_each_leaf(target, [&](const std::string& path, const Tree& leaf) {
      const auto* given = leaf.get_if<Tensor>();
      if (!given) return;
      EXPECT_EQ(difference(*tree.find(path), leaf), "") << path;
      EXPECT_EQ(restored.tree().find(path)->get_if<Tensor>()->data(), given->data()) << path;
    });
  }
}

// Between the elements of a strided target lies memory of somebody else.
TEST(RestoreTarget, TouchesNothingBetweenElements) {
  std::vector<std::int32_t> values(64);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i) + 1;
  Tree tree;
  tree["v"] = Tensor::of(values.data(), {8, 8});
  auto manager = saved(tree);
  std::vector<std::int32_t> memory(3 * 64 + 10, -1);
  Tree target;
  target["v"] = Tensor::of(memory.data() + 5, {8, 8}, {24, 3});
  EXPECT_OK(restore(manager, {.name = "state", .target = target}));
  for (std::size_t i = 0; i < memory.size(); ++i) {
    const bool element = i >= 5 && (i - 5) % 3 == 0 && (i - 5) / 3 < 64;
    EXPECT_EQ(memory[i], element ? values[(i - 5) / 3] : -1) << i;
  }
}

TEST(RestoreTarget, FreshMemoryForAbstractLeaves) {
  const Tree tree = full_tree(2);
  auto manager = saved(tree, Codec::none());
  EXPECT_EQ(difference(tree, restore(manager, {.name = "state", .target = abstract_like(tree)}).value().tree()), "");
  Tree mixed = abstract_like(tree);
  mixed["F32"] = target_like(tree, Layout::sliced)["F32"];
  EXPECT_EQ(difference(tree, restore(manager, {.name = "state", .target = mixed}).value().tree()), "");
}

TEST(RestoreTarget, TheLatestInPlace) {
  const Tree tree = small_tree(3);
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  Tree target = target_like(tree, Layout::sliced);
  EXPECT_EQ(manager.restore_latest(target).value(), std::nullopt);
  ASSERT_TRUE(manager.save(1, {{"state", tree}, {"other", 1}}).value());
  const auto ambiguous = manager.restore_latest(target);
  ASSERT_TRUE(ambiguous.has_error());
  EXPECT_EQ(ambiguous.error().code(), ErrorCode::invalid_argument);
  EXPECT_THAT(ambiguous.error().to_string(), AllOf(HasSubstr("state"), HasSubstr("other")));
  const std::byte* memory = target["w"].get_if<Tensor>()->data();
  EXPECT_EQ(manager.restore_latest(target, "state").value(), 1);
  EXPECT_EQ(difference(tree, target), "");
  EXPECT_EQ(target["w"].get_if<Tensor>()->data(), memory);
}

// Neither what would have been read nor what would have been copied from the manifest is in it.
TEST(RestoreTarget, ATreeInPlaceStaysAsItWasAfterAnError) {
  Tree tree;
  tree["fits"] = make_tensor(DType::f32, {4}, Layout::packed, 1);
  tree["other"] = make_tensor(DType::f32, {4}, Layout::packed, 2);
  tree["number"] = 7;
  tree["text"] = std::string(5000, 'x');
  auto manager = saved(tree);
  StepReader reader = manager.open_step(1).value();
  Tree target;
  target["fits"] = Tensor::abstract(DType::f32, {4});
  target["other"] = Tensor::abstract(DType::f32, {5});
  target["number"] = 8;
  target["text"] = "before";
  const auto refused = reader.restore(target);
  ASSERT_TRUE(refused.has_error());
  EXPECT_EQ(refused.error().code(), ErrorCode::structure_mismatch);
  EXPECT_THAT(refused.error().to_string(), HasSubstr("step 1: item state: "));
  EXPECT_TRUE(target["fits"].get_if<Tensor>()->is_abstract());
  EXPECT_EQ(*target["number"].get_if<std::int64_t>(), 8);
  EXPECT_EQ(*target["text"].get_if<std::string>(), "before");

  target["other"] = Tensor::abstract(DType::f32, {4});
  EXPECT_OK(reader.restore(target, "state"));
  EXPECT_EQ(difference(tree, target), "");
  EXPECT_EQ(reader.restore(target, "model").error().code(), ErrorCode::not_found);
}

TEST(RestoreTarget, SelectsLeaves) {
  Tree tree;
  for (const char* layer : {"0", "1", "2"}) {
    tree["layers"][layer]["w"] = make_tensor(DType::f32, {4, 4}, Layout::packed, 1);
    tree["layers"][layer]["b"] = make_tensor(DType::f32, {4}, Layout::packed, 2);
  }
  tree["list"] = Tree::list({1, make_tensor(DType::i8, {3}, Layout::packed, 3), std::string(5000, 'x')});
  tree["text"] = std::string(5000, 'y');
  auto manager = saved(tree);

  Tree expected;
  for (const char* layer : {"0", "2"}) expected["layers"][layer]["w"] = tree["layers"][layer]["w"];
  expected["layers"]["1"] = tree["layers"]["1"];
  EXPECT_EQ(
      difference(expected, restore(manager, {.name = "state", .select = {"layers/*/w", "layers/1"}}).value().tree()),
      "");

  // Places in a list are kept; large strings find theirs.
  expected =
      Tree::map({{"list", Tree::list({nullptr, nullptr, std::string(5000, 'x')})}, {"text", std::string(5000, 'y')}});
  EXPECT_EQ(difference(expected, restore(manager, {.name = "state", .select = {"list/2", "text"}}).value().tree()), "");

  // Of a target, the other leaves stay as they are, also what the checkpoint does not have.
  Tree target = target_like(tree, Layout::packed);
  target["mine"] = 7;
  target["list"] = "mine too";
  Tree after = deep_copy(target);
  after["layers"]["0"]["w"] = tree["layers"]["0"]["w"];
  EXPECT_EQ(
      difference(after, restore(manager, {.name = "state", .target = target, .select = {"layers/0/w"}}).value().tree()),
      "");

  for (const char* pattern : {"layers/3", "w", "layers/*/x", "list/3"}) {
    const auto missing = restore(manager, {.name = "state", .select = {"text", pattern}});
    ASSERT_TRUE(missing.has_error()) << pattern;
    EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
    EXPECT_THAT(missing.error().to_string(),
                AllOf(HasSubstr(std::string("pattern ") + pattern), Not(HasSubstr("pattern text"))));
  }
}

// Counts the reads of tensor data.
TEST(RestoreTarget, PlaceholdersAreNotRead) {
  Tree tree;
  tree["opt"]["m"] = make_tensor(DType::f32, {1200, 1024}, Layout::packed, 1);
  tree["opt"]["text"] = std::string(5000, 'x');
  tree["list"] = Tree::list({make_tensor(DType::f32, {1200, 1024}, Layout::packed, 2), 7, nullptr});
  tree["w"] = make_tensor(DType::f32, {1200, 1024}, Layout::packed, 3);
  auto store = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(store));
  ASSERT_TRUE(manager.save(1, {{"state", tree}}, {.codec = Codec::none()}).value());
  EXPECT_OK(manager.wait_until_finished());
  const auto reads = [&] {
    const auto log = store->log();
    return std::count_if(log.begin(), log.end(), [](const LoggedOperation& logged) {
      return logged.operation == Operation::read && logged.path.find("/data-") != std::string::npos;
    });
  };
  const auto reads_of = [&](RestoreItem item, const Tree& expected) {
    const auto before = reads();
    auto restored = restore(manager, std::move(item));
    EXPECT_EQ(error_of(restored), "");
    EXPECT_TRUE(restored.has_value() && difference(expected, restored->tree()).empty());
    return reads() - before;
  };
  const auto all = reads_of({.name = "state"}, tree);
  EXPECT_GE(all, 4);

  // A leaf, a whole map, and a place in a list.
  Tree target = target_like(tree, Layout::packed);
  target["opt"] = nullptr;
  target["list"].get_if<Tree::List>()->front() = nullptr;
  Tree expected = deep_copy(tree);
  expected["opt"] = nullptr;
  expected["list"].get_if<Tree::List>()->front() = nullptr;
  const auto some = reads_of({.name = "state", .target = target, .placeholders = true}, expected);
  EXPECT_GE(some, 1);
  EXPECT_LE(some, 3) << "its 4.7 MiB lie in two chunks, or three";

  target["w"] = nullptr;
  expected["w"] = nullptr;
  EXPECT_EQ(reads_of({.name = "state", .target = target, .placeholders = true}, expected), 0);
  EXPECT_EQ(reads_of({.name = "state", .target = Tree(), .placeholders = true}, Tree()), 0);
  // Patterns still find what is passed over.
  EXPECT_EQ(reads_of({.name = "state", .target = target, .select = {"opt/m", "w"}, .placeholders = true}, target), 0);

  const auto refused = restore(manager, {.name = "state", .target = target});
  ASSERT_TRUE(refused.has_error());
  EXPECT_THAT(refused.error().to_string(), AllOf(HasSubstr("3 differences"), HasSubstr("the target a null")));
}

TEST(RestoreTarget, ListsEveryDifference) {
  Tree tree;
  tree["dtype"] = make_tensor(DType::f32, {2}, Layout::packed, 1);
  tree["shape"] = make_tensor(DType::f32, {2, 3}, Layout::packed, 1);
  tree["kind"] = make_tensor(DType::f32, {2}, Layout::packed, 1);
  tree["scalar"] = 1;
  tree["text"] = std::string(5000, 'x');
  tree["gone"]["a/b"] = 1;
  tree["gone empty"] = Tree::map();
  tree["container"] = Tree::list({1, 2});
  tree["short"] = Tree::list({1, 2});
  tree["good"] = make_tensor(DType::f32, {2}, Layout::packed, 1);
  tree["read only"] = make_tensor(DType::f32, {2}, Layout::packed, 1);
  auto manager = saved(tree);

  const std::vector<float> constant(2, 1.0F);
  std::vector<float> good(2, -1.0F);
  Tree target = deep_copy(tree);
  target["dtype"] = make_tensor(DType::i32, {2}, Layout::packed, 1);
  target["shape"] = make_tensor(DType::f32, {3, 2}, Layout::packed, 1);
  target["kind"] = 1;
  target["scalar"] = 1.0;
  target["text"] = Tree::Bytes();
  target.get_if<Tree::Map>()->erase("gone");
  target.get_if<Tree::Map>()->erase("gone empty");
  target["container"] = Tree::map();
  target["short"] = Tree::list({1, 2, 3});
  target["surplus"] = 1;
  target["good"] = Tensor::of(good.data(), {2});
  target["read only"] = Tensor::of(constant.data(), {2});
  for (const bool verify_first : {false, true}) {
    const auto restored =
        manager.restore(1, {.items = {{.name = "state", .target = target}}, .verify_first = verify_first});
    ASSERT_TRUE(restored.has_error());
    EXPECT_EQ(restored.error().code(), ErrorCode::invalid_argument);
    const std::string text = restored.error().to_string();
    EXPECT_THAT(text, HasSubstr("step 1: item state: "));
    EXPECT_THAT(text, HasSubstr("11 differences"));
    for (const char* line :
         {"dtype: the checkpoint has a tensor F32[2], the target a tensor I32[2]",
          "shape: the checkpoint has a tensor F32[2, 3], the target a tensor F32[3, 2]",
          "kind: the checkpoint has a tensor F32[2], the target a int64",
          "scalar: the checkpoint has a int64, the target a double",
          "text: the checkpoint has a string, the target a bytes", "gone/a~1b: missing in the target",
          "gone empty: missing in the target", "container: the checkpoint has a list, the target a map",
          "short/2: missing in the checkpoint", "surplus: missing in the checkpoint",
          "read only: the target is read-only memory"}) {
      EXPECT_THAT(text, HasSubstr(line));
    }
    EXPECT_THAT(text, Not(HasSubstr("good")));
  }
  EXPECT_EQ(good, std::vector<float>(2, -1.0F)) << "nothing was read";
  EXPECT_EQ(constant, std::vector<float>(2, 1.0F));
  // Without what could fit no checkpoint, it is only of another structure.
  target["read only"] = Tensor::abstract(DType::f32, {2});
  const auto other = restore(manager, {.name = "state", .target = target});
  EXPECT_EQ(other.error().code(), ErrorCode::structure_mismatch);
  EXPECT_THAT(other.error().to_string(), HasSubstr("10 differences"));
  // Another kind at the root.
  EXPECT_THAT(restore(manager, {.name = "state", .target = Tree(1)}).error().to_string(),
              HasSubstr("(root): the checkpoint has a map"));
}

TEST(RestoreTarget, InvalidTargetTensors) {
  Tree tree;
  tree["v"] = make_tensor(DType::f32, {2, 2}, Layout::packed, 1);
  auto manager = saved(tree);
  float memory[4];
  Tree target;
  target["v"] = Tensor::of(memory, {2, 2}, {1});
  EXPECT_EQ(restore(manager, {.name = "state", .target = target}).error().code(), ErrorCode::invalid_argument);
  target["v"] = Tensor::of(static_cast<float*>(nullptr), {2, 2});
  EXPECT_EQ(restore(manager, {.name = "state", .target = target}).error().code(), ErrorCode::invalid_argument);
}

TEST(RestoreTarget, UnknownItemsAndSteps) {
  auto manager = saved(small_tree(1));
  const auto missing = manager.restore(1, {.items = {{.name = "model"}}});
  ASSERT_TRUE(missing.has_error());
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_THAT(missing.error().to_string(), HasSubstr("step 1: item model: not in this step, which has: state"));
  EXPECT_EQ(manager.restore(1, {.items = {{.name = "state"}, {.name = "state"}}}).error().code(),
            ErrorCode::invalid_argument);
  EXPECT_THAT(manager.restore(5).error().to_string(), HasSubstr("step 5: no such step"));
  EXPECT_EQ(manager.restore(-1).error().code(), ErrorCode::not_found);
  EXPECT_EQ(manager.open_step(2).error().code(), ErrorCode::not_found);
}

TEST(RestoreTarget, BadSlices) {
  Tree tree;
  tree["v"] = make_tensor(DType::f32, {4, 4}, Layout::packed, 1);
  tree["packed"] = make_tensor(DType::f4, {4, 4}, Layout::packed, 1);
  tree["text"] = std::string(5000, 'x');
  tree["n"] = 1;
  auto manager = saved(tree);
  for (const LeafSlice& slice :
       {LeafSlice{"v", {0, 2}, {4, 3}}, LeafSlice{"v", {-1, 0}, {1, 1}}, LeafSlice{"v", {5, 0}, {0, 1}},
        LeafSlice{"v", {0}, {1}}, LeafSlice{"v", {0, 0}, {-1, 1}}, LeafSlice{"v", {1, 0}, {std::int64_t{1} << 62, 4}},
        LeafSlice{"packed", {0, 0}, {2, 4}}}) {
    const auto restored = restore(manager, {.name = "state", .slices = {slice}});
    ASSERT_TRUE(restored.has_error());
    EXPECT_EQ(restored.error().code(), ErrorCode::invalid_argument);
    EXPECT_THAT(restored.error().to_string(), HasSubstr(slice.path + ": "));
  }
  for (const char* path : {"w", "text", "n", "", "v/0"}) {
    const auto restored = restore(manager, {.name = "state", .slices = {{path, {0}, {1}}}});
    ASSERT_TRUE(restored.has_error()) << path;
    EXPECT_EQ(restored.error().code(), ErrorCode::not_found);
  }
  const auto twice = restore(manager, {.name = "state", .slices = {{"v", {0, 0}, {1, 1}}, {"v", {1, 1}, {1, 1}}}});
  EXPECT_TRUE(twice.has_error() && twice.error().code() == ErrorCode::invalid_argument);
}

// The box, element by element.
std::vector<std::byte> naive_slice(const Tensor& tensor, const Shape& start, const Shape& extent) {
  std::int64_t first = 0;
  for (std::size_t d = 0; d < start.size(); ++d)
    first += start[d] * tensor.strides()[d] * (bits_of(tensor.dtype()) / 8);
  return packed(Tensor::view(tensor.data() + first, tensor.dtype(), extent, tensor.strides()));
}

RC_GTEST_PROP(RestoreTargetProperty, Slices, ()) {
  Tree tree;
  RestoreItem fresh{.name = "state"};
  const auto leaves = *rc::gen::inRange(1, 4);
  const bool large = *rc::gen::inRange(0, 20) == 0;  // several chunks
  for (int i = 0; i < leaves; ++i) {
    Shape shape = *rc::gen::container<std::vector<std::int64_t>>(static_cast<std::size_t>(*rc::gen::inRange(0, 4)),
                                                                 rc::gen::inRange<std::int64_t>(1, 12));
    if (large && i == 0) shape = {37, 300, 211};
    const auto dtype = *rc::gen::element(DType::u8, DType::bf16, DType::f32, DType::c64);
    const std::string name = "leaf" + std::to_string(i);
    tree[name] = make_tensor(dtype, shape, layouts[*rc::gen::inRange(0, 5)], *rc::gen::arbitrary<std::uint32_t>());
    LeafSlice slice{name, {}, {}};
    for (const std::int64_t size : shape) {
      slice.start.push_back(*rc::gen::inRange<std::int64_t>(0, size + 1));
      slice.extent.push_back(*rc::gen::inRange<std::int64_t>(0, size - slice.start.back() + 1));
    }
    fresh.slices.push_back(slice);
  }
  // One manager for all cases: opening one for each would take most of the time.
  static auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  const std::int64_t step = manager.latest_step().value_or(0) + 1;
  RC_ASSERT(manager.save(step, {{"state", tree}}, {.codec = *rc::gen::element(Codec::none(), Codec::fast())}).value());
  RestoreItem given = fresh;
  given.target = tree;
  for (const LeafSlice& slice : given.slices) {
    const Tensor tensor =
        make_tensor(tree[slice.path].get_if<Tensor>()->dtype(), slice.extent,
                    *rc::gen::element(Layout::packed, Layout::transposed, Layout::sliced, Layout::reversed), 1);
    scribble(tensor);
    (*given.target)[slice.path] = tensor;
  }
  for (const RestoreItem& item : {fresh, given}) {
    auto restored = manager.restore(step, {.items = {item}}).value();
    for (const LeafSlice& slice : item.slices) {
      const Tensor& found = *restored.tree()[slice.path].get_if<Tensor>();
      RC_ASSERT(found.shape() == slice.extent);
      RC_ASSERT(packed(found) == naive_slice(*tree[slice.path].get_if<Tensor>(), slice.start, slice.extent));
    }
  }
}

}  // namespace
}  // namespace milepost::testing
