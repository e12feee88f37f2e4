// The checkpoint of docs/format.md, as structs: two ranks, each with half of one tensor.
#pragma once

#include "milepost/engine/format/chunk_table.h"
#include "milepost/engine/format/names.h"
#include "milepost/engine/format/safetensors.h"
#include "milepost/engine/format/step_naming.h"
#include "milepost/engine/format/step_record.h"

#include <cstring>
#include <map>
#include <string>

namespace milepost {

inline constexpr const char* example_attempt = "5d1f3a52-7c0e-4b8e-9a63-0d2f4b6c8e10";

struct ExampleCheckpoint {
  RootRecord root;
  StepRecord record;
  Manifest manifest;
  std::vector<Chunk> chunks[2];
  SafetensorsHeader headers[2];
  std::map<std::string, std::string> files;  // by path below the root
};

inline ExampleCheckpoint example_checkpoint() {
  ExampleCheckpoint example;
  example.root = {"0f8fad5b-d9cb-469f-a165-70867728950e", 1'767'225'600'000'000'000, R"({"run":"tiny"})"};

  // w is [[0, 1], [2, 3], [4, 5], [6, 7]], of which rank 0 has the first two rows; b is [1, 1, 1].
  const float w[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  std::string data[2];
  data[0].assign(reinterpret_cast<const char*>(w), 16);
  data[0] += std::string("\x80\x3f\x80\x3f\x80\x3f", 6);
  data[1].assign(reinterpret_cast<const char*>(w + 4), 16);

  Manifest& manifest = example.manifest;
  manifest.step = 42;
  manifest.item = "state";
  manifest.attempt = example_attempt;
  manifest.codec = "none";
  manifest.tree["model"]["b"] = Tensor::abstract(DType::bf16, {3});
  manifest.tree["model"]["w"] = Tensor::abstract(DType::f32, {4, 2});
  manifest.tree["optimizer"]["lr"] = 0.1;
  manifest.tree["optimizer"]["tags"] = Tree::list({"a \"b\"", true, nullptr});
  manifest.tree["rng"] = Tree::Bytes{std::byte{1}, std::byte{2}, std::byte{255}};
  manifest.tree["seen"] = std::uint64_t{18'000'000'000'000'000'000U};
  manifest.leaves = {{StoredAs::tensor, DType::bf16, {3}, {{0, 16}}},
                     {StoredAs::tensor, DType::f32, {4, 2}, {{0, 0, {0, 0}, {2, 2}}, {1, 0, {2, 0}, {2, 2}}}}};
  example.headers[0].entries = {{"model/w", DType::f32, {2, 2}, 0, 16}, {"model/b", DType::bf16, {3}, 16, 22}};
  example.headers[1].entries = {{"model/w", DType::f32, {2, 2}, 0, 16}};

  const std::string directory = StepNaming("step_").name(manifest.step) + "/";
  std::uint64_t stored_bytes = 0;
  for (std::uint32_t rank = 0; rank < 2; ++rank) {
    const std::string header = encode_safetensors_header(example.headers[rank], 4096).value();
    const Digest digest = Digest::of(data[rank]);
    const auto bytes = static_cast<std::uint32_t>(data[rank].size());
    example.chunks[rank] = {{0, header.size(), bytes, bytes, ChunkEncoding::raw,
                             rank == 0 ? ElementKind::other : ElementKind::f32, digest, digest}};
    const std::vector<std::byte> table = encode_chunk_table(example.chunks[rank]);
    manifest.streams.push_back({rank, bytes, data_file_name(rank, true), header.size() + bytes, header.size(),
                                table_file_name(rank), 1, Digest::of(table)});
    example.files[directory + "state/" + data_file_name(rank, true)] = header + data[rank];
    example.files[directory + "state/" + table_file_name(rank)].assign(reinterpret_cast<const char*>(table.data()),
                                                                       table.size());
    stored_bytes += header.size() + bytes + table.size();
  }
  const std::string manifest_text = encode_manifest(manifest);

  StepRecord& record = example.record;
  record.step = manifest.step;
  record.attempt = example_attempt;
  record.world_size = 2;
  record.init_unix_ns = 1'767'229'200'000'000'000;
  record.commit_unix_ns = 1'767'229'201'500'000'000;
  record.metrics = {{"loss", 2.25}, {"norm", 0.1}};
  record.custom_metadata_json = R"({"note":"the worked example"})";
  record.items = {{"state", manifest_text.size(), Digest::of(manifest_text), 8, 38, stored_bytes}};

  example.files[std::string(root_record_name)] = encode_root_record(example.root);
  example.files[directory + std::string(step_record_name)] = encode_step_record(record);
  example.files[directory + "state/" + std::string(manifest_name)] = manifest_text;
  return example;
}

}  // namespace milepost
