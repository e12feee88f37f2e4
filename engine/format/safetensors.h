// The safetensors header: what makes an uncompressed data file readable by every tool of the
// ecosystem (https://github.com/huggingface/safetensors). Plain structs and pure functions.
#pragma once

#include "milepost/engine/state/tensor.h"
#include "milepost/io/error.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace milepost {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t begin = 0;  // bytes behind the header
  std::uint64_t end = 0;
  bool operator==(const SafetensorsEntry&) const = default;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;  // in file order: the first begins at 0, each where the one before ends
  bool operator==(const SafetensorsHeader&) const = default;
};

// The length word and the JSON, padded with spaces so that the data begin at a multiple of
// `alignment`. invalid_argument if the JSON would exceed the format's 100,000,000 bytes.
Result<std::string> encode_safetensors_header(const SafetensorsHeader& header, std::size_t alignment);

// The same, entry by entry as they come: a list of 100,000 takes twice as much memory as the text. Who calls it sees to
// it that no two have the same name, and that each begins where the one before ends.
class SafetensorsEncoder {
 public:
  explicit SafetensorsEncoder(std::size_t expected_count, const std::map<std::string, std::string>& metadata = {});
  void add(const SafetensorsEntry& entry);
  Result<std::string> finish(std::size_t alignment) &&;

 private:
  std::string text_;
};

// Parses and validates in the order of the reference loader, duplicate names refused. `bytes` is the
// beginning of the file, at least the whole header; file_bytes its size. corruption says what and where.
Result<SafetensorsHeader> decode_safetensors_header(std::span<const std::byte> bytes, std::uint64_t file_bytes);

}  // namespace milepost
