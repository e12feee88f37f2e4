// Program state: what is saved comes back as it was, what does not fit is told, and nothing else is touched.
#include "milepost/engine/federated/file_program_state_manager.h"

#include "milepost/policy/program_state_retention.h"
#include "tests/engine/federated/program_states.h"
#include "tests/engine/small_steps.h"
#include "tests/policy/steps.h"
#include "tests/support/simulated_store.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <filesystem>
#include <limits>
#include <new>
#include <set>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ProgramState, GoesOnWhereItWas) {
  const TempDir dir;
  const std::string root = dir.string() + "/not/there/yet";
  {
    auto states = FileProgramStateManager::open(root, small_states()).value();
    EXPECT_FALSE(states.get_versions().value().has_value());
    const auto nothing = states.load_latest(structure()).value();
    EXPECT_FALSE(nothing.state.has_value());
    EXPECT_EQ(nothing.version, 0);
    save_versions(states, {3, 7});
  }
  auto states = FileProgramStateManager::open(root, small_states()).value();
  EXPECT_THAT(versions_of(states), ElementsAre(3, 7));
  EXPECT_TRUE(fs::is_regular_file(root + "/program_state_7/step.json"));
  const auto latest = states.load_latest(structure()).value();
  EXPECT_EQ(latest.version, 7);
  EXPECT_EQ(difference_to_state(*latest.state, 7), "");
  EXPECT_THAT(latest.skipped, IsEmpty());
  EXPECT_LOADS(states, 3);
}

// Types are kept, whatever lies in the structure; the structure itself is only looked at.
TEST(ProgramState, BringsBackEveryLeafAsItWas) {
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  const Tree tree = full_tree(5);
  ASSERT_TRUE(states.save(tree, 1).has_value());
  const Tree target = target_like(tree, Layout::packed);
  const Tree before = deep_copy(target);
  for (const StructureMatch match : {StructureMatch::strict, StructureMatch::loose}) {
    for (const Tree& form : {target, abstract_like(tree)}) {
      auto loaded = states.load(1, form, {match});
      ASSERT_TRUE(loaded.has_value()) << loaded.error().to_string();
      EXPECT_EQ(difference(tree, materialize(*loaded).value()), "");
    }
  }
  EXPECT_EQ(difference(before, target), "");
  for (const Tree& root : {Tree(), Tree(true), Tree("text"), Tree::map(), Tree::list(), *tree.find("large")}) {
    auto one = open_states(small_states(std::make_shared<SimulatedStore>()));
    EXPECT_OK(one.save(root, 0));
    EXPECT_EQ(difference(root, materialize(one.load(0, root).value()).value()), "") << root.describe();
  }
}

