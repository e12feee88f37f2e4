#include "milepost/engine/format/safetensors.h"

#include "tests/support/bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace milepost {
namespace {

using ::testing::HasSubstr;
using testing::to_bytes;

std::string file_of(const std::string& json, std::size_t data_bytes = 0) {
  std::string text(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = static_cast<char>(json.size() >> (8 * i));
  return text + json + std::string(data_bytes, 'd');
}

SafetensorsHeader example_header() {
  SafetensorsHeader header;
  header.metadata = {{"format", "pt"}, {"a\"b", "\n"}};
  header.entries = {{"w", DType::f32, {2, 3}, 0, 24},
                    {"scalar", DType::i64, {}, 24, 32},
                    {"empty", DType::bf16, {0, 5}, 32, 32},
                    {"a/\xC3\xA9", DType::f4, {2}, 32, 33}};
  return header;
}

TEST(Safetensors, RoundTripsAtEveryAlignment) {
  for (const std::size_t alignment : {1, 8, 4096}) {
    const auto text = encode_safetensors_header(example_header(), alignment);
    ASSERT_TRUE(text.has_value()) << text.error().to_string();
    EXPECT_EQ(text->size() % alignment, 0U);
    const auto decoded = decode_safetensors_header(to_bytes(*text), text->size() + 33);
    ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
    EXPECT_EQ(*decoded, example_header());
  }
  const auto empty = encode_safetensors_header({}, 1);
  EXPECT_EQ(*empty, file_of("{}"));
  EXPECT_EQ(*decode_safetensors_header(to_bytes(*empty), empty->size()), SafetensorsHeader());
}

TEST(Safetensors, EveryDTypeRoundTrips) {
  SafetensorsHeader header;
  std::uint64_t end = 0;
  for (int i = 0; i < dtype_count; ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::uint64_t bytes = static_cast<std::uint64_t>(bits_of(dtype));
    header.entries.push_back({std::string(name_of(dtype)), dtype, {8}, end, end + bytes});
    end += bytes;
  }
  const auto text = encode_safetensors_header(header, 8);
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(*decode_safetensors_header(to_bytes(*text), text->size() + end), header);
}

TEST(Safetensors, IsWrittenAsTheSpecificationSays) {
  SafetensorsHeader header;
  header.metadata = {{"k", "v"}};
  header.entries = {{"w", DType::bf16, {2, 3}, 0, 12}};
  const std::string json = R"({"__metadata__":{"k":"v"},"w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}})";
  EXPECT_EQ(*encode_safetensors_header(header, 64), file_of(json + std::string(128 - 8 - json.size(), ' ')));
}

TEST(Safetensors, EncodingRefusesWhatNoReaderTakes) {
  const auto fault = [](std::vector<SafetensorsEntry> entries) {
    const auto text = encode_safetensors_header({{}, std::move(entries)}, 1);
    EXPECT_EQ(text.error().code(), ErrorCode::invalid_argument);
    return text.error().to_string();
  };
  EXPECT_THAT(fault({{"__metadata__", DType::u8, {1}, 0, 1}}), HasSubstr("no tensor can have the name"));
  EXPECT_THAT(fault({{"a", DType::u8, {1}, 0, 1}, {"a", DType::u8, {1}, 1, 2}}),
              HasSubstr("two tensors of the name a"));
  EXPECT_THAT(fault({{"a", DType::u8, {1}, 1, 2}}), HasSubstr("begins at 1, not at 0"));
  EXPECT_THAT(fault({{"a", DType::u8, {2}, 0, 1}}), HasSubstr("1 bytes, but its shape needs 2"));
}

TEST(Safetensors, AHeaderBeyondTheFormatsLimitIsNotWritten) {
  SafetensorsHeader header;
  header.metadata["x"] = std::string(100'000'000, 'x');
  EXPECT_THAT(encode_safetensors_header(header, 1).error().to_string(), HasSubstr("more than 100,000,000 bytes"));
}

