// Values of federated programs: what they are made of, and how they become trees.
#include "milepost/engine/federated/value.h"

#include "tests/engine/federated/program_states.h"

#include <atomic>
#include <functional>
#include <latch>
#include <stdexcept>

namespace milepost::testing {
namespace {

using List = ProgramValue::List;

// Bytes and back without a Result.
struct Plain {
  char letter = 'a';
  Tree::Bytes to_bytes() const { return {static_cast<std::byte>(letter)}; }
  static Plain from_bytes(std::span<const std::byte> bytes) { return {static_cast<char>(bytes[0])}; }
};

struct Refusing {
  Result<Tree::Bytes> to_bytes() const { throw std::runtime_error("not today"); }
  static Refusing from_bytes(std::span<const std::byte>) { throw 7; }
};

struct OnlyOneWay {
  Tree::Bytes to_bytes() const { return {}; }
};

static_assert(Serializable<Plain> && Serializable<Refusing> && Serializable<Sampler>);
static_assert(!Serializable<OnlyOneWay> && !Serializable<int> && !Serializable<Tree>);
static_assert(std::convertible_to<Plain, ProgramValue> && !std::convertible_to<OnlyOneWay, ProgramValue>);

class Reference final : public MaterializableValueReference {
 public:
  explicit Reference(std::function<Result<Tree>()> get) : get_(std::move(get)) {}
  Result<Tree> get_value() override { return get_(); }