TEST(ProgramState, BringsBackUnusualNumbers) {
  const auto float_bits = [](std::uint32_t bits) { return std::bit_cast<float>(bits); };
  std::vector<float> floats = {float_bits(0x7fc12345),
                               float_bits(0xff800001),
                               INFINITY,
                               -INFINITY,
                               -0.0F,
                               1e-07F,
                               0.1F,
                               std::numeric_limits<float>::denorm_min()};
  std::vector<std::uint16_t> bf16 = {0x7fc1, 0xff81, 0x7f80, 0xff80, 0x8000, 0x0001};
  ProgramValue state;
  state["floats"] = Tensor::of(floats.data(), {2, 4});
  state["bf16"] = Tensor::view(bf16.data(), DType::bf16, {6});
  for (const double value : {std::bit_cast<double>(std::uint64_t{0x7ff4000000abcdef}), -std::nan(""), HUGE_VAL,
                             -HUGE_VAL, -0.0, 1e-07, 0.1, std::numeric_limits<double>::denorm_min()}) {
    state["double " + std::to_string(state.get_if<ProgramValue::Map>()->size())] = value;
  }
  state["least"] = std::numeric_limits<std::int64_t>::min();
  state["most"] = std::numeric_limits<std::int64_t>::max();
  state["most unsigned"] = std::numeric_limits<std::uint64_t>::max();
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  ASSERT_TRUE(states.save(state, std::numeric_limits<std::int64_t>::max()).has_value());
  const auto latest = states.load_latest(state).value();
  EXPECT_EQ(latest.version, std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(difference(materialize(state).value(), materialize(*latest.state).value()), "");
}

// A reference in the structure stands for whatever leaf was saved.
TEST(ProgramState, AReferenceInTheStructureTakesAnyLeaf) {
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  const Tree tree = full_tree(1);
  EXPECT_OK(states.save(tree, 1));
  ProgramValue form = tree;
  ProgramValue& values = form["values"];
  for (const char* key : {"null", "int", "text", "long text", "bytes", "long bytes"}) {
    values[key] = make_value_reference(std::future<int>());
  }
  form["large"] = make_value_reference(std::future<int>());
  EXPECT_EQ(difference(tree, materialize(states.load(1, form).value()).value()), "");
  values["empty map"] = make_value_reference(std::future<int>());
  values["more"] = make_value_reference(std::future<int>());
  expect_error(states.load(1, form), ErrorCode::structure_mismatch,
               {"values/empty map: the checkpoint has a map", "values/more: missing in the checkpoint"});
}

TEST(ProgramState, AStructureThatDoesNotFitIsToldLeafByLeaf) {
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  save_versions(states, {4});
  ProgramValue other = structure();
  other["model"]["w"] = make_tensor(DType::f64, {16, 10}, Layout::packed, 1);
  other["model"]["n"] = make_tensor(DType::i64, {3, 7}, Layout::packed, 1);
  other["sampler"] = 3;
  other["loss"] = Sampler{};
  other["more"] = nullptr;
  const auto loaded = states.load(4, other);
  expect_error(
      loaded, ErrorCode::structure_mismatch,
      {"step 4: ", "5 differences", "model/w: the checkpoint has a tensor F32[16, 10], the target a tensor F64",
       "model/n: ", "sampler: the checkpoint has a bytes, the target a int64",
       "loss: the checkpoint has a double, the target a bytes", "more: missing in the checkpoint"});
  // The same number of leaves is enough, if asked for.
  expect_error(states.load(4, other, {StructureMatch::loose}), ErrorCode::structure_mismatch,
               {"step 4: the structure has 7 leaves, the checkpoint 6"});
  expect_error(states.load_latest(other, {.fallback = true}), ErrorCode::structure_mismatch, {"step 4: "});
  const auto six = ProgramValue::list({1, 2, 3, 4, 5, ProgramValue::list({Sampler{}})});
  const auto by_count = states.load(4, six, {StructureMatch::loose}).value();
  const auto& leaves = *by_count.get_if<ProgramValue::List>();
  EXPECT_EQ(*leaves[0].get_if<double>(), 0.5) << "loss, the first by name, keeps its type";
  EXPECT_EQ(leaves[5].get_if<ProgramValue::List>()->at(0).get_if<Sampler>()->seed, 4);
  const auto crossed = ProgramValue::list({Sampler{}, 2, 3, 4, 5, 6});
  expect_error(states.load(4, crossed, {StructureMatch::loose}), ErrorCode::structure_mismatch,
               {"step 4: leaf 0: the checkpoint has a double, the structure an object"});
}

TEST(ProgramState, AnObjectThatRefusesItsBytesIsTold) {
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  ProgramValue state;
  state["sampler"] = Tree::Bytes();
  EXPECT_OK(states.save(state, 1));
  state["sampler"] = Sampler{};
  expect_error(states.load(1, state), ErrorCode::corruption, {"step 1: leaf sampler: a sampler without a seed"});
}

TEST(ProgramState, AReferenceThatFailsLeavesNoVersionBehind) {
  const auto disk = std::make_shared<SimulatedStore>();
  auto states = open_states(small_states(disk));
  save_versions(states, {1});
  const auto before = names_in(*disk);
  ProgramValue state = state_of(2);
  state["late"] = make_value_reference(ready(Result<double>(Error(ErrorCode::unavailable, "no clients"))));
  expect_error(states.save(state, 2), ErrorCode::unavailable, {"step 2: leaf late: no clients"});
  EXPECT_EQ(names_in(*disk), before);
  EXPECT_OK(states.save(state_of(2), 2));
  EXPECT_LOADS(states, 2);
}

TEST(ProgramState, AVersionThatIsThereIsNotTouched) {
  const auto disk = std::make_shared<SimulatedStore>();
  auto states = open_states(small_states(disk));
  auto others = open_states(small_states(disk));
  save_versions(others, {5});
  std::atomic<bool> asked = false;
  ProgramValue state;
  state["x"] = make_value_reference(std::async(std::launch::deferred, [&] {
    asked = true;
    return 1;
  }));
  expect_error(states.save(state, 5), ErrorCode::already_exists, {"step 5: ", "program_state_5"});
  EXPECT_FALSE(asked) << "nothing is awaited for nothing";
  EXPECT_LOADS(states, 5);
  EXPECT_OK(states.remove_all());
  EXPECT_OK(others.save(state_of(6), 5));
  EXPECT_EQ(difference_to_state(states.load(5, structure()), 6), "");
}

TEST(ProgramState, AnyUnusedVersionMayBeSaved) {
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  save_versions(states, {10, 2, 7});
  EXPECT_THAT(versions_of(states), ElementsAre(2, 7, 10));
  for (const std::int64_t version : {2, 7, 10}) EXPECT_LOADS(states, version);
}

TEST(ProgramState, WhatDoesNotWorkIsRefused) {
  struct Case {
    const char* parts;
    FileProgramStateManagerOptions options;
    const char* root = "simulated";
  };
  const auto with = [](auto change) {
    auto options = small_states();
    change(options);
    return options;
  };
  const TempDir dir;
  for (const Case& c : {
           Case{"root_dir is empty", small_states(), ""},
           Case{"keep_every_k is 0", with([](auto& o) { o.keep_every_k = 0; })},
           Case{"keep_every_k is -1", with([](auto& o) { o.keep_every_k = -1; })},
           Case{"must not end in a digit", with([](auto& o) { o.prefix = "state1"; })},
           Case{"prefix \"a/b\"", with([](auto& o) { o.prefix = "a/b"; })},
           Case{"prefix \".tmp-\"", with([](auto& o) { o.prefix = ".tmp-"; })},
           Case{"staging_bytes", with([](auto& o) { o.staging_bytes = 1; })},
           Case{"worker_threads", with([](auto& o) { o.worker_threads = -1; })},
       }) {
    const std::string root = *c.root ? dir.string() + "/" + c.root : "";
    expect_error(FileProgramStateManager::open(root, c.options), ErrorCode::invalid_argument,
                 {"open " + root, c.parts});
  }

  const auto disk = std::make_shared<SimulatedStore>();
  auto states = open_states(small_states(disk));
  save_versions(states, {1});
  const auto before = names_in(*disk);
  expect_error(states.save(state_of(1), -1), ErrorCode::invalid_argument, {"step -1: ", "negative"});
  expect_error(states.save(Tree("\xff"), 2), ErrorCode::invalid_argument, {"step 2: ", "not UTF-8"});
  expect_error(states.save(Tree::map({{"a", Tree(Tensor::abstract(DType::f32, {1}))}}), 2), ErrorCode::invalid_argument,
               {"step 2: ", "leaf a: the tensor has no memory"});
  ProgramValue deep;
  for (int i = 0; i <= tree_depth_max; ++i) deep = ProgramValue::list({deep});
  expect_error(states.save(deep, 2), ErrorCode::invalid_argument, {"step 2: ", "deep"});
  EXPECT_EQ(names_in(*disk), before);
  expect_error(states.load(2, structure()), ErrorCode::not_found, {"step 2: ", "the latest is 1"});
  expect_error(states.load(-1, structure()), ErrorCode::not_found, {"step -1: "});
  ProgramValue bad = structure();
  bad["model"]["w"] = Tensor::abstract(DType::f32, {-1});
  expect_error(states.load(1, bad), ErrorCode::invalid_argument, {"step 1: ", "leaf model/w"});
}

TEST(ProgramState, ReadOnlyChangesNothing) {
  const TempDir dir;
  auto read_only = small_states();
  read_only.read_only = true;
  expect_error(FileProgramStateManager::open(dir.string() + "/none", read_only), ErrorCode::not_found, {"none"});
  auto states = FileProgramStateManager::open(dir.string(), small_states()).value();
  save_versions(states, {1});
  auto reader = FileProgramStateManager::open(dir.string(), read_only).value();
  save_versions(states, {2});
  EXPECT_THAT(versions_of(reader), ElementsAre(1, 2)) << "as the directory has them now";
  EXPECT_EQ(reader.load_latest(structure())->version, 2);
  expect_error(reader.save(state_of(3), 3), ErrorCode::failed_precondition, {"read-only"});
  expect_error(reader.remove_all(), ErrorCode::failed_precondition, {"read-only"});
}

// --- What survives.

// Saved in any order: what the policy says of what is there, and what was just saved.
RC_GTEST_PROP(ProgramStateProperty, KeepsWhatThePolicySays, ()) {
  const ProgramStateRetention policy{*rc::gen::inRange<std::int64_t>(-1, 5), *rc::gen::arbitrary<bool>(),
                                     *rc::gen::inRange<std::int64_t>(1, 4)};
  auto options = small_states(std::make_shared<SimulatedStore>());
  options.keep_total = policy.keep_total;
  options.keep_first = policy.keep_first;
  options.keep_every_k = policy.keep_every_k;
  auto states = open_states(options);
  std::set<std::int64_t> expected;
  const auto versions = *rc::gen::resize(9, rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 12)));
  for (const std::int64_t version : versions) {
    const auto saved = states.save(Tree(version), version);
    RC_ASSERT(saved.has_error() == expected.contains(version));
    if (saved.has_error()) continue;
    expected.insert(version);
    const auto kept_now = kept(policy, steps_of({expected.begin(), expected.end()}));
    expected = {kept_now.begin(), kept_now.end()};
    expected.insert(version);
    RC_ASSERT(versions_of(states) == (std::vector<std::int64_t>{expected.begin(), expected.end()}));
  }
}

