// Restoring into tensors of other dtypes. That single elements become the right ones is shown in
// tests/engine/state/cast_test.cc; here that each comes to its place, wherever that is.
#include "milepost/engine/state/cast.h"

#include "tests/engine/restore/saved.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const Tensor& tensor_in(const Tree& tree, const std::string& path) { return *tree.find(path)->get_if<Tensor>(); }

// The elements as `to`, one by one.
std::vector<std::byte> packed_as(DType to, const Tensor& tensor) {
  const std::vector<std::byte> elements = packed(tensor);
  const std::size_t from_bytes = static_cast<std::size_t>(bits_of(tensor.dtype())) / 8;
  const std::size_t to_bytes = static_cast<std::size_t>(bits_of(to)) / 8;
  std::vector<std::byte> result(elements.size() / from_bytes * to_bytes);
  EXPECT_FALSE(cast(tensor.dtype(), elements.data(), to, result.data(), elements.size() / from_bytes));
  return result;
}

// Of an integer, values that every type has.
Tensor castable_tensor(DType dtype, const Shape& shape, std::uint64_t seed) {
  Tensor tensor = make_tensor(dtype, shape, Layout::packed, seed);
  if (!can_cast(DType::boolean, dtype)) return tensor;
  std::vector<std::byte> bits(static_cast<std::size_t>(tensor.element_count()));
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::byte>((i * i / 7 + seed) % 2);
  EXPECT_FALSE(cast(DType::boolean, bits.data(), dtype, tensor.data(), bits.size()));
  return tensor;
}

TEST(RestoreCast, EveryPairIntoEveryLayout) {
  Tree tree;
  std::vector<DType> types;
  for (int i = 0; i < dtype_count; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (!can_cast(dtype, dtype)) continue;
    types.push_back(dtype);
    for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{5, 1, 7}, Shape{3, 1500}}) {
      const std::string key = to_string(shape);
      tree[name_of(dtype)][key] = castable_tensor(dtype, shape, types.size());
    }
  }
  auto manager = saved(tree);
  for (const DType to : types) {
    for (const Layout layout : {Layout::packed, Layout::transposed, Layout::sliced, Layout::reversed}) {
      Tree target = Tree::map();
      for (const DType from : types) {
        if (!can_cast(from, to)) continue;
        for (const auto& [key, leaf] : *tree[name_of(from)].get_if<Tree::Map>()) {
          target[name_of(from)][key] = make_tensor(to, leaf.get_if<Tensor>()->shape(), layout, 99);
        }
      }
      scribble(target);
      std::vector<std::string> select;
      for (const auto& [key, child] : *target.get_if<Tree::Map>()) select.push_back(key);
      for (const Tree& wanted : {target, abstract_like(target)}) {
        auto restored = restore(manager, {.name = "state", .target = wanted, .select = select, .cast = true});
        ASSERT_EQ(error_of(restored), "");
        for_each_leaf(restored->tree(), [&](const std::string& path, const Tree& leaf) {
          const Tensor& found = *leaf.get_if<Tensor>();
          EXPECT_EQ(found.dtype(), to);
          EXPECT_TRUE(packed(found) == packed_as(to, tensor_in(tree, path))) << path << " to " << name_of(to);
        });
      }
    }
  }
}

// Leaves of more than one chunk; whole and in part, stored as they are and coded.
TEST(RestoreCast, ManyChunks) {
  const Shape shape = {1300, 1024};
  Tree tree;
  tree["f32"] = make_tensor(DType::f32, shape, Layout::packed, 1);
  tree["bf16"] = make_tensor(DType::bf16, {2, 1300, 1024}, Layout::packed, 1);
  tree["bool"] = make_tensor(DType::boolean, {5000, 1000}, Layout::packed, 1);
  tree["same"] = make_tensor(DType::f32, {100}, Layout::packed, 1);
  for (const Codec codec : {Codec::none(), Codec::fast()}) {
    auto manager = saved(tree, codec);
    Tree target;
    target["f32"] = make_tensor(DType::bf16, shape, Layout::transposed, 3);
    target["bf16"] = make_tensor(DType::f32, {2, 1300, 1024}, Layout::packed, 3);
    target["bool"] = make_tensor(DType::u8, {5000, 1000}, Layout::packed, 3);
    target["same"] = make_tensor(DType::f32, {100}, Layout::sliced, 3);
    scribble(target);
    EXPECT_OK(restore(manager, {.name = "state", .target = target, .cast = true}));
    for (const auto& [key, leaf] : *target.get_if<Tree::Map>()) {
      const Tensor& found = *leaf.get_if<Tensor>();
      const auto expected =
          key == "same" ? packed(tensor_in(tree, key)) : packed_as(found.dtype(), tensor_in(tree, key));
      EXPECT_TRUE(packed(found) == expected) << key << " " << codec.to_string();
    }

    const LeafSlice slice{"f32", {100, 50}, {1150, 900}};
    Tree part;
    part["f32"] = make_tensor(DType::f64, slice.extent, Layout::reversed, 3);
    EXPECT_OK(restore(
        manager,
        {.name = "state", .target = part, .select = {"f32"}, .slices = {slice}, .placeholders = true, .cast = true}));
    const Tensor& whole = tensor_in(tree, "f32");
    const Tensor box = Tensor::of(whole.as<float>() + 100 * 1024 + 50, slice.extent, {1024, 1});
    EXPECT_TRUE(packed(tensor_in(part, "f32")) == packed_as(DType::f64, box)) << codec.to_string();
  }
}

