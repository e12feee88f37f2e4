// Makes the corpus anew: what the fuzzers begin with. From steps that are saved here, and the example of
// docs/format.md.
//   build/release/tests/fuzz/make_fuzz_corpus tests/fuzz/corpus
#include "milepost/engine/federated/append_intent.h"
#include "milepost/engine/federated/csv_table.h"
#include "milepost/engine/format/manifest.h"
#include "milepost/engine/format/safetensors.h"
#include "tests/engine/format/random_manifest.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/bytes.h"
#include "tests/support/simulated_store.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numbers>
#include <string>
#include <vector>

namespace milepost::fuzz {
namespace {

namespace fs = std::filesystem;
using namespace milepost::testing;

fs::path corpus;

void add(const std::string& target, const std::string& name, std::string_view bytes) {
  fs::create_directories(corpus / target);
  std::ofstream(corpus / target / name, std::ios::binary) << bytes;
}

std::string as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
template <class Number> std::string packed_number(Number number) {
  return as_text(std::as_bytes(std::span(&number, 1)));
}
std::string how(int byte) { return std::string(1, static_cast<char>(byte)); }

void add_record(const std::string& name, const std::string& text, bool root) {
  add("step_record", name, how(root ? 2 : 0) + text);
  add("step_record", name + "-sealed", how(root ? 3 : 1) + text.substr(text.find('\n') + 1));
}

void add_table(const std::string& name, const Stream& stream, const std::string& table) {
  add("chunk_table", name,
      packed_number(stream.raw_bytes) + packed_number(stream.data_file_bytes) + packed_number(stream.data_offset) +
          packed_number(stream.chunk_count) + table);
}

void add_chunk(const std::string& name, ChunkEncoding encoding, ElementKind kind, std::uint32_t raw_bytes,
               std::span<const std::byte> stored) {
  if (stored.size() > 2000) return;
  add("chunk_decoder", name,
      how(static_cast<int>(encoding)) + how(static_cast<int>(kind)) + packed_number(raw_bytes) + as_text(stored));
}

// Everything that one saved step has to give.
void add_step(const std::string& name, const Items& items, const Codec& codec) {
  const auto store = std::make_shared<SimulatedStore>();
  CheckpointManager manager = open_manager(small_options(store));
  manager.save(7, items, {.metrics = {{"loss", 0.25}}, .codec = codec}).value();
  manager.wait_until_finished().value();
  const auto read = [&](const std::string& path) { return as_text(read_file(*store, path, 1 << 30).value()); };
  add_record(name, read("7/step.json"), false);
  StepReader reader = manager.open_step(7).value();
  for (const Item& item : items) {
    const std::string directory = "7/" + item.name + '/';
    add("manifest", name + '-' + item.name, read(directory + "manifest.json"));
    add("json", name + '-' + item.name, read(directory + "manifest.json"));
    const Manifest& manifest = *reader.manifest(item.name).value();
    if (manifest.streams.empty()) continue;  // small enough for the manifest
    const Stream& stream = manifest.streams.front();
    add_table(name + '-' + item.name, stream, read(directory + stream.table_file));
    const std::string data = read(directory + stream.data_file);
    if (codec.kind == Codec::Kind::none) {
      add("safetensors", name + '-' + item.name,
          packed_number(stream.data_file_bytes) + data.substr(0, stream.data_offset));
    }
    for (const Chunk& chunk : *reader.chunks(item.name, 0).value()) {
      add_chunk(name + '-' + item.name + '-' + std::to_string(chunk.raw_offset), chunk.encoding, chunk.kind,
                chunk.raw_bytes, std::as_bytes(std::span(data)).subspan(chunk.file_offset, chunk.stored_bytes));
    }
  }
}

// Floats as they are in models, in every width, some of them a second piece of other statistics.
void add_floats() {
  ChunkEncoder encoder;
  const struct {
    const char* name;
    ElementKind kind;
    std::size_t bytes;
  } kinds[] = {{"f16", ElementKind::f16, 2},
               {"bf16", ElementKind::bf16, 2},
               {"f32", ElementKind::f32, 4},
               {"f64", ElementKind::f64, 8}};
  for (const auto& [name, kind, bytes] : kinds) {
    for (const bool positive : {false, true}) {
      std::vector<std::byte> raw(1027);
      for (std::size_t i = 0; i + bytes <= raw.size(); i += bytes) {
        const double wave = std::sin(static_cast<double>(i) * std::numbers::pi / 7);
        const double value = positive ? 1e-3 + wave * wave : wave;
        const auto f64 = std::bit_cast<std::uint64_t>(value);
        const auto f32 = std::bit_cast<std::uint32_t>(static_cast<float>(value));
        const std::uint64_t word = bytes == 8 ? f64 : bytes == 4 ? f32 : f32 >> 16;
        std::memcpy(raw.data() + i, &word, bytes);
      }
      std::vector<std::byte> out(encoded_bytes_max(raw.size()));
      const auto coded = encoder.encode(Codec::fast(), kind, raw, out).value();
      add_chunk(std::string(name) + (positive ? "-positive" : ""), coded.encoding, kind,
                static_cast<std::uint32_t>(raw.size()), std::span(out).first(coded.stored_bytes));
      add("chunk_round_trip", std::string(name) + (positive ? "-positive" : ""),
          how(2) + how(static_cast<int>(kind)) + how(0) + as_text(raw).substr(0, 512));
    }
  }
}

void add_csv() {
  const std::string rows = "key,loss,\"a \"\"b\"\", c\"\r\n1,0.5,\"x\r\ny\"\r\n2,,\r\n";
  add("csv_rows", "rows", how(3) + rows);
  add("csv_rows", "odd-ends", how(0) + "a\rb\n\n\"\"\r\n\"un");
  for (int i = 0; i < 5; ++i) {
    SimulatedStore store;
    const auto file = store.create_file("file", {}).value();
    const auto sink = make_byte_sink(*file, static_cast<Compression>(i));
    sink->write(to_bytes(rows)).value();
    sink->finish().value();
    add("csv_table", "compression-" + std::to_string(i), how(i) + as_text(read_file(store, "file", 1 << 20).value()));
  }
  const AppendIntent intent{5, Digest::of("12345"), "3,1,2\r\n"};
  const std::string record = as_text(encode_append_intent(intent));
  add("append_intent", "record", how(1) + how(0) + record);
  add("append_intent", "torn", how(0) + how(4) + "3,1," + record + "behind");
}

void add_example(const fs::path& example) {
  const auto read = [&](const std::string& path) {
    std::ifstream file(example / path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  add_record("example-root", read("milepost.json"), true);
  add_record("example", read("step_42/step.json"), false);
  const std::string text = read("step_42/state/manifest.json");
  add("manifest", "example", text);
  const Manifest manifest = decode_manifest(text).value();
  for (const Stream& stream : manifest.streams) {
    add_table("example-" + std::to_string(stream.rank), stream, read("step_42/state/" + stream.table_file));
  }
}

void make() {
  for (const Codec& codec : {Codec::none(), Codec::fast(), Codec::zstd(3)}) {
    Tree tree;
    tree["w"] = make_tensor(DType::f32, {300}, Layout::packed, 1);
    tree["b"]["~/"] = make_tensor(DType::bf16, {3, 5}, Layout::packed, 2);
    tree["empty"] = make_tensor(DType::i64, {0, 2}, Layout::packed, 3);
    tree["text"] = std::string(5000, 'x');
    tree["small"] = Tree::list({Tree(), true, 1.5, std::int64_t{-3}, "s"});
    const Items items = {{"model", tree}, make_item("loader", JsonText{R"({"at":[1,2]})"}).value()};
    add_step(codec.to_string().substr(0, 4), items, codec);
  }
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    add("manifest", "random-" + std::to_string(seed), encode_manifest(RandomManifest(seed)()));
  }
  add_example(corpus.parent_path().parent_path() / "golden/example");
  add_floats();
  add_csv();
  SafetensorsHeader header;
  header.metadata = {{"format", "pt"}};
  header.entries = {{"a", DType::f32, {2, 3}, 0, 24}, {"b", DType::u8, {0}, 24, 24}, {"c", DType::bf16, {}, 24, 26}};
  add("safetensors", "metadata", packed_number(std::uint64_t{1000}) + encode_safetensors_header(header, 8).value());
  add("path_pattern", "stars", "layers/**/w*?\nlayers/3/x/w\xC3\xA9");
  add("path_pattern", "stars-apart", "a***b*c?\na/x/bbcbc/");
  for (const char* const name : {"none", "fast", "zstd", "zstd:19"}) add("codec_string", name, name);
  add("json", "kinds", "[null,true,false,-1,1.5e-3,18446744073709551615,{\"\\u00e9\\ud83d\\ude00\":\"\\\"\\\\\\n\"}]");
}

}  // namespace
}  // namespace milepost::fuzz

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: make_fuzz_corpus DIRECTORY\n", stderr), 2;
  milepost::fuzz::corpus = std::filesystem::absolute(argv[1]);
  milepost::fuzz::make();
}
