// Restoring into tensors of other shapes: the common corner is read, the rest is zero.
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/fault_store.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace milepost::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Result<Restored> restore(CheckpointManager& manager, RestoreItem item) {
  return manager.restore(manager.latest_step(), {.items = {std::move(item)}});
}

// What a target of that shape holds afterwards, element by element: of `whole` from `start` on at most `extent`.
std::vector<std::byte> fitted(const Tensor& whole, const Shape& start, const Shape& extent, const Shape& target) {
  const std::vector<std::byte> elements = packed(whole);
  const std::size_t width = static_cast<std::size_t>(bits_of(whole.dtype())) / 8;
  std::vector<std::byte> result(Tensor::abstract(whole.dtype(), target).byte_count());
  for (std::size_t i = 0; i * width < result.size(); ++i) {
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t from = 0;
    std::int64_t stride = 1;
    bool inside = true;
    for (std::size_t d = target.size(); d-- > 0;) {
      const std::int64_t index = rest % target[d];
      rest /= target[d];
      inside = inside && index < extent[d];
      from += (start[d] + index) * stride;
      stride *= whole.shape()[d];
    }
    if (inside) std::memcpy(&result[i * width], &elements[static_cast<std::size_t>(from) * width], width);
  }
  return result;
}

TEST(RestoreFit, LargerAndSmallerAndBoth) {
  Tree tree;
  tree["v"] = make_tensor(DType::f32, {1200, 1000}, Layout::packed, 1);  // two chunks
  std::vector<CheckpointManager> managers;
  for (const Codec codec : {Codec::none(), Codec::fast(), Codec::zstd(1)}) {
    managers.push_back(open_manager(small_options(std::make_shared<SimulatedStore>())));
    ASSERT_TRUE(managers.back().save(1, {{"state", tree}}, {.codec = codec}).value());
  }
  for (const Shape& shape : {Shape{1300, 1024}, Shape{1100, 900}, Shape{1300, 900}, Shape{1100, 1024}, Shape{0, 2000},
                             Shape{2000, 0}, Shape{1200, 1000}, Shape{1, 1}}) {
    const auto expected = fitted(*tree["v"].get_if<Tensor>(), {0, 0}, {1200, 1000}, shape);
    for (std::size_t codec = 0; codec < managers.size(); ++codec) {
      Tree target;
      target["v"] = make_tensor(DType::f32, shape, codec == 0 ? Layout::reversed : Layout::packed, 2);
      scribble(target);
      EXPECT_OK(restore(managers[codec], {.name = "state", .target = target, .fit = true}));
      EXPECT_TRUE(packed(*target["v"].get_if<Tensor>()) == expected)
          << milepost::to_string(shape) << ", codec " << codec;
    }
  }
}

TEST(RestoreFit, ReadsNoMoreThanTheCorner) {
  Tree tree;
  tree["v"] = make_tensor(DType::f32, {3000, 1024}, Layout::packed, 1);  // 12 MiB
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  ASSERT_TRUE(manager.save(1, {{"state", tree}}).value());
  std::uint64_t bytes = 0;
  const Tree target = Tree::map({{"v", Tensor::abstract(DType::f32, {10, 2000})}});
  EXPECT_OK(manager.restore(1, {.items = {{.name = "state", .target = target, .fit = true}},
                                .on_progress = [&](const Progress& progress) { bytes = progress.bytes_total; }}));
  EXPECT_GT(bytes, 0U);
  EXPECT_LE(bytes, std::uint64_t{4} << 20);
}

TEST(RestoreFit, WhatStaysADifference) {
  Tree tree;
  tree["v"] = make_tensor(DType::f32, {4, 4}, Layout::packed, 1);
  tree["f4"] = make_tensor(DType::f4, {4, 4}, Layout::packed, 1);
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  ASSERT_TRUE(manager.save(1, {{"state", tree}}).value());
  const auto text_of = [&](const Shape& v, const Shape& f4, bool fit) {
    const Tree target = Tree::map({{"v", Tensor::abstract(DType::f32, v)}, {"f4", Tensor::abstract(DType::f4, f4)}});
    return error_of(restore(manager, {.name = "state", .target = target, .fit = fit}));
  };
  EXPECT_THAT(text_of({4, 5}, {4, 4}, false), AllOf(HasSubstr("1 difference"), HasSubstr("v: ")));
  EXPECT_EQ(text_of({4, 5}, {4, 4}, true), "");
  for (const Shape& rank : {Shape{}, Shape{16}, Shape{4, 4, 1}}) {
    EXPECT_THAT(text_of(rank, {4, 4}, true),
                AllOf(HasSubstr("1 difference"), HasSubstr("v: the checkpoint has a tensor F32[4, 4], the target a")));
  }
  EXPECT_THAT(text_of({4, 4}, {4, 2}, true), AllOf(HasSubstr("1 difference"), HasSubstr("f4: ")));
}

