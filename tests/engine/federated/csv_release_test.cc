// What is in the file after releases, to the byte; and what is refused.
#include "tests/engine/federated/releases.h"

#include "milepost/engine/federated/file_checkpoint_manager.h"
#include "milepost/io/posix_store.h"
#include "tests/engine/hook_store.h"
#include "tests/support/fault_store.h"
#include "tests/support/temp_dir.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <limits>
#include <sstream>
#include <thread>
#include <utility>

namespace milepost::testing {
namespace {

using Map = ProgramValue::Map;
using List = ProgramValue::List;

// The file after these releases, which is the same in both modes.
std::string released(const std::vector<std::pair<std::int64_t, ProgramValue>>& releases,
                     const std::string& at_first = "") {
  std::string text;
  for (const CsvSaveMode mode : csv_modes) {
    const auto store = std::make_shared<SimulatedStore>();
    if (!at_first.empty()) put_text(*store, at_first);
    {
      auto manager = open_csv(store, mode);
      for (const auto& [key, value] : releases) EXPECT_OK(manager.release(value, key));
    }
    EXPECT_THAT(names_in(*store), ::testing::ElementsAre("metrics.csv"));
    const std::string found = text_of(*store);
    if (mode == CsvSaveMode::append) text = found;
    EXPECT_EQ(found, text) << "in write mode";
  }
  return text;
}

TEST(CsvRelease, AnEmptyFileHasAHeader) { EXPECT_EQ(released({}), "key\r\n"); }

TEST(CsvRelease, StructuresBecomeColumns) {
  std::int32_t ones[] = {1, 1, 1, 1};
  ProgramValue value = Map{{"b", 2},
                           {"a", Map{{"y", List{1.5, true}}, {"x", nullptr}}},
                           {"empty", Map{}},
                           {"none", List{}},
                           {"t", Tensor::of(ones, {2, 2})}};
  EXPECT_EQ(released({{7, value}}),
            "key,a/x,a/y/0,a/y/1,b,t\r\n"
            "7,,1.5,True,2,\"[[1, 1], [1, 1]]\"\r\n");
}

TEST(CsvRelease, AScalarHasAColumnWithoutAName) {
  EXPECT_EQ(released({{1, 0.5}, {2, 0.25}}), "key,\r\n1,0.5\r\n2,0.25\r\n");
  EXPECT_EQ(released({{1, nullptr}}), "key,\r\n1,\r\n");
}

TEST(CsvRelease, AnEmptyValueIsAKeyAlone) { EXPECT_EQ(released({{1, Map{}}, {2, List{}}}), "key\r\n1\r\n2\r\n"); }

TEST(CsvRelease, UnusualNumbers) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const std::uint16_t bf16_tenth = 0x3DCD;
  std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(released({{std::numeric_limits<std::int64_t>::min(), List{std::nan(""), inf, -inf, -0.0, 1e-7}},
                      {-1, List{0.1f, Tensor::view(&bf16_tenth, DType::bf16, {}), 1e16, 0, 0}},
                      {std::numeric_limits<std::int64_t>::max(),
                       List{std::numeric_limits<std::int64_t>::min(), Tensor::of(&most, {1}), most, 0, 0}}}),
            "key,0,1,2,3,4\r\n"
            "-9223372036854775808,nan,inf,-inf,-0.0,1e-07\r\n"
            "-1,0.1,0.1,1e+16,0,0\r\n"
            "9223372036854775807,-9223372036854775808,[18446744073709551615],18446744073709551615,0,0\r\n");
}

TEST(CsvRelease, TextOfEveryKind) {
  EXPECT_EQ(released({{1, Map{{"a,b", "x,y"}, {"line\nbreak", "1\r\n2"}, {"q\"", "say \"hi\""}, {"ü/ö", "東京"}}},
                      {2, Map{{"a,b", ""}, {"line\nbreak", " "}, {"q\"", "'"}, {"ü/ö", Tree(to_bytes("\x01,"))}}}}),
            "key,\"a,b\",\"line\nbreak\",\"q\"\"\",ü/ö\r\n"
            "1,\"x,y\",\"1\r\n2\",\"say \"\"hi\"\"\",東京\r\n"
            "2,, ,',\"b'\\x01,'\"\r\n");
}

TEST(CsvRelease, NewColumnsStandBehind) {
  EXPECT_EQ(released({{1, Map{{"b", 1}}}, {2, Map{{"a", 2}, {"b", 3}}}, {3, Map{{"a", 4}}}, {4, Map{{"c", 5}}}}),
            "key,b,a,c\r\n1,1,,\r\n2,3,2,\r\n3,,4,\r\n4,,,5\r\n");
}

TEST(CsvRelease, RowsOfTheKeyAndAboveGo) {
  const ProgramValue a = Map{{"a", 1}};
  const ProgramValue b = Map{{"b", 2}};
  EXPECT_EQ(released({{1, a}, {2, a}, {3, a}, {2, b}}), "key,a,b\r\n1,1,\r\n2,,2\r\n");
  EXPECT_EQ(released({{1, a}, {2, a}, {3, a}, {4, b}, {3, a}}), "key,a,b\r\n1,1,\r\n2,1,\r\n3,1,\r\n")
      << "a header stays as long as a row does";
  EXPECT_EQ(released({{1, a}, {2, a}, {1, b}}), "key,b\r\n1,2\r\n") << "and goes with the last";
  EXPECT_EQ(released({{-5, a}, {3, a}, {0, b}}), "key,a,b\r\n-5,1,\r\n0,,2\r\n");
  EXPECT_EQ(released({{1, b}}, "key,a\r\n"), "key,a,b\r\n1,,2\r\n") << "no row was removed";
  EXPECT_EQ(released({{8, a}}, "key,a\r\n9,9\r\n3,3\r\n7,7\r\n"), "key,a\r\n3,3\r\n7,7\r\n8,1\r\n")
      << "the greatest key counts, not the last";
}

TEST(CsvRelease, FilesOfOthersAreGoneOnWith) {
  const ProgramValue a = Map{{"a", 1}};
  EXPECT_EQ(released({{3, Map{{"b", 1}}}}, "a,key\n\n5,1\n\r\n6,2\n"), "a,key,b\r\n5,1,\r\n6,2,\r\n,3,1\r\n");
  EXPECT_EQ(released({{2, Map{{"b", 2}}}}, "key,a\r\n1,\"x\"\"\"\r\n"), "key,a,b\r\n1,\"x\"\"\",\r\n2,,2\r\n");
  for (const CsvSaveMode mode : csv_modes) {
    const auto store = std::make_shared<SimulatedStore>();
    put_text(*store, "key,a\n1,5\n2,6");
    EXPECT_OK(open_csv(store, mode).release(a, 30));
    EXPECT_EQ(text_of(*store),
              mode == CsvSaveMode::append ? "key,a\n1,5\n2,6\r\n30,1\r\n" : "key,a\r\n1,5\r\n2,6\r\n30,1\r\n");
  }
}

TEST(CsvRelease, ReferencesAndObjectsAreAwaited) {
  std::promise<double> loss;
  std::promise<float> tenth;
  loss.set_value(0.5);
  tenth.set_value(0.1f);
  EXPECT_EQ(released({{1, Map{{"loss", make_value_reference(loss.get_future().share())},
                              {"tenth", make_value_reference(tenth.get_future().share())}}}}),
            "key,loss,tenth\r\n1,0.5,0.1\r\n");
}

TEST(CsvRelease, NothingIsRemovedForAValueThatFails) {
  const auto store = std::make_shared<SimulatedStore>();
  auto manager = open_csv(store);
  for (const std::int64_t key : {1, 2, 3}) EXPECT_OK(manager.release(loss(0.5), key));
  const std::string before = text_of(*store);
  std::promise<double> promise;
  promise.set_exception(std::make_exception_ptr(std::runtime_error("diverged")));
  ProgramValue value;
  value["loss"] = make_value_reference(promise.get_future());
  expect_error(manager.release(value, 2), ErrorCode::failed_precondition,
               {"release 2: metrics.csv: leaf loss", "diverged"});
  EXPECT_EQ(text_of(*store), before);
}

TEST(CsvRelease, AnotherNameForTheKeys) {
  const auto store = std::make_shared<SimulatedStore>();
  auto manager = CsvFileReleaseManager::open(csv_name, {.key_fieldname = "round, from 1", .store = store}).value();
  EXPECT_OK(manager.release(Map{{"key", 5}}, 1));
  EXPECT_EQ(text_of(*store), "\"round, from 1\",key\r\n1,5\r\n");
}

struct BadValue {
  ProgramValue value;
  std::vector<std::string> parts;
};

TEST(CsvRelease, RefusesValues) {
  const auto store = std::make_shared<SimulatedStore>();
  auto manager = open_csv(store);
  EXPECT_OK(manager.release(loss(1), 1));
  const BadValue cases[] = {
      {Map{{"key", 1}}, {"release 2", "metrics.csv", "column \"key\"", "the keys"}},
      {Map{{"a/b", 1}, {"a", Map{{"b", 2}}}}, {"column \"a/b\"", "two leaves"}},
      {Map{{"x", Tree(std::string("a\0b", 3))}}, {"column \"x\"", "zero bytes"}},
      {Map{{std::string("x\0", 2), 1}}, {"zero bytes"}},
      {Map{{"x", Tensor::abstract(DType::f32, {2})}}, {"x"}},
      {Map{{"x", "\xFF"}}, {"x", "UTF-8"}},
      {Map{{"\xFF", 1}}, {"UTF-8"}},
      {Map{{"", 1}}, {}},
  };
  for (const BadValue& bad : cases) expect_error(manager.release(bad.value, 2), ErrorCode::invalid_argument, bad.parts);
  EXPECT_EQ(text_of(*store), "key,loss\r\n1,1.0\r\n");
}

struct BadFile {
  std::string text;
  ErrorCode code;
  std::vector<std::string> parts;
};

TEST(CsvRelease, RefusesFiles) {
  const BadFile cases[] = {
      {"", ErrorCode::failed_precondition, {"open metrics.csv", "\"key\"", "empty"}},
      {"\r\n\r\n", ErrorCode::failed_precondition, {"\"key\"", "header"}},
      {"Key,a\r\n", ErrorCode::failed_precondition, {"\"key\"", "header"}},
      {"key,a,a\r\n", ErrorCode::corruption, {"metrics.csv", "line 1", "two columns \"a\""}},
      {"key,a\r\n1,2,3\r\n", ErrorCode::corruption, {"metrics.csv", "line 2", "3 cells under 2 columns"}},
      {"key,a\r\n\r\n1,\"\n\"\r\n2\r\n", ErrorCode::corruption, {"line 5", "1 cells under 2 columns"}},
      {"key,a\r\n1.5,2\r\n", ErrorCode::corruption, {"line 2", "1.5", "integer"}},
      {"key,a\r\n+5,2\r\n", ErrorCode::corruption, {"line 2", "\"+5\"", "integer"}},
      {"key,a\r\n 5 ,2\r\n", ErrorCode::corruption, {"line 2", "\" 5 \"", "integer"}},
      {"key,a\r\n1_0,2\r\n", ErrorCode::corruption, {"line 2", "\"1_0\"", "integer"}},
      {"key,a\r\n,2\r\n", ErrorCode::corruption, {"line 2", "integer"}},
      {"key,a\r\n9223372036854775808,2\r\n", ErrorCode::corruption, {"line 2", "64 bits"}},
      {"key,a\r\n1,\"2\r\n", ErrorCode::corruption, {"line 2", "does not end"}},
      {std::string("key,a\r\n1,\0\0\r\n", 13), ErrorCode::corruption, {"line 2", "zero byte"}},
  };
  for (const BadFile& bad : cases) {
    const auto store = std::make_shared<SimulatedStore>();
    put_text(*store, bad.text);
    expect_error(CsvFileReleaseManager::open(csv_name, {.store = store}), bad.code, bad.parts);
    EXPECT_EQ(text_of(*store), bad.text);
    EXPECT_THAT(names_in(*store), ::testing::ElementsAre("metrics.csv")) << bad.text;
  }
}

TEST(CsvRelease, RefusesArguments) {
  const auto store = std::make_shared<SimulatedStore>();
  for (const char* const path : {"", "dir/", ".", "a/..", "/"}) {
    expect_error(CsvFileReleaseManager::open(path, {.store = store}), ErrorCode::invalid_argument, {"file's name"});
  }
  expect_error(CsvFileReleaseManager::open("a.csv", {.key_fieldname = "", .store = store}), ErrorCode::invalid_argument,
               {"key_fieldname"});
  expect_error(CsvFileReleaseManager::open("a.csv", {.key_fieldname = "\xFF", .store = store}),
               ErrorCode::invalid_argument, {"key_fieldname"});
  for (const char* const name : {"a.csv.gz", "a.bz2", "a.xz", "a.zst"}) {
    expect_error(CsvFileReleaseManager::open(name, {.store = store}), ErrorCode::invalid_argument,
                 {name, "CsvSaveMode::write"});
  }
  EXPECT_OK(store->make_directory("a.csv"));
  EXPECT_TRUE(CsvFileReleaseManager::open("a.csv", {.store = store}).has_error());
}

TEST(CsvRelease, OnlyOneManagerAFile) {
  const TempDir directory;
  const std::string path = directory.string() + "/new/metrics.csv";
  {
    auto manager = CsvFileReleaseManager::open(path).value();
    expect_error(CsvFileReleaseManager::open(path, {.save_mode = CsvSaveMode::write}), ErrorCode::unavailable,
                 {path, "somebody else"});
    EXPECT_OK(CsvFileReleaseManager::open(directory.string() + "/new/other.csv"));
    EXPECT_OK(manager.release(loss(1), 1));
  }
  EXPECT_OK(CsvFileReleaseManager::open(path).value().release(loss(2), 2));
  const auto store = PosixStore::open(directory.string() + "/new").value();
  EXPECT_EQ(text_of(*store), "key,loss\r\n1,1.0\r\n2,2.0\r\n");
}

TEST(CsvRelease, ANameAloneIsInTheWorkingDirectory) {
  const TempDir directory;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory.path());
  EXPECT_OK(CsvFileReleaseManager::open("bare.csv"));
  std::filesystem::current_path(before);
  EXPECT_TRUE(std::filesystem::exists(directory.path() / "bare.csv"));
}

