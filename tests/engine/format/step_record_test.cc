#include "milepost/engine/format/step_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <rapidcheck.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

namespace milepost {
namespace {

using ::testing::HasSubstr;
constexpr const char* record_attempt = "01234567-89ab-4cde-8f01-23456789abcd";

StepRecord example_record() {
  StepRecord record;
  record.step = 42;
  record.attempt = record_attempt;
  record.world_size = 2;
  record.init_unix_ns = 1'700'000'000'000'000'000;
  record.commit_unix_ns = 1'700'000'001'000'000'000;
  record.metrics = {{"loss", 0.1}, {"\"odd\"\n", -0.0}};
  record.custom_metadata_json = R"({"git":"abc","lr":[1.50,1e-3]})";
  record.items = {{"model", 10, Digest::of("m"), 3, 100, 90}, {"optimizer", 11, Digest::of("o"), 0, 0, 0}};
  return record;
}

// A record with that text behind its first line, and a digest that matches.
std::string sealed(const std::string& body) { return "{\"xxh3_128\":\"" + Digest::of(body).hex() + "\",\n" + body; }
std::string body_of(const std::string& text) { return text.substr(text.find('\n') + 1); }

TEST(StepRecord, RoundTrips) {
  const StepRecord record = example_record();
  const auto decoded = decode_step_record(encode_step_record(record));
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(*decoded, record);
  EXPECT_TRUE(std::signbit(decoded->metrics.at("\"odd\"\n")));
}

TEST(StepRecord, EveryDoubleSurvivesAsAMetric) {
  const auto round_trips = [](double value) {
    StepRecord record = example_record();
    record.metrics = {{"m", value}};
    const auto decoded = decode_step_record(encode_step_record(record));
    if (decoded.has_error()) return false;
    const double back = decoded->metrics.at("m");
    return std::isnan(value) ? std::isnan(back)
                             : std::bit_cast<std::uint64_t>(back) == std::bit_cast<std::uint64_t>(value);
  };
  using Limits = std::numeric_limits<double>;
  for (const double value :
       {0.0, -0.0, 1.0, 1e100, Limits::max(), Limits::lowest(), Limits::min(), Limits::denorm_min(), Limits::infinity(),
        -Limits::infinity(), Limits::quiet_NaN(), -Limits::quiet_NaN()}) {
    EXPECT_TRUE(round_trips(value)) << value;
  }
  EXPECT_TRUE(rc::check([&] { RC_ASSERT(round_trips(std::bit_cast<double>(*rc::gen::arbitrary<std::uint64_t>()))); }));
}

TEST(StepRecord, AnyDamageIsFound) {
  const std::string text = encode_step_record(example_record());
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      EXPECT_TRUE(decode_step_record(flipped).has_error()) << i;
    }
    EXPECT_TRUE(decode_step_record(text.substr(0, i)).has_error()) << i;
    EXPECT_TRUE(decode_step_record(std::string(text).erase(i, 1)).has_error()) << i;
  }
  EXPECT_TRUE(decode_step_record(text + "\n").has_error());
}

TEST(StepRecord, EachFaultBehindAMatchingDigestIsNamed) {
  const struct {
    const char* from;
    const char* to;
    const char* fragment;
  } table[] = {
      {"\"step\":42", "\"step\":-42", "step record: step: expected an integer"},
      {"\"step\":42", "\"step\":4.2e1", "found 4.2e1"},
      {"\"step\":42", "\"step\":42,\"xxh3_128\":\"\"", "duplicate key \"xxh3_128\""},
      {"\"step\":42", "\"step\":42,\"extra\":{}", "unknown field \"extra\""},
      {"\"world_size\":2", "\"world_size\":0", "world_size: expected at least 1"},
      {"\"world_size\":2", "\"world_size\":4294967296", "world_size: expected an integer"},
      {"\"world_size\":2,\n", "", "no field \"world_size\""},
      {"\"init_unix_ns\":1700000000000000000", "\"init_unix_ns\":9223372036854775808",
       "init_unix_ns: expected an integer"},
      {"01234567", "0123456x", "attempt: not a uuid"},
      {"\"0.1\"", "0.1", "metrics: loss: expected a number in quotes, found 0.1"},
      {"\"0.1\"", "\"0.10\"", "metrics: loss"},
      {"\"0.1\"", "\"1e999\"", "metrics: loss"},
      {"\"0.1\"", "\"NAN\"", "metrics: loss"},
      {"\"0.1\"", "\" 1\"", "metrics: loss"},
      {"\"0.1\"", "\"\"", "metrics: loss"},
      {"\"loss\"", "\"\"", "metrics: a name that is empty"},
      {"\"loss\"", "\"loss\":\"1\",\"loss\"", "duplicate key \"loss\""},
      {"\"model\"", "\"../model\"", "items[0]: name: a name must not begin with a '.'"},
      {"\"model\"", "\"zebra\"", "items: their names do not ascend"},
      {"\"model\"", "\"optimizer\"", "items: their names do not ascend"},
      {"\"manifest_bytes\":10", "\"manifest_bytes\":1073741825",
       "items[0]: manifest_bytes: expected an integer from 0 to 1073741824"},
      {"\"leaf_count\":3", "\"leaf_count\":3,\"x\":0", "items[0]: unknown field \"x\""},
      {"[1.50,1e-3]", "[1.50,1e-3", "malformed JSON"},
      {"[1.50,1e-3]", "{\"a\":0,\"a\":0}", "duplicate key \"a\""},
      {"\"items\":[", "\"items\":[5,", "items[0]: expected an object, found 5"},
  };
  const std::string body = body_of(encode_step_record(example_record()));
  for (const auto& [from, to, fragment] : table) {
    std::string changed = body;
    ASSERT_NE(changed.find(from), std::string::npos) << from;
    changed.replace(changed.find(from), std::string_view(from).size(), to);
    const auto decoded = decode_step_record(sealed(changed));
    ASSERT_TRUE(decoded.has_error()) << fragment;
    EXPECT_EQ(decoded.error().code(), ErrorCode::corruption);
    EXPECT_THAT(decoded.error().to_string(), HasSubstr(fragment));
  }
  EXPECT_TRUE(decode_step_record(sealed(body)).has_value());
}

