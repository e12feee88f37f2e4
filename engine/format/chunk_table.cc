#include "milepost/engine/format/chunk_table.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <string>

namespace milepost {
namespace {

constexpr std::array<char, 8> magic = {'M', 'P', 'C', 'H', 'U', 'N', 'K', 'S'};
constexpr std::uint32_t version = 1;
constexpr std::size_t header_bytes = 64;
constexpr std::size_t record_bytes = 64;
// Chunks are padded to the next multiple of this at most.
constexpr std::uint64_t padding_bytes = 4096;

// Where the fields of a record lie; those of the header are magic, version, record bytes, count.
struct RecordLayout {
  static constexpr std::size_t raw_offset = 0;
  static constexpr std::size_t file_offset = 8;
  static constexpr std::size_t raw_bytes = 16;
  static constexpr std::size_t stored_bytes = 20;
  static constexpr std::size_t encoding = 24;
  static constexpr std::size_t kind = 25;
  static constexpr std::size_t zeros = 26;
  static constexpr std::size_t raw_digest = 32;
  static constexpr std::size_t stored_digest = 48;
};
static_assert(RecordLayout::stored_digest + sizeof(Digest::bytes) == record_bytes);

// Little-endian, whatever the machine.
template <class Integer> void put(std::byte* at, Integer value) {
  for (std::size_t i = 0; i < sizeof(value); ++i) at[i] = static_cast<std::byte>(value >> (8 * i));
}

template <class Integer> Integer get(const std::byte* at) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof(value); ++i) {
    value = static_cast<Integer>(value | static_cast<Integer>(std::to_integer<Integer>(at[i]) << (8 * i)));
  }
  return value;
}

