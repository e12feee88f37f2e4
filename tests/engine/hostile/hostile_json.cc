// Manifests and step records that say what cannot be.
#include "tests/engine/hostile/hostile_step.h"

#include <string>

namespace milepost::testing {
namespace {

struct Edit {
  const char* from;
  const char* to;
  const char* refusal;
};

void add_edits(std::vector<HostileCase>& cases, const char* file, const std::vector<Edit>& edits) {
  for (const auto& [from, to, refusal] : edits) {
    cases.push_back({std::string(file) + ": " + from + " becomes " + to, refusal,
                     [=, from = from, to = to](HostileStep& step) { step.edit(file, from, to); }});
  }
}

std::string times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

}  // namespace

void add_hostile_json(std::vector<HostileCase>& cases) {
  add_edits(cases, HostileStep::manifest,
            {
                // Names that lead elsewhere
                {"\"data-0.bin\"", "\"../../../outside/1/state/data-0.bin\"", "not the name of a file"},
                {"\"data-0.bin\"", "\"/etc/passwd\"", "not the name of a file"},
                {"\"data-0.bin\"", "\"..\"", "not the name of a file"},
                {"\"data-0.bin\"", "\".\"", "not the name of a file"},
                {"\"data-0.bin\"", "\"\"", "not the name of a file"},
                {"\"data-0.bin\"", "\"sub/data\"", "not the name of a file"},
                {"\"data-0.bin\"", "\"data\\u0000.bin\"", "not the name of a file"},
                {"\"data-0.bin\"", "\".hidden\"", "not the name of a file"},
                {"\"data-0.bin\"", "\"manifest.json\"", "two uses"},
                {"\"data-0.bin\"", "\"chunks-0.bin\"", "two uses"},
                {"\"data-0.bin\"", "\"another.bin\"", "1/state/another.bin"},
                {"\"chunks-0.bin\"", "\"../../../outside/1/state/chunks-0.bin\"", "not the name of a file"},
                {"\"chunks-0.bin\"", "\"/dev/zero\"", "not the name of a file"},
                {"\"chunks-0.bin\"", "\"..\"", "not the name of a file"},
                {"\"chunks-0.bin\"", "\"a/../b\"", "not the name of a file"},
                {"\"chunks-0.bin\"", "\"\\n\"", "not the name of a file"},
                {"\"item\":\"state\"", "\"item\":\"../state\"", "must not begin with a '.'"},
                {"\"item\":\"state\"", "\"item\":\"other\"", "belongs to step 1, item other"},
                {"\"item\":\"state\"", "\"item\":\"step.json\"", "reserved"},
                {"\"step\":1", "\"step\":2", "belongs to step 2"},
                // Numbers that overflow, or are none
                {"\"step\":1", "\"step\":-1", "expected an integer"},
                {"\"step\":1", "\"step\":9223372036854775808", "expected an integer"},
                {"\"step\":1", "\"step\":1e0", "expected an integer"},
                {"\"step\":1", "\"step\":1,\"step\":1", "duplicate key"},
                {"\"raw_bytes\":41600", "\"raw_bytes\":18446744073709551615", "raw_bytes: expected an integer"},
                {"\"raw_bytes\":41600", "\"raw_bytes\":4611686018427387904", "chunk_count 3 does not fit"},
                {"\"raw_bytes\":41600", "\"raw_bytes\":41601", "belong to no leaf"},
                {"\"raw_bytes\":41600", "\"raw_bytes\":41599", "exceed stream 0"},
                {"\"raw_bytes\":41600", "\"raw_bytes\":0", "chunk_count 3 does not fit"},
                {"\"chunk_count\":3", "\"chunk_count\":0", "chunk_count 0 does not fit"},
                {"\"chunk_count\":3", "\"chunk_count\":2", "1/state/chunks-0.bin"},
                {"\"chunk_count\":3", "\"chunk_count\":41600", "1/state/chunks-0.bin"},
                {"\"chunk_count\":3", "\"chunk_count\":41601", "does not fit"},
                {"\"chunk_count\":3", "\"chunk_count\":288230376151711744", "chunk_count"},
                {"\"chunk_count\":3", "\"chunk_count\":18446744073709551615", "chunk_count"},
                {"\"data_file_bytes\":", "\"data_file_bytes\":1", "behind the last chunk"},
                {"\"data_file_bytes\":", "\"data_file_bytes\":1844674407370955", "data_file_bytes"},
                {"\"data_offset\":0", "\"data_offset\":18446744073709551615", "data_offset"},
                {"\"data_offset\":0", "\"data_offset\":1048576", "data_offset is beyond"},
                {"\"data_offset\":0", "\"data_offset\":64", "lies before data_offset"},
                {"\"rank\":0", "\"rank\":4294967296", "rank: expected an integer"},
                {"\"major\":1", "\"major\":2", "format version 2.0"},
                // Shapes and shards that overflow, overlap, leave gaps or lie outside
                {"[300]", "[9223372036854775807]", "too large"},
                {"[300]", "[4611686018427387904,4]", "too large"},
                {"[300]", "[3037000500,3037000500,4]", "too large"},
                {"[300]", "[-300]", "expected an integer"},
                {"[300]", "[301]", "share the byte 1200"},
                {"[300]", "[299]", "belong to no leaf"},
                {"[300]", "[1099511627776]", "exceed stream 0"},
                {"[300]", "[0,300]", "shards of a leaf without bytes"},
                {"[[0,0]]", "[[0,18446744073709551615]]", "exceed stream 0"},
                {"[[0,0]]", "[[0,1200]]", "1/state/manifest.json"},
                {"[[0,0]]", "[[0,0],[0,0]]", "overlap"},
                {"[[0,0]]", "[[0,0,[0],[150]]]", "leave a gap"},
                {"[[0,0]]", "[[0,0,[0],[200]],[0,400,[100],[200]]]", "overlap"},
                {"[[0,0]]", "[[0,0,[9223372036854775807],[300]]]", "not within the shape"},
                {"[[0,0]]", "[[0,0,[0],[9223372036854775807]]]", "not within the shape"},
                {"[[0,0]]", "[[1,0]]", "stream 1 does not exist"},
                {"[[0,0]]", "[[4294967295,0]]", "stream 4294967295 does not exist"},
                {"[[0,0]]", "[]", "no shards"},
                {"\"F32\"", "\"F64\"", "share the byte 1200"},
                {"\"F32\"", "\"string\"", "1/state/manifest.json"},
                {"\"F32\"", "\"F128\"", "expected a dtype"},
                // Trees that are not what they say
                {"\"w\":\"t\"", "\"w\":\"n\"", "holds 2 stored leaves"},
                {"\"w\":\"t\"", "\"w\":[\"t\",\"t\"]", "more stored leaves"},
                {"\"w\":\"t\"", "\"w\":{}", "holds 2 stored leaves"},
                {"\"w\":\"t\"", "\"a\":\"t\"", "do not ascend"},
                {"\"w\":\"t\"", "\"w\":\"t\",\"w\":\"n\"", "duplicate key"},
                {"\"w\":\"t\"", "\"w\":\"t\",\"x\":\"i:9223372036854775808\"", "expected a leaf"},
                {"\"w\":\"t\"", "\"w\":\"t\",\"x\":\"x:AAA\"", "expected a leaf"},
                {"\"w\":\"t\"", "\"w\":\"t\",\"x\":\"n\"", "its counts are not those"},
                {"\"w\":\"t\"", "\"w\":\"t\",\"\":\"n\"", "1/state/manifest.json"},
                {"\"w\":\"t\"", "\"w\":\"t\",\"x\":\"s:\xED\xA0\x80\"", "malformed JSON"},
            });
  add_edits(
      cases, HostileStep::record,
      {
          {"\"step\":1", "\"step\":2", "is the record of step 2"},
          {"\"step\":1", "\"step\":-1", "step: expected an integer"},
          {"\"major\":1", "\"major\":7", "format version 7"},
          {"\"name\":\"state\"", "\"name\":\"../state\"", "must not begin with a '.'"},
          {"\"name\":\"state\"", "\"name\":\"/etc\"", "must not contain a '/'"},
          {"\"name\":\"state\"", "\"name\":\"..\"", "must not begin with a '.'"},
          {"\"name\":\"state\"", "\"name\":\"../../outside/1/state\"", "must not"},
          {"\"name\":\"state\"", "\"name\":\"step.json\"", "reserved"},
          {"\"name\":\"state\"", "\"name\":\"\"", "must not be empty"},
          {"\"name\":\"state\"", "\"name\":\"missing\"", "1/missing/manifest.json"},
          {"\"manifest_bytes\":", "\"manifest_bytes\":9", "1/state/manifest.json"},
          {"\"manifest_bytes\":", "\"manifest_bytes\":18446744073709551616", "manifest_bytes: expected an integer"},
          {"\"manifest_bytes\":", "\"manifest_bytes\":-", "manifest_bytes: expected an integer"},
          {"\"leaf_count\":5", "\"leaf_count\":18446744073709551615", "its counts are not those"},
          {"\"leaf_count\":5", "\"leaf_count\":4", "its counts are not those"},
          {"\"raw_bytes\":41600", "\"raw_bytes\":18446744073709551615", "its counts are not those"},
          {"\"raw_bytes\":41600", "\"raw_bytes\":0", "its counts are not those"},
          {"\"world_size\":1", "\"world_size\":0", "world_size: expected at least 1"},
          {"\"world_size\":1", "\"world_size\":4294967296", "world_size: expected an integer"},
          {"\"metrics\":{}", "\"metrics\":{\"a\":1}", "metric"},
          {"\"metrics\":{}", "\"metrics\":{\"a\":\"1\",\"a\":\"2\"}", "duplicate key"},
          {"\"metrics\":{}", "\"metrics\":{\"a\":\"0x1p3\"}", "metric"},
          {"\"attempt\":\"", "\"attempt\":\"../", "attempt: "},
          {"\"custom_metadata\":null", "\"custom_metadata\":null,\"more\":1", "unknown field \"more\""},
      });

  const auto whole = [&](const char* file, const std::string& name, const std::string& text,
                         const std::string& refusal) {
    cases.push_back({std::string(file) + " " + name, refusal, [=](HostileStep& step) { step.set(file, text); }});
  };
  for (const char* const file : {HostileStep::record, HostileStep::manifest}) {
    whole(file, "nested 400,000 deep in arrays", times(400'000, "["), file);
    whole(file, "nested 200,000 deep in objects", times(200'000, "{\"k\":"), file);
    whole(file, "of a million arrays", "[" + times(1'000'000, "[],") + "[]]", file);
    whole(file, "of zeros", std::string(10'000, '\0'), file);
    whole(file, "of an endless string", "\"" + std::string(5'000'000, 'x'), file);
    whole(file, "of an endless number", std::string(5'000'000, '9'), file);
  }
  const auto edited = [&](const char* file, const std::string& name, const std::string& from, const std::string& to,
                          const std::string& refusal) {
    cases.push_back(
        {std::string(file) + " with " + name, refusal, [=](HostileStep& step) { step.edit(file, from, to); }});
  };
  edited(HostileStep::manifest, "a tree of depth 33", "\"w\":\"t\"",
         "\"w\":" + times(33, "[") + "\"t\"" + times(33, "]"), "nested more than 32 deep");
  edited(HostileStep::manifest, "65,537 shards", "[[0,0]]", "[[0,0]" + times(65'536, ",[0,0]") + "]",
         "more than 65536 shards");
  edited(HostileStep::manifest, "65 dimensions", "[300]", "[300" + times(64, ",1") + "]", "more than 64 dimensions");
  edited(HostileStep::manifest, "a key of 1025 bytes", "\"w\":\"t\"",
         "\"w\":\"t\",\"" + std::string(1025, 'x') + "\":\"n\"", "longer than 1024 bytes");
  edited(HostileStep::manifest, "a string of 4097 bytes", "\"w\":\"t\"",
         "\"w\":\"t\",\"x\":\"s:" + std::string(4097, 'x') + "\"", "expected a leaf");
  edited(HostileStep::manifest, "100,000 undeclared leaves", "\"s:x\"", "\"s:x\"" + times(100'000, ",\"n\""),
         "its counts are not those");
  edited(HostileStep::record, "metadata of depth 41", "\"custom_metadata\":null",
         "\"custom_metadata\":" + times(41, "[") + times(41, "]"), "nested more than 40 deep");
  edited(HostileStep::record, "100,000 items of one name", "\"items\":[\n",
         "\"items\":[\n" +
             times(100'000, "{\"name\":\"a\",\"manifest_bytes\":1,\"manifest_digest\":\"" + std::string(32, '0') +
                                "\",\"leaf_count\":0,\"raw_bytes\":0,\"stored_bytes\":0},\n"),
         "1/step.json");
}

}  // namespace milepost::testing