// Takes out each field that has to be there, gives each another kind of value, and puts one more beside them.
template <class Record>
void expect_each_field_is_needed(const std::string& record, Result<Record> (*decode)(std::string_view)) {
  using Json = nlohmann::ordered_json;
  const Json whole = Json::parse("{" + body_of(record));
  const auto expect_refused = [&](const Json& changed, const std::string& field) {
    const auto decoded = decode(sealed(changed.dump().substr(1)));
    ASSERT_TRUE(decoded.has_error()) << changed.dump();
    EXPECT_THAT(decoded.error().to_string(), HasSubstr(field)) << changed.dump();
  };
  const std::function<void(const Json::json_pointer&)> visit = [&](const Json::json_pointer& at) {
    if (whole[at].is_array()) {
      for (std::size_t i = 0; i < whole[at].size(); ++i) visit(at / i);
    }
    if (!whole[at].is_object()) return;
    Json more = whole;
    more[at]["surplus"] = 0;
    expect_refused(more, "surplus");
    for (const auto& [field, value] : whole[at].items()) {
      SCOPED_TRACE((at / field).to_string());
      if (field != "handlers" && field != "save") {
        Json less = whole;
        less[at].erase(field);
        expect_refused(less, field);
      }
      if (field == "custom_metadata") continue;
      for (const Json& other : {Json(nullptr), Json(true), Json(-0.5), Json("?"), Json::array({7}), Json::object()}) {
        const bool may_be = other.is_string() && (field == "name" || field == "mode" || field == "codec");
        if (may_be || (other.type() == value.type() && value.is_structured())) continue;
        Json changed = whole;
        changed[at / field] = other;
        expect_refused(changed, field);
      }
      if (field != "metrics" && field != "handlers") visit(at / field);
    }
  };
  visit(Json::json_pointer());
}

TEST(StepRecord, EachFieldIsNeededAndOfItsKind) {
  StepRecord record = example_record();
  record.items[1].handler = "json";
  record.save = SaveFigures{"lazy", "zstd:3", 0, 1'500'000, 2'000'000, 3};
  expect_each_field_is_needed(encode_step_record(record), decode_step_record);
}

// The first minor version that has them; a record without is as old as it can be, and read by older readers.
TEST(StepRecord, HandlersAreRecordedInVersionOneOne) {
  EXPECT_THAT(encode_step_record(example_record()), HasSubstr("\"minor\":0}"));
  StepRecord record = example_record();
  record.items[1].handler = "json";
  const std::string text = encode_step_record(record);
  EXPECT_THAT(text, HasSubstr("\"format\":{\"major\":1,\"minor\":1},"));
  EXPECT_THAT(text, HasSubstr("}],\n\"handlers\":{\"optimizer\":\"json\"},\n\"custom_metadata\""));
  const auto decoded = decode_step_record(text);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(*decoded, record);

  const std::string handlers = "{\"optimizer\":\"json\"}";
  for (const auto& [changed, fragment] : std::map<std::string, const char*>{
           {"[]", "handlers: expected an object, found an array"},
           {"{\"optimiser\":\"json\"}", "handlers: there is no item optimiser"},
           {"{\"optimizer\":7}", "handlers: optimizer: expected the name of a handler, found 7"},
           {"{\"optimizer\":\"\"}", "handlers: optimizer: expected the name of a handler"},
           {"{\"optimizer\":\"a/b\"}", "handlers: optimizer: expected the name of a handler"}}) {
    std::string body = body_of(text);
    body.replace(body.find(handlers), handlers.size(), changed);
    const auto refused = decode_step_record(sealed(body));
    ASSERT_TRUE(refused.has_error()) << changed;
    EXPECT_THAT(refused.error().to_string(), HasSubstr(fragment));
  }
}