// --- What is not its own.

TEST(ProgramState, ForeignFilesAreNeverTouched) {
  const auto disk = std::make_shared<SimulatedStore>();
  auto options = small_states(disk);
  options.keep_total = 1;
  options.keep_first = false;
  auto states = open_states(options);
  const std::vector<std::string> directories = {"program_state_",
                                                "program_state_-1",
                                                "program_state_007",
                                                "program_state_1_0",
                                                "program_state_9_temp1234",
                                                "program_state_6",
                                                "program_state_9223372036854775808",
                                                "program_state_ 3",
                                                "other_4"};
  for (const std::string& name : directories) {
    EXPECT_OK(disk->make_directory(name));
    EXPECT_OK(write_file(*disk, name + "/saved_model.pb", to_bytes("somebody's")));
  }
  EXPECT_OK(write_file(*disk, "program_state_8", to_bytes("a file")));
  const auto foreign = names_in(*disk);
  EXPECT_FALSE(states.get_versions().value().has_value());
  EXPECT_FALSE(states.load_latest(structure())->state.has_value());
  save_versions(states, {1, 2, 3});
  EXPECT_THAT(versions_of(states), ElementsAre(3));
  for (const std::int64_t taken : {6, 8}) {
    expect_error(states.save(state_of(1), taken), ErrorCode::already_exists, {"step " + std::to_string(taken)});
    expect_error(states.load(taken, structure()), taken == 6 ? ErrorCode::not_found : ErrorCode::io,
                 {"step " + std::to_string(taken)});
  }
  EXPECT_OK(states.remove_all());
  EXPECT_FALSE(states.get_versions().value().has_value());
  EXPECT_EQ(names_in(*disk), foreign);
  for (const std::string& name : directories) EXPECT_THAT(names_in(*disk, name), ElementsAre("saved_model.pb"));
}

