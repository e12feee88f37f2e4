// Items of other kinds than trees, through real saves and restores; and a handler of a user's own.
#include "milepost/engine/item_handler.h"

#include "tests/engine/open_manager.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>

#include <algorithm>

// What a user writes for a type of his own: the place of a data loader in its data.
struct Loader {
  std::int64_t epoch = 0;
  std::vector<std::int64_t> order;
  bool operator==(const Loader&) const = default;
};

template <> struct milepost::ItemHandler<Loader> {
  static constexpr std::string_view name = "test.loader";

  static Result<Tree> to_tree(const Loader& loader) {
    if (loader.epoch < 0) return Error(ErrorCode::invalid_argument, "a loader that was never started");
    auto order = Tensor::allocate(DType::i64, {std::ssize(loader.order)});
    if (order.has_error()) return order.error();
    std::copy(loader.order.begin(), loader.order.end(), order->as<std::int64_t>());
    return Tree::map({{"epoch", loader.epoch}, {"order", *order}});
  }

  static Result<Loader> from_tree(Tree tree) {
    const Tree* const epoch = tree.find("epoch");
    const Tree* const order = tree.find("order");
    if (!epoch || !order || !epoch->get_if<std::int64_t>() || !order->get_if<Tensor>()) {
      return Error(ErrorCode::corruption, "no loader");
    }
    const auto& tensor = *order->get_if<Tensor>();
    const auto* const first = tensor.as<std::int64_t>();
    return Loader{*epoch->get_if<std::int64_t>(), {first, first + tensor.element_count()}};
  }
};

namespace milepost::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Restores what was saved, as another process does.
Restored through_a_save(Items items) {
  const auto store = std::make_shared<SimulatedStore>();
  EXPECT_TRUE(open_manager(small_options(store)).save(1, std::move(items)).value());
  return open_manager(small_options(store)).restore().value();
}

TEST(ItemHandler, AUsersOwnType) {
  const Loader loader{3, {2, 0, 1}};
  const Restored restored =
      through_a_save({{"state", small_tree(1)}, make_item("loader", loader).value(), {"plain", Tree(5)}});
  EXPECT_EQ(restored.get<Loader>("loader").value(), loader);
  EXPECT_EQ(restored.items[0].handler, "test.loader");
  EXPECT_EQ(restored.items[1].handler, "");
  EXPECT_EQ(difference(restored.get<Tree>("state").value(), small_tree(1)), "");
}

TEST(ItemHandler, WhatAHandlerRefusesNamesTheItem) {
  const auto item = make_item("loader", Loader{-1, {}});
  ASSERT_TRUE(item.has_error());
  EXPECT_EQ(item.error().to_string(), "item loader: a loader that was never started");
  const auto value = value_of<Loader>({"loader", Tree(1), "test.loader"});
  ASSERT_TRUE(value.has_error());
  EXPECT_EQ(value.error().to_string(), "item loader: no loader");
}

TEST(ItemHandler, TheWrongHandlerIsRefusedByBothNames) {
  const Restored restored = through_a_save({make_item("loader", Loader{}).value(), {"state", small_tree(1)}});
  const auto expect_refused = [](const auto& result, const char* story) {
    ASSERT_TRUE(result.has_error());
    EXPECT_EQ(result.error().code(), ErrorCode::failed_precondition);
    EXPECT_EQ(result.error().to_string(), story);
  };
  expect_refused(restored.get<JsonText>("loader"),
                 "item loader: was saved by the handler test.loader, and cannot be restored by the handler json");
  expect_refused(restored.get<Loader>("state"),
                 "item state: was saved as a tree, and cannot be restored by the handler test.loader");
  expect_refused(restored.get<Tree>("loader"),
                 "item loader: was saved by the handler test.loader, and cannot be restored as a tree");
  const auto missing = restored.get<Loader>("laoder");
  ASSERT_TRUE(missing.has_error());
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_THAT(missing.error().to_string(), AllOf(HasSubstr("laoder"), HasSubstr("loader, state")));
}

TEST(ItemHandler, ANameThatNoRecordCouldHoldIsRefused) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  for (const std::string name : {"a/b", ".a", "a\n", "\xff"}) {
    const auto saved = manager.save(1, {{"state", Tree(1), name}});
    ASSERT_TRUE(saved.has_error()) << name;
    EXPECT_THAT(saved.error().to_string(), HasSubstr("item state: the name of a handler"));
  }
}

TEST(ItemHandler, JsonComesBackByteForByte) {
  const std::string large = "[" + std::string(100'000, ' ') + "]";
  for (const std::string& text : {std::string("{ \"b\" : 1.50,\n\t\"a\":[1e3, -0, \"\\u00e4\"] }\n"),
                                  std::string("null"), std::string("1.0"), std::string("\"\""), large}) {
    const Restored restored = through_a_save({make_item("config", JsonText{text}).value()});
    EXPECT_EQ(restored.get<JsonText>("config").value().text, text);
  }
  for (const char* text : {"", "{", "{\"a\":1,\"a\":2}", "nul", "\"\xff\"", "1 2"}) {
    const auto item = make_item("config", JsonText{text});
    ASSERT_TRUE(item.has_error()) << text;
    EXPECT_EQ(item.error().code(), ErrorCode::invalid_argument);
    EXPECT_THAT(item.error().to_string(), HasSubstr("item config: "));
  }
}

TEST(ItemHandler, RawBytes) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{3}, std::size_t{4096}, std::size_t{5'000'000}}) {
    Tree::Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
    const Restored restored = through_a_save({make_item("bytes", bytes).value()});
    EXPECT_EQ(restored.get<Tree::Bytes>("bytes").value(), bytes);
  }
}

TEST(ItemHandler, ASingleArray) {
  const std::vector<Shape> shapes = {{}, {0}, {2, 3}, {0, 4}};
  for (const Shape& shape : shapes) {
    const Tensor array = make_tensor(DType::f32, shape, Layout::packed, 7);
    const Restored restored = through_a_save({make_item("array", array).value()});
    EXPECT_EQ(difference(Tree(restored.get<Tensor>("array").value()), Tree(array)), "") << to_string(shape);
  }
}

// In place: the target is a tree that is the tensor.
TEST(ItemHandler, ASingleArrayIntoTheCallersMemory) {
  auto manager = open_manager(small_options(std::make_shared<SimulatedStore>()));
  const Tensor array = make_tensor(DType::f32, {4, 5}, Layout::transposed, 7);
  ASSERT_TRUE(manager.save(1, {make_item("array", array).value()}).value());
  std::vector<float> memory(20);
  const Tensor target = Tensor::of(memory.data(), {4, 5});
  const auto restored = manager.restore(1, {.items = {{.name = "array", .target = Tree(target)}}});
  EXPECT_EQ(restored.value().get<Tensor>("array").value().as<float>(), memory.data());
  EXPECT_EQ(difference(Tree(target), Tree(array)), "");
}

// A tree that no handler made, under a handler's name, as in a file that was tampered with.
TEST(ItemHandler, AnotherTreeThanTheHandlersIsCorruption) {
  const auto code = [](const auto& result) { return result.error().code(); };
  EXPECT_EQ(code(value_of<JsonText>({"x", Tree(1), "json"})), ErrorCode::corruption);
  EXPECT_EQ(code(value_of<Tree::Bytes>({"x", Tree("text"), "bytes"})), ErrorCode::corruption);
  EXPECT_EQ(code(value_of<Tensor>({"x", Tree(), "array"})), ErrorCode::corruption);
}

}  // namespace
}  // namespace milepost::testing