TEST(CsvRelease, ForeignFilesStay) {
  const auto store = std::make_shared<SimulatedStore>();
  put_text(*store, "x", "metrics.csv.bak");
  put_text(*store, "x", ".tmp-notes");
  put_text(*store, "x", "metrics.csv_temp1234");
  EXPECT_OK(open_csv(store).release(loss(1), 1));
  EXPECT_OK(open_csv(store, CsvSaveMode::write).release(loss(1), 1));
  EXPECT_THAT(names_in(*store),
              ::testing::ElementsAre(".tmp-notes", "metrics.csv", "metrics.csv.bak", "metrics.csv_temp1234"));
}

TEST(CsvRelease, ChangesByOthersAreSeen) {
  for (const CsvSaveMode mode : csv_modes) {
    const auto store = std::make_shared<SimulatedStore>();
    auto manager = open_csv(store, mode);
    EXPECT_OK(manager.release(loss(1), 1));
    put_text(*store, "loss,key\r\n1.0,1\r\n0.5,7\r\n");
    EXPECT_OK(manager.release(loss(2), 5));
    EXPECT_EQ(text_of(*store), "loss,key\r\n1.0,1\r\n2.0,5\r\n");
    EXPECT_OK(store->remove_file(csv_name));
    expect_error(manager.release(loss(2), 6), ErrorCode::not_found, {"release 6: metrics.csv"});
  }
}

