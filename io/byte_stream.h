// Bytes one after the other: out of a file and into one, possibly compressed.
//
// Nothing here is thread-safe.
#pragma once

#include "milepost/io/store.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace milepost {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Reads at least one byte; 0 only at the end. corruption if compressed data is damaged or ends too early.
  virtual Result<std::size_t> read(std::span<std::byte> into) = 0;
};

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual Result<void> write(std::span<const std::byte> data) = 0;
  // Brings all of it into the file; the last call.
  virtual Result<void> finish() = 0;
};

enum class Compression : std::uint8_t { none, gzip, bzip2, xz, zstd };

// By the ending of a file's name: .gz, .bz2, .xz or .zst.
Compression compression_of(std::string_view file_name);

// From the beginning of a file, which must outlive the source.
std::unique_ptr<ByteSource> make_byte_source(ReadFile& file, Compression compression);
// From the beginning of an empty file, which must outlive the sink. Holds some hundred kilobytes, whatever is written;
// bzip2 8 MB, and xz 20.
std::unique_ptr<ByteSink> make_byte_sink(WriteFile& file, Compression compression);

}  // namespace milepost
