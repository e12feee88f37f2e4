#include "tests/engine/hostile/hostile_step.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace milepost::testing {

void HostileStep::edit(const std::string& file, std::string_view from, std::string_view to) {
  std::string text = text_of(files_.at(file));
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::logic_error(file + " does not hold " + std::string(from));
  text.replace(at, from.size(), to);
  files_.at(file) = bytes_of(text);
}

namespace {

// In a record of the chunk table, behind a header of as many bytes: docs/format.md.
constexpr std::size_t file_offset_at = 8;
constexpr std::size_t stored_bytes_at = 20;
constexpr std::size_t stored_digest_at = 48;

template <class Number> Number read_number(const FileBytes& bytes, std::size_t at) {
  Number number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

}  // namespace

FileBytes HostileStep::chunk(std::size_t index) const {
  const FileBytes& records = files_.at(table);
  const std::size_t at = (index + 1) * table_record_bytes;
  const auto begin = files_.at(data).begin() + read_number<std::int64_t>(records, at + file_offset_at);
  return {begin, begin + read_number<std::uint32_t>(records, at + stored_bytes_at)};
}

void HostileStep::set_chunk(std::size_t index, const FileBytes& stored) {
  FileBytes& records = files_.at(table);
  FileBytes& content = files_.at(data);
  std::byte* const entry = records.data() + (index + 1) * table_record_bytes;
  const auto offset = read_number<std::uint64_t>(records, (index + 1) * table_record_bytes + file_offset_at);
  const std::string bytes_before = std::to_string(content.size());
  if ((index + 2) * table_record_bytes == records.size()) {
    content.resize(offset);
    content.resize(io_aligned(offset + stored.size()));
  }
  std::copy(stored.begin(), stored.end(), content.begin() + static_cast<std::ptrdiff_t>(offset));
  const auto stored_bytes = static_cast<std::uint32_t>(stored.size());
  std::memcpy(entry + stored_bytes_at, &stored_bytes, sizeof stored_bytes);
  const Digest digest = Digest::of(stored);
  std::memcpy(entry + stored_digest_at, digest.bytes.data(), digest.bytes.size());
  edit(manifest, "\"data_file_bytes\":" + bytes_before, "\"data_file_bytes\":" + std::to_string(content.size()));
}

void HostileStep::write(const std::filesystem::path& root) {
  reseal(files_, good_, "1");
  for (const auto& [path, bytes] : files_) {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path, std::ios::binary) << text_of(bytes);
  }
}

std::vector<HostileCase> hostile_cases() {
  std::vector<HostileCase> cases;
  add_hostile_entries(cases);
  add_hostile_json(cases);
  add_hostile_tables(cases);
  add_hostile_chunks(cases);
  return cases;
}

}  // namespace milepost::testing