TEST(CsvRelease, AChangeInTheMiddleOfARewriteIsNotOverwritten) {
  for (const Operation moment : {Operation::write, Operation::sync, Operation::close}) {
    const auto disk = std::make_shared<SimulatedStore>();
    const auto hooks = std::make_shared<HookStore>(disk);
    auto manager = open_csv(hooks, CsvSaveMode::write);
    EXPECT_OK(manager.release(loss(1), 1));
    bool done = false;
    hooks->before([&](Operation operation, const std::string& path) {
      if (operation != moment || path.find("metrics.csv") == std::string::npos || std::exchange(done, true)) return;
      put_text(*disk, "key,loss\r\n1,1.0\r\n2,9.0\r\n");
    });
    expect_error(manager.release(loss(2), 3), ErrorCode::unavailable, {"somebody else"});
    EXPECT_TRUE(done);
    EXPECT_EQ(text_of(*disk), "key,loss\r\n1,1.0\r\n2,9.0\r\n");
    EXPECT_OK(manager.release(loss(2), 3));
    EXPECT_EQ(text_of(*disk), "key,loss\r\n1,1.0\r\n2,9.0\r\n3,2.0\r\n");
  }
}

// Somebody who changes it as soon as it has its name again is not taken for this manager.
TEST(CsvRelease, AChangeRightAfterARewriteIsSeen) {
  for (const CsvSaveMode mode : csv_modes) {
    const auto disk = std::make_shared<SimulatedStore>();
    const auto hooks = std::make_shared<HookStore>(disk);
    auto manager = open_csv(hooks, mode);
    hooks->after([&](Operation operation, const std::string&) {
      if (operation == Operation::replace_file) put_text(*disk, "x,key\r\n7,1\r\n");
    });
    EXPECT_OK(manager.release(loss(1), 1));
    hooks->after({});
    EXPECT_OK(manager.release(loss(2), 3));
    EXPECT_EQ(text_of(*disk), "x,key,loss\r\n7,1,\r\n,3,2.0\r\n");
  }
}