TEST(RestoreCast, NamesTheElementThatDoesNotFit) {
  std::vector<std::int64_t> values(600 * 1000, 7);  // 4.8 MB: two chunks
  values[597 * 1000 + 41] = -1;
  Tree tree;
  tree["before"] = make_tensor(DType::u8, {3}, Layout::packed, 1);
  tree["v"] = Tensor::of(values.data(), {600, 1000});
  tree["w"] = make_tensor(DType::u8, {3}, Layout::packed, 1);
  auto manager = saved(tree);
  for (const Layout layout : {Layout::packed, Layout::transposed}) {
    for (const bool sliced : {false, true}) {
      const Shape extent = sliced ? Shape{10, 20} : Shape{600, 1000};
      std::vector<LeafSlice> slices;
      if (sliced) slices.push_back({"v", {590, 30}, extent});
      Tree target = target_like(tree, layout);
      target["v"] = make_tensor(DType::u32, extent, layout, 1);
      const Tree before = deep_copy(target);
      for (const bool verify_first : {true, false}) {
        const auto restored =
            manager.restore(1, {.items = {{.name = "state", .target = target, .slices = slices, .cast = true}},
                                .verify_first = verify_first});
        ASSERT_TRUE(restored.has_error());
        EXPECT_EQ(restored.error().code(), ErrorCode::invalid_argument);
        EXPECT_EQ(restored.error().to_string(),
                  "step 1: item state: leaf v: element [597, 41] is -1, which U32 does not have");
        EXPECT_TRUE(!verify_first || difference(before, target).empty()) << "nothing was changed";
      }
    }
  }
  // Outside of what is wanted it does not matter; and there is a type that has it.
  Tree target = target_like(tree, Layout::packed);
  target["v"] = Tensor::abstract(DType::u8, {597, 1000});
  EXPECT_OK(
      restore(manager, {.name = "state", .target = target, .slices = {{"v", {0, 0}, {597, 1000}}}, .cast = true}));
  target["v"] = Tensor::abstract(DType::i8, {600, 1000});
  const auto fits = restore(manager, {.name = "state", .target = target, .cast = true});
  ASSERT_EQ(error_of(fits), "");
  EXPECT_TRUE(packed(tensor_in(fits->items.front().tree, "v")) == packed_as(DType::i8, tensor_in(tree, "v")));
}

TEST(RestoreCast, OnlyIfAskedForAndOnlyWhatIsSafe) {
  Tree tree;
  tree["f32"] = make_tensor(DType::f32, {4}, Layout::packed, 1);
  tree["i32"] = make_tensor(DType::i32, {4}, Layout::packed, 1);
  tree["c64"] = make_tensor(DType::c64, {4}, Layout::packed, 1);
  tree["f4"] = make_tensor(DType::f4, {4}, Layout::packed, 1);
  auto manager = saved(tree);
  const auto text_of = [&](DType a, DType b, DType c, DType d, bool cast) {
    const Tree target = Tree::map({{"f32", Tensor::abstract(a, {4})},
                                   {"i32", Tensor::abstract(b, {4})},
                                   {"c64", Tensor::abstract(c, {4})},
                                   {"f4", Tensor::abstract(d, {4})}});
    const auto restored = restore(manager, {.name = "state", .target = target, .cast = cast});
    return restored.has_error() ? restored.error().to_string() : "";
  };
  EXPECT_THAT(text_of(DType::bf16, DType::i64, DType::c64, DType::f4, false),
              AllOf(HasSubstr("2 differences"),
                    HasSubstr("f32: the checkpoint has a tensor F32[4], the target a tensor BF16[4]"),
                    HasSubstr("i32: the checkpoint has a tensor I32[4], the target a tensor I64[4]")));
  EXPECT_EQ(text_of(DType::bf16, DType::i64, DType::c64, DType::f4, true), "");
  EXPECT_THAT(text_of(DType::i32, DType::f32, DType::f32, DType::f32, true), HasSubstr("4 differences"));
  EXPECT_THAT(text_of(DType::f4, DType::f64, DType::f64, DType::f6_e2m3, true),
              AllOf(HasSubstr("4 differences"), Not(HasSubstr("BF16"))));
}

}  // namespace
}  // namespace milepost::testing