bool are_zeros(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

Error corrupt_table(std::string message) {
  return Error(ErrorCode::corruption, std::move(message)).within("chunk table");
}

Error corrupt_record(std::size_t index, const std::string& message) {
  return corrupt_table("record " + std::to_string(index) + ": " + message);
}

Result<void> check_header(std::span<const std::byte> bytes, const Stream& stream) {
  if (bytes.size() < header_bytes) return corrupt_table("shorter than its header");
  if (std::memcmp(bytes.data(), magic.data(), magic.size()) != 0)
    return corrupt_table("its first bytes are not MPCHUNKS");
  if (const auto found = get<std::uint32_t>(&bytes[8]); found != version) {
    return Error(ErrorCode::failed_precondition,
                 "version " + std::to_string(found) + "; this reader supports " + std::to_string(version))
        .within("chunk table");
  }
  if (get<std::uint32_t>(&bytes[12]) != record_bytes) return corrupt_table("records of another size");
  if (!are_zeros(bytes.subspan(24, header_bytes - 24)))
    return corrupt_table("reserved bytes of the header are not zero");
  const auto count = get<std::uint64_t>(&bytes[16]);
  if (count != stream.chunk_count) {
    return corrupt_table(std::to_string(count) + " records; the manifest says " + std::to_string(stream.chunk_count));
  }
  if ((bytes.size() - header_bytes) % record_bytes != 0 || (bytes.size() - header_bytes) / record_bytes != count) {
    return corrupt_table(std::to_string(bytes.size()) + " bytes do not fit " + std::to_string(count) + " records");
  }
  return {};
}

Result<Chunk> read_record(std::span<const std::byte> bytes, std::size_t index) {
  const std::byte* const record = &bytes[header_bytes + index * record_bytes];
  Chunk chunk;
  chunk.raw_offset = get<std::uint64_t>(record + RecordLayout::raw_offset);
  chunk.file_offset = get<std::uint64_t>(record + RecordLayout::file_offset);
  chunk.raw_bytes = get<std::uint32_t>(record + RecordLayout::raw_bytes);
  chunk.stored_bytes = get<std::uint32_t>(record + RecordLayout::stored_bytes);
  const auto encoding = std::to_integer<std::uint8_t>(record[RecordLayout::encoding]);
  const auto kind = std::to_integer<std::uint8_t>(record[RecordLayout::kind]);
  if (encoding > static_cast<std::uint8_t>(ChunkEncoding::float_planes)) {
    return corrupt_record(index, "unknown encoding " + std::to_string(encoding));
  }
  if (kind > static_cast<std::uint8_t>(ElementKind::f64)) {
    return corrupt_record(index, "unknown element kind " + std::to_string(kind));
  }
  chunk.encoding = static_cast<ChunkEncoding>(encoding);
  chunk.kind = static_cast<ElementKind>(kind);
  if (!are_zeros({record + RecordLayout::zeros, record + RecordLayout::raw_digest})) {
    return corrupt_record(index, "reserved bytes are not zero");
  }
  std::memcpy(chunk.raw_digest.bytes.data(), record + RecordLayout::raw_digest, sizeof(Digest::bytes));
  std::memcpy(chunk.stored_digest.bytes.data(), record + RecordLayout::stored_digest, sizeof(Digest::bytes));
  return chunk;
}

Result<void> check_sizes(const Chunk& chunk, std::size_t index) {
  if (chunk.raw_bytes == 0 || chunk.raw_bytes > chunk_bytes_max) {
    return corrupt_record(index, std::to_string(chunk.raw_bytes) + " raw bytes; a chunk has 1 to 4194304");
  }
  if (chunk.encoding == ChunkEncoding::raw) {
    if (chunk.stored_bytes != chunk.raw_bytes) return corrupt_record(index, "raw, but its two sizes differ");
    if (chunk.stored_digest != chunk.raw_digest) return corrupt_record(index, "raw, but its two digests differ");
  } else if (chunk.stored_bytes == 0 || chunk.stored_bytes > chunk.raw_bytes) {
    return corrupt_record(index, std::to_string(chunk.stored_bytes) + " stored bytes for " +
                                     std::to_string(chunk.raw_bytes) + " raw ones");
  }
  return {};
}

// The stored ranges fill the data file from data_offset to its end, but for padding.
Result<void> check_stored_ranges(std::span<const Chunk> chunks, const Stream& stream) {
  std::vector<std::uint32_t> order(chunks.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto before = [&](std::uint32_t a, std::uint32_t b) { return chunks[a].file_offset < chunks[b].file_offset; };
  if (!std::is_sorted(order.begin(), order.end(), before)) std::sort(order.begin(), order.end(), before);
  std::uint64_t end = stream.data_offset;
  for (const std::uint32_t index : order) {
    const Chunk& chunk = chunks[index];
    if (chunk.file_offset < stream.data_offset) return corrupt_record(index, "lies before data_offset");
    if (chunk.file_offset > stream.data_file_bytes || chunk.stored_bytes > stream.data_file_bytes - chunk.file_offset) {
      return corrupt_record(index, "exceeds the data file");
    }
    if (chunk.file_offset < end) return corrupt_record(index, "overlaps another in the data file");
    if (chunk.file_offset - end >= padding_bytes)
      return corrupt_record(index, "leaves a gap before it in the data file");
    end = chunk.file_offset + chunk.stored_bytes;
  }
  if (stream.data_file_bytes - end >= padding_bytes) {
    return corrupt_table("the data file has " + std::to_string(stream.data_file_bytes - end) +
                         " bytes behind the last chunk");
  }
  return {};
}

}  // namespace

std::vector<std::byte> encode_chunk_table(std::span<const Chunk> chunks) {
  std::vector<std::byte> bytes(header_bytes + chunks.size() * record_bytes);
  std::memcpy(bytes.data(), magic.data(), magic.size());
  put(&bytes[8], version);
  put(&bytes[12], static_cast<std::uint32_t>(record_bytes));
  put(&bytes[16], static_cast<std::uint64_t>(chunks.size()));
  std::byte* record = bytes.data() + header_bytes;
  for (const Chunk& chunk : chunks) {
    put(record + RecordLayout::raw_offset, chunk.raw_offset);
    put(record + RecordLayout::file_offset, chunk.file_offset);
    put(record + RecordLayout::raw_bytes, chunk.raw_bytes);
    put(record + RecordLayout::stored_bytes, chunk.stored_bytes);
    record[RecordLayout::encoding] = static_cast<std::byte>(chunk.encoding);
    record[RecordLayout::kind] = static_cast<std::byte>(chunk.kind);
    std::memcpy(record + RecordLayout::raw_digest, chunk.raw_digest.bytes.data(), sizeof(Digest::bytes));
    std::memcpy(record + RecordLayout::stored_digest, chunk.stored_digest.bytes.data(), sizeof(Digest::bytes));
    record += record_bytes;
  }
  return bytes;
}

Result<std::vector<Chunk>> decode_chunk_table(std::span<const std::byte> bytes, const Stream& stream) {
  MILEPOST_TRY(check_header(bytes, stream));
  if (stream.data_offset > stream.data_file_bytes)
    return corrupt_table("data_offset is beyond the end of the data file");
  std::vector<Chunk> chunks;
  chunks.reserve((bytes.size() - header_bytes) / record_bytes);
  std::uint64_t raw_end = 0;
  for (std::size_t i = 0; i < (bytes.size() - header_bytes) / record_bytes; ++i) {
    MILEPOST_ASSIGN(const Chunk chunk, read_record(bytes, i));
    MILEPOST_TRY(check_sizes(chunk, i));
    if (chunk.raw_offset != raw_end) {
      return corrupt_record(i, "begins at raw byte " + std::to_string(chunk.raw_offset) + ", not at " +
                                   std::to_string(raw_end) + " where the one before it ends");
    }
    raw_end += chunk.raw_bytes;
    chunks.push_back(chunk);
  }
  if (raw_end != stream.raw_bytes) {
    return corrupt_table("its chunks hold " + std::to_string(raw_end) + " raw bytes; the manifest says " +
                         std::to_string(stream.raw_bytes));
  }
  MILEPOST_TRY(check_stored_ranges(chunks, stream));
  return chunks;
}

}  // namespace milepost