// What writes the file anew has nothing to do with any round of a simulation beside it.
TEST(CsvRelease, ARewriteIsNoAttemptToSaveAStep) {
  const auto disk = std::make_shared<SimulatedStore>();
  const auto hooks = std::make_shared<HookStore>(disk);
  auto manager = open_csv(hooks, CsvSaveMode::write);
  FileCheckpointManager rounds("simulated", {.store = disk});
  bool looked = false;
  hooks->before([&](Operation operation, const std::string&) {
    if (operation != Operation::replace_file) return;
    looked = true;
    EXPECT_THAT(names_in(*disk), ::testing::Contains(::testing::StartsWith(".tmp-")));
    const auto loaded = rounds.load_checkpoint(loss(0), 0);
    expect_error(loaded, ErrorCode::not_found, {"step 0"});
    EXPECT_THAT(error_of(loaded), ::testing::Not(::testing::HasSubstr("attempt")));
  });
  EXPECT_OK(manager.release(loss(1), 1));
  EXPECT_TRUE(looked);
}

// There is no memory for a view that repeats one number, if all of it is to be printed.
TEST(CsvRelease, WhatIsTooLargeToPrintIsAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers end the process where memory is refused";
#endif
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  const rlimit limited{std::min<rlim_t>(before.rlim_max, rlim_t{16} << 30), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limited), 0);
  const auto store = std::make_shared<SimulatedStore>();
  auto manager = open_csv(store);
  float one = 1;
  const Tensor huge = Tensor::of(&one, {std::int64_t{1} << 40}, {0});
  expect_error(manager.release(Map{{"a", List{1, huge}}}, 1), ErrorCode::no_space, {"release 1", "\"a/1\"", "memory"});
  EXPECT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_EQ(text_of(*store), "key\r\n");
  EXPECT_OK(manager.release(loss(1), 1));
}

