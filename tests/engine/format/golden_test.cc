// The worked example of docs/format.md is kept as files, byte for byte. If one of these tests fails,
// the format has changed: checkpoints that exist could no longer be read, or the document is wrong.
#include "tests/engine/format/example_checkpoint.h"
#include "tests/engine/format/random_manifest.h"
#include "tests/support/bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace milepost {
namespace {

using ::testing::HasSubstr;
using testing::to_bytes;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

const std::filesystem::path source = MILEPOST_SOURCE_DIR;
const std::filesystem::path golden = source / "tests/golden/example";

TEST(Golden, TheExampleIsWrittenByteForByte) {
  const ExampleCheckpoint example = example_checkpoint();
  std::size_t found = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(golden)) found += entry.is_regular_file();
  EXPECT_EQ(found, example.files.size());
  for (const auto& [path, content] : example.files) EXPECT_EQ(read_file(golden / path), content) << path;
}

TEST(Golden, TheExampleIsRead) {
  const ExampleCheckpoint example = example_checkpoint();
  const auto root = decode_root_record(read_file(golden / "milepost.json"));
  ASSERT_TRUE(root.has_value()) << root.error().to_string();
  EXPECT_EQ(*root, example.root);
  const auto record = decode_step_record(read_file(golden / "step_42/step.json"));
  ASSERT_TRUE(record.has_value()) << record.error().to_string();
  EXPECT_EQ(*record, example.record);
  const std::string text = read_file(golden / "step_42/state/manifest.json");
  EXPECT_EQ(Digest::of(text), record->items[0].manifest_digest);
  const auto manifest = decode_manifest(text);
  ASSERT_TRUE(manifest.has_value()) << manifest.error().to_string();
  EXPECT_TRUE(same_tree(manifest->tree, example.manifest.tree));
  EXPECT_EQ(manifest->leaves, example.manifest.leaves);
  EXPECT_EQ(manifest->streams, example.manifest.streams);
  for (std::size_t rank = 0; rank < 2; ++rank) {
    const Stream& stream = manifest->streams[rank];
    const std::string table = read_file(golden / "step_42/state" / stream.table_file);
    EXPECT_EQ(Digest::of(table), stream.table_digest);
    const auto chunks = decode_chunk_table(to_bytes(table), stream);
    ASSERT_TRUE(chunks.has_value()) << chunks.error().to_string();
    EXPECT_EQ(*chunks, example.chunks[rank]);
    const std::string data = read_file(golden / "step_42/state" / stream.data_file);
    EXPECT_EQ(Digest::of(data.substr(chunks->at(0).file_offset)), chunks->at(0).stored_digest);
    const auto header = decode_safetensors_header(to_bytes(data), data.size());
    ASSERT_TRUE(header.has_value()) << header.error().to_string();
    EXPECT_EQ(*header, example.headers[rank]);
  }
}

// What version 1.1 added to the step record: the handlers of items.
TEST(Golden, AStepRecordOfVersionOneOneIsWrittenAndReadByteForByte) {
  StepRecord record = example_checkpoint().record;
  ItemRecord loader = record.items[0];
  loader.name = "loader";
  loader.handler = "json";
  record.items.insert(record.items.begin(), loader);
  const std::string text = read_file(source / "tests/golden/step_record_1_1.json");
  EXPECT_EQ(encode_step_record(record), text);
  const auto decoded = decode_step_record(text);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(*decoded, record);
}

// The offset in three digits, then 16 bytes a line.
std::string hex_dump(const std::string& bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string dump;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i % 16 == 0) {
      if (i > 0) dump += '\n';
      dump += {digits[i >> 8 & 15], digits[i >> 4 & 15], '0', ' '};
    }
    const auto byte = static_cast<unsigned char>(bytes[i]);
    dump += {' ', digits[byte >> 4], digits[byte & 15]};
  }
  return dump;
}

TEST(Golden, TheDocumentShowsTheExampleAsItIs) {
  const std::string document = read_file(source / "docs/format.md");
  for (const char* path : {"milepost.json", "step_42/step.json", "step_42/state/manifest.json"}) {
    EXPECT_THAT(document, HasSubstr("```json\n" + read_file(golden / path) + "```")) << path;
  }
  EXPECT_THAT(document, HasSubstr(hex_dump(read_file(golden / "step_42/state/chunks-0.bin"))));
  const std::string data = read_file(golden / "step_42/state/data-0.safetensors");
  EXPECT_THAT(document, HasSubstr(data.substr(8, data.find(' ', 8) - 8)));
}

}  // namespace
}  // namespace milepost