TEST(ProgramState, ManagersOfSeveralPrefixesShareADirectory) {
  const auto disk = std::make_shared<SimulatedStore>();
  const auto with = [&](const std::string& prefix) {
    auto options = small_states(disk);
    options.prefix = prefix;
    options.keep_total = 2;
    options.keep_first = false;
    return open_states(options);
  };
  auto a = with("a_");
  auto b = with("a_b_");
  auto c = with("");
  auto steps = small_options(disk);
  steps.step_prefix = "step_";
  steps.max_to_keep = 1;
  auto other = open_manager(steps);
  for (const std::int64_t version : {1, 2, 3}) {
    save_versions(a, {version});
    save_versions(b, {version + 10});
    save_versions(c, {version + 20});
    EXPECT_TRUE(other.save(version, small_tree(9)).value());
    EXPECT_OK(other.wait_until_finished());
  }
  EXPECT_THAT(versions_of(a), ElementsAre(2, 3));
  EXPECT_THAT(versions_of(b), ElementsAre(12, 13));
  EXPECT_THAT(versions_of(c), ElementsAre(22, 23));
  EXPECT_OK(a.remove_all());
  EXPECT_THAT(versions_of(a), IsEmpty());
  for (const std::int64_t version : {12, 13}) EXPECT_LOADS(b, version);
  EXPECT_THAT(other.all_steps(true).value(), ElementsAre(3));
}

TEST(ProgramState, RemovesWhatOtherManagersSaved) {
  const auto disk = std::make_shared<SimulatedStore>();
  auto states = open_states(small_states(disk));
  auto others = open_states(small_states(disk));
  save_versions(states, {1, 2});
  save_versions(others, {3, 4, 5, 6});
  EXPECT_THAT(versions_of(others), ElementsAre(1, 3, 4, 5, 6));
  save_versions(states, {7});
  EXPECT_THAT(versions_of(states), ElementsAre(1, 4, 5, 6, 7));
}