TEST(CsvRelease, AppendingDoesNotReadTheFile) {
  const auto disk = std::make_shared<SimulatedStore>();
  std::string text = "key,loss\r\n";
  for (int key = 0; key < 20'000; ++key) text += std::to_string(key) + ",0.5\r\n";
  put_text(*disk, text);
  const auto faults = std::make_shared<FaultStore>(disk);
  auto manager = open_csv(faults);
  const std::size_t opened = faults->log().size();
  for (const std::int64_t key : {20'000, 20'001}) EXPECT_OK(manager.release(loss(1), key));
  EXPECT_EQ(text_of(*disk), text + "20000,1.0\r\n20001,1.0\r\n");
  const auto log = faults->log();
  EXPECT_LT(log.size() - opened, 40u);
  const auto is_read = [](const LoggedOperation& entry) { return entry.operation == Operation::read; };
  EXPECT_EQ(std::count_if(log.begin() + static_cast<std::ptrdiff_t>(opened), log.end(), is_read), 4)
      << "a block before each append, and the row after it";
}

TEST(CsvRelease, ManyThreadsOneFile) {
  const TempDir directory;
  const std::string path = directory.string() + "/" + csv_name;
  {
    auto manager = CsvFileReleaseManager::open(path).value();
    std::atomic<std::int64_t> next = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (std::int64_t key; (key = next++) < 40;) EXPECT_OK(manager.release(loss(static_cast<double>(key)), key));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  // Whatever the order was, each row is whole and right, and keys ascend.
  const auto store = PosixStore::open(directory.string()).value();
  std::istringstream lines(text_of(*store));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(line, "key,loss\r");
  std::int64_t last = -1;
  while (std::getline(lines, line)) {
    const std::int64_t key = std::stoll(line);
    EXPECT_GT(key, last);
    last = key;
    EXPECT_EQ(line, std::to_string(key) + "," + std::to_string(key) + ".0\r");
  }
  EXPECT_GE(last, 0);
}

TEST(CsvRelease, CompressedFiles) {
  for (const std::string name : {"a.csv.gz", "a.csv.bz2", "a.csv.xz", "a.csv.zst"}) {
    const auto store = std::make_shared<SimulatedStore>();
    const auto open = [&] {
      return CsvFileReleaseManager::open(name, {.save_mode = CsvSaveMode::write, .store = store});
    };
    EXPECT_OK(open());
    EXPECT_EQ(rows_of(*store, name), "key\r\n") << name;
    EXPECT_OK(open()->release(loss(1), 1));
    EXPECT_OK(open()->release(loss(2), 2));
    EXPECT_OK(open()->release(Map{{"x", "a,b"}}, 2));
    EXPECT_EQ(rows_of(*store, name), "key,loss,x\r\n1,1.0,\r\n2,,\"a,b\"\r\n") << name;
    const std::string bytes = text_of(*store, name);
    put_text(*store, bytes.substr(0, bytes.size() / 2), name);
    expect_error(open(), ErrorCode::corruption, {name, "decompressed"});
    put_text(*store, "", name);
    expect_error(open(), ErrorCode::failed_precondition, {"empty"});
  }
}

}  // namespace
}  // namespace milepost::testing