TEST(Safetensors, EachFaultIsNamed) {
  const struct {
    const char* json;
    std::size_t data_bytes;
    const char* fragment;
  } table[] = {
      {"", 0, "does not begin with '{'"},
      {" {}", 0, "does not begin with '{'"},
      {"[]", 0, "does not begin with '{'"},
      {"{", 0, "malformed JSON"},
      {"{}x", 0, "malformed JSON"},
      {"{\"\xFF\":1}", 0, "not UTF-8"},
      {"{}", 1, "describes 0 bytes; the file has 1"},
      {R"({"a":1})", 0, "tensor a: expected an object, found 1"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 0, "describes 1 bytes; the file has 0"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2, "describes 1 bytes; the file has 2"},
      {R"({"a":{"dtype":"U9","shape":[1],"data_offsets":[0,1]}})", 1, "tensor a: unknown dtype U9"},
      {R"({"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}})", 1, "tensor a: dtype: expected a string"},
      {R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "no field \"dtype\""},
      {R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "no field \"shape\""},
      {R"({"a":{"dtype":"U8","shape":[1]}})", 1, "no field \"data_offsets\""},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":0}})", 1, "unknown field \"x\""},
      {R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "shape: expected an integer"},
      {R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1, "found 1.0"},
      {R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1, "shape: expected an array"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, "data_offsets: expected 2 integers, found 1"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, "data_offsets: expected 2 integers, found 3"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,-1]}})", 1, "data_offsets: expected an integer"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551616]}})", 1,
       "data_offsets: expected an integer"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, "tensor a: begins at 1, not at 0"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
       3, "tensor b: begins at 2, not at 1"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2, "tensor b: begins at 1, not at 2"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})",
       1, "tensor b: ends before it begins"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,2]}})", 2, "2 bytes, but its shape needs 4"},
      {R"({"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}})", 1, "not a whole number of bytes"},
      {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "is too large"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2, "duplicate key \"a\""},
      {R"({"__metadata__":[]})", 0, "__metadata__: expected an object"},
      {R"({"__metadata__":{"a":1}})", 0, "__metadata__: expected a string, found 1"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", 0, "duplicate key \"a\""},
  };
  for (const auto& [json, data_bytes, fragment] : table) {
    const std::string file = file_of(json, data_bytes);
    const auto decoded = decode_safetensors_header(to_bytes(file), file.size());
    ASSERT_TRUE(decoded.has_error()) << json;
    EXPECT_EQ(decoded.error().code(), ErrorCode::corruption) << json;
    EXPECT_THAT(decoded.error().to_string(), HasSubstr(fragment)) << json;
  }
}

TEST(Safetensors, LengthsThatLie) {
  const auto fault = [](std::uint64_t length, std::uint64_t file_bytes) {
    std::string text = file_of("{}");
    for (std::size_t i = 0; i < 8; ++i) text[i] = static_cast<char>(length >> (8 * i));
    return decode_safetensors_header(to_bytes(text), file_bytes).error().to_string();
  };
  EXPECT_THAT(fault(2, 7), HasSubstr("shorter than 8 bytes"));
  EXPECT_THAT(fault(100'000'001, 1'000'000'000), HasSubstr("more than 100,000,000 bytes"));
  EXPECT_THAT(fault(~std::uint64_t{0}, 10), HasSubstr("more than 100,000,000 bytes"));
  EXPECT_THAT(fault(3, 10), HasSubstr("exceeds the file"));
  EXPECT_THAT(fault(3, 20), HasSubstr("fewer bytes were given"));
}

TEST(Safetensors, FileOrderIsThatOfTheOffsets) {
  const std::string file = file_of(
      R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"z":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},)"
      R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   )",
      2);
  const auto decoded = decode_safetensors_header(to_bytes(file), file.size());
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(decoded->entries[0].name + decoded->entries[1].name + decoded->entries[2].name, "azb");
}

}  // namespace
}  // namespace milepost