 private:
  const std::function<Result<Tree>()> get_;
};
ValueReference reference(std::function<Result<Tree>()> get) { return std::make_shared<Reference>(std::move(get)); }

TEST(ProgramValue, HoldsEveryTree) {
  const Tree tree = full_tree(3);
  const ProgramValue value = tree;
  EXPECT_EQ(difference(tree, materialize(value).value()), "");
  EXPECT_EQ(difference(Tree(), materialize(ProgramValue()).value()), "");
  EXPECT_EQ(difference(Tree("x"), materialize("x").value()), "");
}

// The number that was given, in its own precision and in memory of its own.
TEST(ProgramValue, AFloatStaysAFloat) {
  float number = 0.1f;
  const Tree expected = Tensor::of(&number, {});
  float lvalue = number;
  const ProgramValue value = lvalue;
  lvalue = 0;
  for (const ProgramValue& same :
       {value, ProgramValue(make_value_reference(ready(number))),
        ProgramValue(make_value_reference(ready(number).share())),
        ProgramValue(make_value_reference(ready(Result<float>(number)))), *List{0.1f}.begin()}) {
    EXPECT_EQ(difference(expected, materialize(same).value()), "");
  }
  EXPECT_EQ(value.describe(), "tensor F32[]");
  EXPECT_EQ(ProgramValue(0.1).describe(), "double");
}

TEST(ProgramValue, KnowsWhatItHolds) {
  ProgramValue value;
  value["tree"] = Tree::map({{"n", 1}, {"list", Tree::list({2, "three"})}});
  value["object"] = Plain{'p'};
  value["reference"] = make_value_reference(ready(4.0));
  const auto& map = *value.get_if<ProgramValue::Map>();
  const auto& tree = *map.at("tree").get_if<ProgramValue::Map>();
  EXPECT_EQ(*tree.at("n").get_if<std::int64_t>(), 1);
  EXPECT_EQ(*tree.at("list").get_if<List>()->at(1).get_if<std::string>(), "three");
  EXPECT_EQ(map.at("object").get_if<Plain>()->letter, 'p');
  EXPECT_EQ(map.at("object").get_if<Sampler>(), nullptr) << "of another type";
  EXPECT_EQ(map.at("object").get_if<Tree::Bytes>(), nullptr);
  EXPECT_NE(map.at("reference").get_if<ValueReference>(), nullptr);
  EXPECT_EQ(map.at("tree").describe() + " " + tree.at("list").describe() + " " + tree.at("n").describe() + " " +
                map.at("object").describe() + " " + map.at("reference").describe(),
            "map list int64 object reference");
  EXPECT_THROW(value["object"]["x"], std::logic_error);
  EXPECT_EQ(ProgramValue(ValueReference()).describe(), "null");
  EXPECT_EQ(ProgramValue(ProgramValue::Object()).describe(), "null");
}

TEST(ProgramValue, CopiesAreIndependent) {
  ProgramValue value;
  value["a"] = 1;
  ProgramValue copy = value;
  copy["a"] = 2;
  copy["b"] = 3;
  EXPECT_EQ(difference(Tree::map({{"a", 1}}), materialize(value).value()), "");
}

TEST(Materialize, TakesValuesOfEveryKindOfReference) {
  ProgramValue value;
  value["future"] = make_value_reference(ready<std::int64_t>(1));
  value["shared"] = make_value_reference(ready(std::string("two")).share());
  value["deferred"] = make_value_reference(std::async(std::launch::deferred, [] { return 3.0; }));
  value["result"] = make_value_reference(ready(Result<Tree>(Tree::list({4, nullptr}))));
  value["own"] = ProgramValue::list({reference([] { return Tree::map({{"five", 5}}); })});
  value["object"] = Plain{'s'};
  value["empty"] = ProgramValue::map();
  const Tree expected = Tree::map({{"future", 1},
                                   {"shared", "two"},
                                   {"deferred", 3.0},
                                   {"result", Tree::list({4, nullptr})},
                                   {"own", Tree::list({Tree::map({{"five", 5}})})},
                                   {"object", to_bytes("s")},
                                   {"empty", Tree::map()}});
  EXPECT_EQ(difference(expected, materialize(value).value()), "");
  EXPECT_EQ(difference(expected, materialize(value).value()), "") << "a second time";
}

// Each waits until the others have been asked, too: one after the other would wait for ever.
TEST(Materialize, AwaitsAllAtTheSameTime) {
  std::latch all(4);
  const auto meet = [&](int result) {
    all.arrive_and_wait();
    return Tree(result);
  };
  ProgramValue value;
  value["a"] = reference([&] { return meet(1); });
  value["b"] = ProgramValue::list({reference([&] { return meet(2); })});
  value["c"] = make_value_reference(std::async(std::launch::deferred, meet, 3));
  value["d"] = make_value_reference(std::async(std::launch::deferred, meet, 4));
  EXPECT_EQ(difference(Tree::map({{"a", 1}, {"b", Tree::list({2})}, {"c", 3}, {"d", 4}}), materialize(value).value()),
            "");
}

TEST(Materialize, AsksOnceForWhatStandsInSeveralPlaces) {
  std::atomic<int> asked = 0;
  const ValueReference shared = reference([&] { return Tree(++asked); });
  EXPECT_EQ(difference(Tree::list({1, 1, 1}), materialize(List{shared, shared, shared}).value()), "");
}

TEST(Materialize, TellsTheFirstErrorOfTheLeavesWhenAllHaveEnded) {
  std::atomic<int> ended = 0;
  std::latch failed(1);
  List list(12);
  list[11] = reference([&]() -> Result<Tree> {
    failed.wait();  // the error of an earlier leaf may come later in time, or the other way round
    ++ended;
    return Error(ErrorCode::no_space, "the last");
  });
  list[10] = reference([&]() -> Result<Tree> {
    ++ended;
    failed.count_down();
    return Error(ErrorCode::io, "the last but one");
  });
  list[2] = reference([&]() -> Result<Tree> {
    failed.wait();
    ++ended;
    return Error(ErrorCode::unavailable, "the first");
  });
  list[3] = Refusing{};
  const auto tree = materialize(ProgramValue::map({{"list", list}}));
  expect_error(tree, ErrorCode::unavailable, {"leaf list/2: the first"});
  EXPECT_EQ(ended, 3);
  expect_error(materialize(List{1, Refusing{}, reference([] { return Error(ErrorCode::io, "later"); })}),
               ErrorCode::failed_precondition, {"leaf 1: to_bytes threw: not today"});
}

TEST(Materialize, TurnsWhatIsThrownIntoErrors) {
  struct Case {
    const char* what;
    ValueReference thrower;
    ErrorCode code;
    const char* text;
  };
  std::future<int> broken = std::promise<int>().get_future();
  const std::vector<Case> cases = {
      {"exception", reference([]() -> Tree { throw std::runtime_error("no luck"); }), ErrorCode::failed_precondition,
       "leaf a/b: the value threw: no luck"},
      {"anything", reference([]() -> Tree { throw 3; }), ErrorCode::failed_precondition, "leaf a/b: the value threw"},
      {"of a future",
       make_value_reference(std::async(std::launch::deferred, []() -> int { throw std::logic_error("x"); })),
       ErrorCode::failed_precondition, "leaf a/b: the value threw: x"},
      {"error in an exception",
       reference([]() -> Tree { throw CheckpointError(Error(ErrorCode::no_space, "full").within("disk")); }),
       ErrorCode::no_space, "leaf a/b: disk: full"},
      {"error of a future", make_value_reference(ready(Result<double>(Error(ErrorCode::io, "torn")))), ErrorCode::io,
       "leaf a/b: torn"},
      {"broken promise", make_value_reference(std::move(broken)), ErrorCode::failed_precondition, "leaf a/b: "},
      {"nobody's future", make_value_reference(std::future<int>()), ErrorCode::invalid_argument, "leaf a/b: "},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    ProgramValue value;
    value["a"]["b"] = c.thrower;
    expect_error(materialize(value), c.code, {c.text});
    expect_error(materialize(c.thrower), c.code, {"the value: "});
  }
}

TEST(ProgramObject, ComesBackAsWhatItWas) {
  const ProgramValue value = Plain{'q'};
  const auto& object = std::get<ProgramValue::Object>(value.value());
  const auto back = object->from_bytes(object->to_bytes().value());
  EXPECT_EQ(ProgramValue(back.value()).get_if<Plain>()->letter, 'q');
  const ProgramValue sampler = Sampler{};
  expect_error(std::get<ProgramValue::Object>(sampler.value())->from_bytes({}), ErrorCode::corruption,
               {"a sampler without a seed"});
}

class ThrowingObject final : public ProgramObject {
 public:
  Result<Tree::Bytes> to_bytes() const override { throw std::runtime_error("not me"); }
  Result<std::shared_ptr<const ProgramObject>> from_bytes(std::span<const std::byte>) const override { throw 7; }
};

TEST(ProgramObject, MayThrow) {
  const ProgramValue own = ProgramValue::Object(std::make_shared<ThrowingObject>());
  expect_error(materialize(ProgramValue::map({{"own", own}})), ErrorCode::failed_precondition,
               {"leaf own: to_bytes threw: not me"});
}

}  // namespace
}  // namespace milepost::testing
