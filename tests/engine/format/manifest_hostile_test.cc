// Manifests that nobody should write: each is refused with a message that says what is wrong.
#include "milepost/engine/format/manifest.h"

#include "tests/engine/format/random_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <string>

namespace milepost {
namespace {

using ::testing::HasSubstr;

constexpr const char* good =
    R"({"format":{"major":1,"minor":0},"step":7,"item":"state","attempt":"01234567-89ab-4cde-8f01-23456789abcd",)"
    R"("codec":"none","streams":[{"rank":0,"raw_bytes":32,"data_file":"data-0.bin","data_file_bytes":32,"data_offset":0,)"
    R"("table_file":"chunks-0.bin","chunk_count":1,"table_digest":"000102030405060708090a0b0c0d0e0f"}],)"
    R"("tree":{"a":"t","b":["i:5","s:x"],"c":"t"},"leaves":[["F32",[2,2],[[0,0]]],["U8",[16],[[0,16]]]]})";

std::string with(std::string_view from, std::string_view to) {
  std::string text = good;
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

void expect_refused(const std::string& text, const std::string& fragment, ErrorCode code = ErrorCode::corruption) {
  const auto decoded = decode_manifest(text);
  ASSERT_FALSE(decoded.has_value()) << fragment << "\n" << text.substr(0, 2000);
  EXPECT_EQ(decoded.error().code(), code);
  EXPECT_THAT(decoded.error().to_string(), HasSubstr(fragment)) << text.substr(0, 2000);
}

TEST(HostileManifest, TheUnchangedOneIsGood) {
  const auto decoded = decode_manifest(good);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
}

TEST(HostileManifest, EachFaultIsNamed) {
  const struct {
    const char* from;
    const char* to;
    const char* fragment;
  } table[] = {
      // JSON
      {"\"step\":7", "\"step\":7,\"step\":7", "duplicate key \"step\""},
      {"\"rank\":0", "\"rank\":0,\"rank\":1", "duplicate key \"rank\""},
      {"\"step\":7", "\"step\":7,\"s\\u0074ep\":7", "duplicate key \"step\""},
      {"\"step\":7", "\"step\":07", "malformed JSON at byte"},
      {"\"step\":7", "\"step\":+7", "malformed JSON at byte"},
      {"\"step\":7", "\"step\":NaN", "malformed JSON at byte"},
      {"\"step\":7", "\"step\":7,", "malformed JSON at byte"},
      {"\"step\":7", "\"step\":7/*x*/", "malformed JSON at byte"},
      {"\"state\"", "\"sta\xFF\"", "malformed JSON at byte"},
      {"\"state\"", "\"sta\xED\xA0\x80\"", "malformed JSON at byte"},
      {"\"state\"", "\"sta\\ud800\"", "malformed JSON at byte"},
      {"\"state\"", "\"sta\nte\"", "malformed JSON at byte"},
      // Numbers
      {"\"format\":{\"major\":1,\"minor\":0}", "\"format\":7", "format: expected an object, found 7"},
      {"\"streams\":[{", "\"streams\":[7,{", "streams[0]: expected an object, found 7"},
      {"\"step\":7", "\"step\":-1", "step: expected an integer from 0 to 2^63 - 1, found -1"},
      {"\"step\":7", "\"step\":9223372036854775808", "step: expected an integer from 0"},
      {"\"step\":7", "\"step\":18446744073709551616", "found 18446744073709551616"},
      {"\"step\":7", "\"step\":1e3", "step: expected an integer from 0 to 2^63 - 1, found 1e3"},
      {"\"step\":7", "\"step\":1.0", "found 1.0"},
      {"\"step\":7", "\"step\":1e999", "malformed JSON at byte"},
      {"\"step\":7", "\"step\":\"7\"", "step: expected an integer from 0 to 2^63 - 1, found \"7\""},
      {"\"step\":7", "\"step\":null", "found null"},
      {"\"step\":7", "\"step\":true", "found true"},
      {"\"raw_bytes\":32", "\"raw_bytes\":-1", "raw_bytes: expected an integer from 0"},
      {"\"raw_bytes\":32", "\"raw_bytes\":18446744073709551615", "raw_bytes: expected an integer from 0"},
      {"\"rank\":0", "\"rank\":4294967296", "streams[0]: rank: expected an integer from 0 to 4294967295"},
      {"[2,2]", "[2,-2]", "leaves[0]: expected an integer from 0 to 2^63 - 1, found -2"},
      {"[2,2]", "[2,2.0]", "found 2.0"},
      {"[2,2]", "[2,[2]]", "found an array"},
      {"[[0,16]]", "[[0,18446744073709551616]]", "leaves[1]: shard 0: expected an integer from 0 to 2^64 - 1"},
      {"[[0,16]]", "[[-0.0,16]]", "found -0.0"},
      // Fields
      {"\"step\":7,", "", "no field \"step\""},
      {"\"step\":7", "\"step\":7,\"extra\":1", "unknown field \"extra\""},
      {"\"rank\":0", "\"rank\":0,\"extra\":1", "streams[0]: unknown field \"extra\""},
      {"\"rank\":0,", "", "streams[0]: no field \"rank\""},
      {"\"minor\":0", "\"minor\":0,\"micro\":0", "format: unknown field \"micro\""},
      {"\"minor\":0", "\"minor\":-1", "format: minor: expected an integer"},
      {"{\"major\":1,\"minor\":0}", "1", "format: expected an object, found 1"},
      {"\"item\":\"state\"", "\"item\":3", "item: expected a string"},
      // Names
      {"\"state\"", "\"../x\"", "item: a name must not begin with a '.'"},
      {"\"state\"", "\"a/b\"", "item: a name must not contain a '/'"},
      {"\"state\"", "\"\"", "item: a name must not be empty"},
      {"\"state\"", "\"step.json\"", "item: the name step.json is reserved"},
      {"01234567-89ab", "0123456789abc", "attempt: not a uuid"},
      {"89ab-4cde", "89AB-4cde", "attempt: not a uuid"},
      {"\"data-0.bin\"", "\"../data\"", "not the name of a file beside the manifest"},
      {"\"data-0.bin\"", "\"/etc/passwd\"", "not the name of a file beside the manifest"},
      {"\"data-0.bin\"", "\"..\"", "not the name of a file beside the manifest"},
      {"\"data-0.bin\"", "\"a\\u0000b\"", "not the name of a file beside the manifest"},
      {"\"chunks-0.bin\"", "\"sub/chunks\"", "not the name of a file beside the manifest"},
      {"\"chunks-0.bin\"", "\"\"", "not the name of a file beside the manifest"},
      {"\"chunks-0.bin\"", "\"data-0.bin\"", "one file name has two uses"},
      {"\"chunks-0.bin\"", "\"manifest.json\"", "one file name has two uses"},
      // Streams
      {"\"data_offset\":0", "\"data_offset\":33", "data_offset is beyond the end of the data file"},
      {"\"chunk_count\":1", "\"chunk_count\":0", "chunk_count 0 does not fit 32 raw bytes"},
      {"\"chunk_count\":1", "\"chunk_count\":33", "chunk_count 33 does not fit 32 raw bytes"},
      {"000102030405060708090a0b0c0d0e0f", "000102030405060708090A0B0C0D0E0F", "table_digest: expected 32 lower-case"},
      {"000102030405060708090a0b0c0d0e0f", "00", "table_digest: expected 32 lower-case"},
      {"\"raw_bytes\":32", "\"raw_bytes\":33", "stream 0: bytes 32 to 33 belong to no leaf"},
      {"[2,2]", "[2]", "stream 0: bytes 8 to 16 belong to no leaf"},
      {"\"raw_bytes\":32", "\"raw_bytes\":31", "leaves[1]: shard 0: 16 bytes at 16 exceed stream 0 of 31 bytes"},
      {"[[0,16]]", "[[0,15]]", "leaves a and c share the byte 15"},
      {"[[0,16]]", "[[0,0]]", "leaves a and c share the byte 0"},
      {"[[0,16]]", "[[0,18446744073709551615]]", "exceed stream 0"},
      {"[[0,16]]", "[[1,16]]", "stream 1 does not exist"},
      {"[[0,16]]", "[[4294967296,16]]", "stream 4294967296 does not exist"},
      // Leaves
      {"\"F32\"", "\"F33\"", "leaves[0]: expected a dtype, \"string\" or \"bytes\", found \"F33\""},
      {"\"F32\"", "32", "leaves[0]: expected a dtype"},
      {"\"F32\"", "\"string\"", "leaves[0]: a string or bytes with shape [2, 2]"},
      {"[\"F32\",[2,2],[[0,0]]]", "[\"F32\",[2,2]]", "expected a leaf of 3 parts, found 2"},
      {"[\"F32\",[2,2],[[0,0]]]", "[\"F32\",[2,2],[[0,0]],1]", "expected a leaf of 3 parts, found 4"},
      {"[\"F32\",[2,2],[[0,0]]]", "{}", "leaves[0]: expected a leaf, found an object"},
      {"[[0,0]]", "[]", "leaves[0]: no shards"},
      {"[[0,0]]", "[[0]]", "shard 0: expected a shard of 2 or 4 parts, found 1"},
      {"[[0,0]]", "[[0,0,[0,0]]]", "expected a shard of 2 or 4 parts, found 3"},
      {"[[0,0]]", "[[0,0,[0,0],[2,2],0]]", "expected a shard of 2 or 4 parts, found 5"},
      {"[[0,0]]", "7", "leaves[0]: expected an array of shards, found 7"},
      {"[[0,0]]", "[7]", "leaves[0]: shard 0: expected a shard, found 7"},
      {"[[0,0]]", "[[0,0,7,[2,2]]]", "leaves[0]: shard 0: expected a shape, found 7"},
      {"[[0,0]]", "[[0,0,[0,0],7]]", "leaves[0]: shard 0: expected a shape, found 7"},
      {"[2,2]", "7", "leaves[0]: expected a shape, found 7"},
      {"[[0,0]]", "[[0,0],[0,0]]", "its shards overlap"},
      {"[[0,0]]", "[[0,0,[0,0],[1,2]]]", "its shards leave a gap"},
      {"[[0,0]]", "[[0,0,[0,0],[1,2]],[0,8,[0,0],[2,1]]]", "its shards overlap and leave a gap"},
      {"[[0,0]]", "[[0,0,[0],[4]]]", "another number of dimensions"},
      {"[[0,0]]", "[[0,0,[0,0],[4]]]", "another number of dimensions"},
      {"[[0,0]]", "[[0,0,[],[]]]", "another number of dimensions"},
      {"[[0,0]]", "[[0,0,[1,0],[2,2]]]", "is not within the shape [2, 2]"},
      {"[[0,0]]", "[[0,0,[9223372036854775807,0],[2,2]]]", "is not within the shape [2, 2]"},
      {"[[0,0]]", "[[0,0,[0,0],[0,2]],[0,0,[0,0],[2,2]]]", "is not within the shape [2, 2]"},
      {"[2,2]", "[4611686018427387904,4]", "is too large or not a whole number of bytes"},
      {"[2,2]", "[0,2]", "shards of a leaf without bytes"},
      {"[\"F32\",[2,2],[[0,0]]]", "[\"F4\",[3],[[0,0]]]", "not a whole number of bytes"},
      // Tree
      {"\"a\":\"t\",\"b\"", "\"b\":\"t\",\"a\"", "the keys of a map do not ascend"},
      {"\"a\":\"t\"", "\"\":\"t\"", "a key that is empty or longer than 1024 bytes"},
      {"\"c\":\"t\"", "\"c\":\"n\"", "tree: holds 1 stored leaves; leaves: holds 2"},
      {"\"s:x\"", "\"t\"", "tree: c: more stored leaves than \"leaves\" holds"},
      {"\"s:x\"", "null", "tree: b/1: expected a map, a list or a leaf, found null"},
      {"\"s:x\"", "5", "tree: b/1: expected a map, a list or a leaf, found 5"},
      {"\"s:x\"", "\"\"", "tree: b/1: expected a leaf, found \"\""},
      {"\"s:x\"", "\"q:x\"", "expected a leaf, found \"q:x\""},
      {"\"s:x\"", "\"N\"", "expected a leaf, found \"N\""},
      {"\"s:x\"", "\"b:2\"", "expected a leaf, found \"b:2\""},
      {"\"i:5\"", "\"i:05\"", "tree: b/0: expected a leaf, found \"i:05\""},
      {"\"i:5\"", "\"i:+5\"", "expected a leaf"},
      {"\"i:5\"", "\"i:5x\"", "expected a leaf"},
      {"\"i:5\"", "\"i:-0\"", "expected a leaf"},
      {"\"i:5\"", "\"i:\"", "expected a leaf"},
      {"\"i:5\"", "\"i:9223372036854775808\"", "expected a leaf"},
      {"\"i:5\"", "\"u:-1\"", "expected a leaf"},
      {"\"i:5\"", "\"u:18446744073709551616\"", "expected a leaf"},
      {"\"i:5\"", "\"f:1.5\"", "expected a leaf"},
      {"\"i:5\"", "\"f:0x3FF0000000000000\"", "expected a leaf"},
      {"\"i:5\"", "\"f:0x3ff000000000000\"", "expected a leaf"},
      {"\"i:5\"", "\"f:0x3ff000000000000g\"", "expected a leaf"},
      {"\"i:5\"", "\"f:0x3ff000000000000.\"", "expected a leaf"},
      {"\"i:5\"", "\"f:3ff0000000000000.0\"", "expected a leaf"},
      {"\"i:5\"", "\"x:AA=\"", "expected a leaf"},
      {"\"i:5\"", "\"x:AB==\"", "expected a leaf"},
      {"\"i:5\"", "\"x:AA==AAAA\"", "expected a leaf"},
      {"\"i:5\"", "\"x:A===\"", "expected a leaf"},
      {"\"i:5\"", "\"x:AA A\"", "expected a leaf"},
  };
  for (const auto& [from, to, fragment] : table) expect_refused(with(from, to), fragment);
}

TEST(HostileManifest, WholeTextsThatAreNoManifest) {
  for (const char* text : {"", " ", "{", "nul", "\xEF\xBB\xBF{}", "{}{}", "[[", "\"x"})
    expect_refused(text, "manifest: malformed JSON at byte");
  for (const char* text : {"null", "[]", "5", "\"x\""}) expect_refused(text, "manifest: expected an object");
  expect_refused("{}", "no field \"format\"");
  expect_refused(std::string(good) + "x", "malformed JSON at byte");
  expect_refused(std::string(good) + std::string("\0", 1), "a NUL byte");
  expect_refused(std::string(good) + std::string("\0garbage", 8), "a NUL byte");
}

TEST(HostileManifest, AnotherMajorVersionIsNoCorruption) {
  expect_refused(with("\"major\":1,\"minor\":0", "\"major\":2,\"minor\":3"),
                 "written in format version 2.3; this reader supports 1.x", ErrorCode::failed_precondition);
  expect_refused(with("\"major\":1", "\"major\":0"), "version 0.0", ErrorCode::failed_precondition);
  // Whatever else such a version may have changed.
  expect_refused(R"({"format":{"major":9,"minor":0,"micro":1},"all":"else"})", "version 9.0",
                 ErrorCode::failed_precondition);
}

TEST(HostileManifest, ANewerMinorVersionAddsFieldsOnlyOutermost) {
  expect_refused(with("\"minor\":0},", "\"minor\":9},\"new\":1.5,\"new\":2,"), "duplicate key");
  std::string text = with("\"minor\":0", "\"minor\":9");
  text.replace(text.find("\"rank\""), 0, "\"extra\":1,");
  expect_refused(text, "streams[0]: unknown field \"extra\"");
}

TEST(HostileManifest, LimitsOfLength) {
  expect_refused(with("\"s:x\"", "\"s:" + std::string(inline_bytes_max + 1, 'x') + "\""), "tree: b/1: expected a leaf");
  expect_refused(with("\"a\":", "\"" + std::string(1025, 'a') + "\":"),
                 "a key that is empty or longer than 1024 bytes");
  expect_refused(with("\"state\"", "\"" + std::string(256, 'a') + "\""), "item: expected a string of up to 255 bytes");
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  expect_refused(with("[2,2]", "[" + ones + "]"), "leaves[0]: more than 64 dimensions");
  std::string shards = "[0,0]";
  for (int i = 0; i < 65'536; ++i) shards += ",[0,0]";
  expect_refused(with("[[0,0]]", "[" + shards + "]"), "leaves[0]: more than 65536 shards");
}

// Of memory that is not there: it is refused unread.
TEST(HostileManifest, ATextThatIsTooLargeIsRefusedUnread) {
  constexpr std::size_t bytes = manifest_bytes_max + 1;
  void* const nothing = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(nothing, MAP_FAILED);
  EXPECT_THAT(decode_manifest({static_cast<const char*>(nothing), bytes}).error().to_string(),
              HasSubstr("manifest: larger than 1073741824 bytes"));
  ::munmap(nothing, bytes);
}

TEST(HostileManifest, DeepNestingIsRefusedQuickly) {
  const auto start = std::chrono::steady_clock::now();
  for (const std::string open : {"[", "{\"k\":"}) {
    std::string deep;
    for (int i = 0; i < 400'000; ++i) deep += open;
    expect_refused(deep, "JSON nested more than 40 deep");
    expect_refused(with("\"s:x\"", deep), "JSON nested more than 40 deep");
  }
  std::string balanced = std::string(34, '[') + "\"n\"" + std::string(34, ']');
  expect_refused(with("\"s:x\"", balanced), "nested more than 32 deep");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(HostileManifest, StreamsThatShareRanksOrFiles) {
  const std::string stream = std::string(good).substr(std::string(good).find("{\"rank\""));
  const std::string one = stream.substr(0, stream.find('}') + 1);
  expect_refused(with("}],\"tree\"", "}," + one + "],\"tree\""), "ranks do not ascend");
  std::string second = one;
  second.replace(second.find("\"rank\":0"), 8, "\"rank\":1");
  expect_refused(with("}],\"tree\"", "}," + second + "],\"tree\""), "one file name has two uses");
}

// Damage of any one place: an error, or another manifest that is valid in itself.
void expect_refused_or_consistent(const std::string& text) {
  const auto decoded = decode_manifest(text);
  if (decoded.has_error()) return;
  const std::string again = encode_manifest(*decoded);
  const auto twice = decode_manifest(again);
  ASSERT_TRUE(twice.has_value()) << twice.error().to_string() << "\n" << text;
  EXPECT_EQ(encode_manifest(*twice), again);
  EXPECT_TRUE(same_tree(twice->tree, decoded->tree));
}

TEST(HostileManifest, EverySingleBitFlipDeletionAndTruncation) {
  const std::string text = good;
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      expect_refused_or_consistent(flipped);
    }
    std::string shorter = text;
    shorter.erase(i, 1);
    expect_refused_or_consistent(shorter);
    EXPECT_TRUE(decode_manifest(text.substr(0, i)).has_error()) << i;
  }
}

}  // namespace
}  // namespace milepost