TEST(ProgramState, RemovesAllButWhatSomebodyHasOpen) {
  const auto disk = std::make_shared<SimulatedStore>();
  auto states = open_states(small_states(disk));
  save_versions(states, {1, 2, 3});
  auto steps = small_options(disk);
  steps.step_prefix = "program_state_";
  auto other = open_manager(steps);
  {
    const auto reader = other.open_step(2);
    ASSERT_TRUE(reader.has_value());
    expect_error(states.remove_all(), ErrorCode::unavailable, {"step 2"});
    EXPECT_THAT(versions_of(states), ElementsAre(2));
  }
  EXPECT_OK(states.remove_all());
  EXPECT_THAT(versions_of(states), IsEmpty());
  EXPECT_OK(states.remove_all());
  save_versions(states, {2});
  EXPECT_LOADS(states, 2);
}

// --- A newest version that is damaged.

void damage(Store& store, const std::string& file) {
  auto bytes = read_file(store, file, 1 << 20).value();
  bytes[bytes.size() / 2] ^= std::byte{1};
  EXPECT_OK(store.remove_file(file));
  EXPECT_OK(write_file(store, file, bytes));
}

TEST(ProgramState, FallsBackOnlyIfAskedAndSaysWhy) {
  const auto disk = std::make_shared<SimulatedStore>();
  auto states = open_states(small_states(disk));
  save_versions(states, {1, 2, 3, 4});
  damage(*disk, "program_state_4/state/manifest.json");
  damage(*disk, "program_state_3/step.json");
  expect_error(states.load_latest(structure()), ErrorCode::corruption, {"step 4", "manifest.json"});
  const auto latest = states.load_latest(structure(), {.fallback = true}).value();
  EXPECT_EQ(latest.version, 2);
  EXPECT_EQ(difference_to_state(*latest.state, 2), "");
  ASSERT_EQ(latest.skipped.size(), 2u);
  EXPECT_EQ(latest.skipped[0].version, 4);
  EXPECT_THAT(latest.skipped[0].reason.to_string(), HasSubstr("manifest.json"));
  EXPECT_EQ(latest.skipped[1].version, 3);
  EXPECT_THAT(latest.skipped[1].reason.to_string(), HasSubstr("step.json"));

  // Nothing is good: that is not the same as nothing being there.
  for (const std::int64_t version : {1, 2}) {
    damage(*disk, "program_state_" + std::to_string(version) + "/state/manifest.json");
  }
  expect_error(states.load_latest(structure(), {.fallback = true}), ErrorCode::corruption,
               {"none of the 4 versions", "step 4", "step 1"});
  // A version whose record is damaged does not count, and stays.
  auto next = open_states(small_states(disk));
  save_versions(next, {5, 6});
  EXPECT_THAT(versions_of(next), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_OK(next.remove_all());
  EXPECT_THAT(versions_of(next), IsEmpty());
}

// What makes nothing of bytes that are what was saved: an older version is no better.
template <ErrorCode code> struct Failing {
  Tree::Bytes to_bytes() const { return {}; }
  static Result<Failing> from_bytes(std::span<const std::byte>) { return Error(code, "cannot be"); }
};
struct Throwing {
  Tree::Bytes to_bytes() const { return {}; }
  static Throwing from_bytes(std::span<const std::byte>) { throw std::bad_alloc(); }
};

TEST(ProgramState, DoesNotFallBackForTheProgramsOwnErrors) {
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  save_versions(states, {1, 2});
  const auto load = [&](const ProgramValue& sampler) {
    ProgramValue form = structure();
    form["sampler"] = sampler;
    return states.load_latest(form, {.fallback = true});
  };
  expect_error(load(Throwing{}), ErrorCode::failed_precondition, {"step 2: leaf sampler: from_bytes threw"});
  expect_error(load(Failing<ErrorCode::io>{}), ErrorCode::io, {"step 2: leaf sampler: cannot be"});
  expect_error(load(Failing<ErrorCode::corruption>{}), ErrorCode::corruption, {"step 2: leaf sampler: cannot be"});
  EXPECT_EQ(load(Sampler{})->version, 2);
}

// A float is the tensor that numpy users have in a float32 of their own.
TEST(ProgramState, AFloatComesBackAsAFloat) {
  auto states = open_states(small_states(std::make_shared<SimulatedStore>()));
  ProgramValue state;
  state["loss"] = 0.1f;
  EXPECT_OK(states.save(state, 1));
  state["loss"] = 0.0f;
  const auto loaded = states.load(1, state).value();
  EXPECT_EQ(*loaded.get_if<ProgramValue::Map>()->at("loss").get_if<Tensor>()->as<float>(), 0.1f);
  state["loss"] = 0.0;
  expect_error(states.load(1, state), ErrorCode::structure_mismatch, {"loss: the checkpoint has a tensor F32[]"});
}

}  // namespace
}  // namespace milepost::testing