TEST(StepRecord, HowTheSaveWentIsRecordedInVersionOneOne) {
  StepRecord record = example_record();
  record.save = SaveFigures{"lazy", "zstd:3", 0, 1'500'000, std::numeric_limits<std::int64_t>::max(), 3};
  const std::string text = encode_step_record(record);
  EXPECT_THAT(text, HasSubstr("\"format\":{\"major\":1,\"minor\":1},"));
  const std::string save =
      "{\"mode\":\"lazy\",\"codec\":\"zstd:3\",\"waited_ns\":0,\"captured_ns\":1500000,"
      "\"written_ns\":9223372036854775807,\"retries\":3}";
  EXPECT_THAT(text, HasSubstr("}],\n\"save\":" + save + ",\n\"custom_metadata\""));
  const auto decoded = decode_step_record(text);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(*decoded, record);
  for (const auto& [changed, fragment] : std::map<std::string, const char*>{
           {"[]", "save"},
           {"{\"mode\":\"lazy\"}", "codec"},
           {"{\"mode\":\"lazy\",\"codec\":\"x\",\"waited_ns\":-1,\"captured_ns\":0,\"written_ns\":0}", "waited_ns"}}) {
    std::string body = body_of(text);
    body.replace(body.find(save), save.size(), changed);
    const auto refused = decode_step_record(sealed(body));
    ASSERT_TRUE(refused.has_error()) << changed;
    EXPECT_THAT(refused.error().to_string(), HasSubstr(fragment));
  }
}

TEST(StepRecord, TextsThatAreNoRecord) {
  for (const std::string& text :
       {std::string(), std::string("{}"), body_of(encode_step_record(example_record())), std::string(200, ' ')}) {
    EXPECT_THAT(decode_step_record(text).error().to_string(), HasSubstr("its first line is no digest"));
  }
  EXPECT_THAT(decode_step_record(sealed("")).error().to_string(), HasSubstr("malformed JSON"));
  EXPECT_THAT(decode_step_record(sealed(std::string(step_record_bytes_max, ' '))).error().to_string(),
              HasSubstr("larger than 16 MiB"));
  std::string newer = body_of(encode_step_record(example_record()));
  newer.replace(newer.find("\"major\":1"), 9, "\"major\":3");
  EXPECT_EQ(decode_step_record(sealed(newer)).error().code(), ErrorCode::failed_precondition);
}

TEST(RootRecord, RoundTripsAndFindsDamage) {
  const RootRecord record{record_attempt, 1'700'000'000'000'000'000, R"({"run":"a/b","x":[]})"};
  const std::string text = encode_root_record(record);
  const auto decoded = decode_root_record(text);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(*decoded, record);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string flipped = text;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_TRUE(decode_root_record(flipped).has_error()) << i;
  }
  EXPECT_TRUE(decode_root_record(encode_step_record(example_record())).has_error());
}

TEST(RootRecord, EachFieldIsNeededAndOfItsKind) {
  expect_each_field_is_needed(encode_root_record({record_attempt, 1, "{}"}), decode_root_record);
}

TEST(CustomMetadata, ComesBackCompact) {
  const auto compact = compact_custom_metadata(" { \"b\" : 1.50, \"a\":[ null ] } ");
  ASSERT_TRUE(compact.has_value());
  EXPECT_EQ(*compact, R"({"b":1.50,"a":[null]})");
  EXPECT_EQ(*compact_custom_metadata(*compact), *compact);
  std::string deep = std::string(32, '[') + std::string(32, ']');
  EXPECT_TRUE(compact_custom_metadata(deep).has_value());
  const std::string large = "\"" + std::string(std::size_t{4} << 20, 'x') + "\"";
  for (const std::string& json :
       {large, std::string(), std::string("{"), std::string("1,\"step\":7"), std::string("{\"a\":1,\"a\":2}"),
        std::string("\"\xFF\""), std::string("nan"), "[" + deep + "]"}) {
    const auto refused = compact_custom_metadata(json);
    ASSERT_TRUE(refused.has_error()) << json;
    EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument);
  }
}

TEST(Metrics, NeedNames) {
  EXPECT_TRUE(check_metrics({{"loss", 1.0}}).has_value());
  EXPECT_TRUE(check_metrics({{"", 1.0}}).has_error());
  EXPECT_TRUE(check_metrics({{"\xFF", 1.0}}).has_error());
  EXPECT_TRUE(check_metrics({{std::string(1025, 'x'), 1.0}}).has_error());
  Metrics most;
  // The longest names, of characters that JSON escapes: what passes the checks can be read again.
  for (int i = 0; i < 1000; ++i) most[std::string(1020, '\x01') + std::to_string(1000 + i)] = -1.2345678901234567e-300;
  ASSERT_TRUE(check_metrics(most).has_value());
  StepRecord record = example_record();
  record.metrics = most;
  record.custom_metadata_json = "\"" + std::string((std::size_t{4} << 20) - 2, 'x') + "\"";
  ASSERT_TRUE(compact_custom_metadata(record.custom_metadata_json).has_value());
  const auto decoded = decode_step_record(encode_step_record(record));
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(*decoded, record);
  most["one more"] = 0;
  EXPECT_TRUE(check_metrics(most).has_error());
}

}  // namespace
}  // namespace milepost