// Neither padding nor elements go where they do not belong; nothing is set to zero before all is checked.
TEST(RestoreFit, TouchesNothingElse) {
  std::vector<std::int32_t> values(12, 5);
  Tree tree;
  tree["v"] = Tensor::of(values.data(), {3, 4});
  auto store = std::make_shared<FaultStore>(std::make_shared<SimulatedStore>());
  auto manager = open_manager(small_options(store));
  ASSERT_TRUE(manager.save(1, {{"state", tree}}).value());
  EXPECT_OK(manager.wait_until_finished());
  std::vector<std::int32_t> memory(200, -1);
  Tree target;
  target["v"] = Tensor::of(memory.data() + 5, {5, 3}, {30, 4});

  store->inject({.operations = {Operation::read}, .path_contains = "data-"});
  EXPECT_TRUE(manager.restore(1, {.items = {{.name = "state", .target = target, .fit = true}}, .verify_first = true})
                  .has_error());
  EXPECT_EQ(store->faults_fired(), 1U);
  EXPECT_EQ(memory, std::vector<std::int32_t>(200, -1));
  store->heal();

  EXPECT_OK(restore(manager, {.name = "state", .target = target, .fit = true}));
  std::vector<std::int32_t> expected(200, -1);
  for (std::size_t row = 0; row < 5; ++row) {
    for (std::size_t column = 0; column < 3; ++column) expected[5 + 30 * row + 4 * column] = row < 3 ? 5 : 0;
  }
  EXPECT_EQ(memory, expected);
}

RC_GTEST_PROP(RestoreFitProperty, AnyShapes, ()) {
  static auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  const auto rank = static_cast<std::size_t>(*rc::gen::inRange(0, 5));
  const auto shape = [&] {
    return Shape(*rc::gen::container<std::vector<std::int64_t>>(rank, rc::gen::inRange<std::int64_t>(0, 9)));
  };
  const auto dtype = *rc::gen::element(DType::u8, DType::bf16, DType::f32, DType::c64);
  Tree tree;
  tree["v"] = make_tensor(dtype, shape(), layouts[*rc::gen::inRange(0, 5)], *rc::gen::arbitrary<std::uint32_t>());
  const Tensor& whole = *tree["v"].get_if<Tensor>();
  RC_ASSERT(manager.save(manager.latest_step().value_or(0) + 1, {{"state", tree}}).value());

  RestoreItem item{.name = "state", .fit = true};
  Shape start(rank, 0);
  Shape extent = whole.shape();
  if (*rc::gen::arbitrary<bool>()) {
    for (std::size_t d = 0; d < rank; ++d) {
      start[d] = *rc::gen::inRange<std::int64_t>(0, whole.shape()[d] + 1);
      extent[d] = *rc::gen::inRange<std::int64_t>(0, whole.shape()[d] - start[d] + 1);
    }
    item.slices.push_back({"v", start, extent});
  }
  const Shape wanted = shape();
  Tree target;
  target["v"] = make_tensor(dtype, wanted, layouts[*rc::gen::inRange(0, 4)], 1);
  scribble(target);
  for (const Tree& into : {target, abstract_like(target)}) {
    item.target = into;
    auto restored = restore(manager, item).value();
    const Tensor& found = *restored.tree()["v"].get_if<Tensor>();
    RC_ASSERT(found.shape() == wanted);
    RC_ASSERT(packed(found) == fitted(whole, start, extent, wanted));
  }
}

// All at once: narrower floats in a larger matrix.
TEST(RestoreFit, WithACast) {
  const std::vector<float> values = {1, 2, 3, 1e9F, 5, 6};
  Tree tree;
  tree["v"] = Tensor::of(values.data(), {2, 3});
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  ASSERT_TRUE(manager.save(1, {{"state", tree}}).value());
  const Tree target = Tree::map({{"v", Tensor::abstract(DType::f16, {3, 2})}});
  const auto restored = restore(manager, {.name = "state", .target = target, .cast = true, .fit = true});
  ASSERT_EQ(error_of(restored), "");
  const auto* found = restored->items.front().tree.find("v")->get_if<Tensor>()->as<const std::uint16_t>();
  EXPECT_EQ(std::vector<std::uint16_t>(found, found + 6),
            (std::vector<std::uint16_t>{0x3c00, 0x4000, 0x7c00, 0x4500, 0, 0}));
}

}  // namespace
}  // namespace milepost::testing
