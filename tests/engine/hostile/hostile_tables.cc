// Chunk tables: of a step with three chunks, at 0, 4096 and 8192 in the data file.
#include "tests/engine/hostile/hostile_step.h"

#include <cstring>

namespace milepost::testing {
namespace {

constexpr std::size_t header_bytes = 64;

struct Field {
  const char* name;
  std::size_t at;
  std::size_t bytes;
};

}  // namespace

void add_hostile_tables(std::vector<HostileCase>& cases) {
  const auto add = [&](const Field& field, std::size_t base, std::uint64_t value, const std::string& refusal) {
    cases.push_back(
        {"table: " + std::string(field.name) + " at " + std::to_string(base) + " is " + std::to_string(value), refusal,
         [=](HostileStep& step) {
           std::memcpy(step.bytes(HostileStep::table).data() + base + field.at, &value, field.bytes);
         }});
  };
  constexpr Field magic = {"magic", 0, 8};
  constexpr Field version = {"version", 8, 4};
  constexpr Field size_of_record = {"bytes of a record", 12, 4};
  constexpr Field count = {"number of records", 16, 8};
  constexpr Field reserved = {"reserved", 24, 8};
  add(magic, 0, 0, "its first bytes are not MPCHUNKS");
  add(version, 0, 2, "version 2");
  add(version, 0, 0xFFFFFFFF, "version 4294967295");
  add(size_of_record, 0, 0, "records of another size");
  add(size_of_record, 0, 65, "records of another size");
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{2}, std::uint64_t{1} << 58, ~std::uint64_t{0}}) {
    add(count, 0, value, "records; the manifest says 3");
  }
  add(reserved, 0, 1, "reserved bytes of the header");

  constexpr Field raw_offset = {"raw offset", 0, 8};
  constexpr Field file_offset = {"file offset", 8, 8};
  constexpr Field raw_bytes = {"raw bytes", 16, 4};
  constexpr Field stored_bytes = {"stored bytes", 20, 4};
  constexpr Field encoding = {"encoding", 24, 1};
  constexpr Field kind = {"kind", 25, 1};
  constexpr Field zeros = {"zeros", 26, 2};
  for (std::size_t record = 0; record < 3; ++record) {
    const std::size_t base = header_bytes + record * HostileStep::table_record_bytes;
    for (const std::uint64_t value : {std::uint64_t{7}, ~std::uint64_t{0}})
      add(raw_offset, base, value, "begins at raw byte");
    for (const std::uint64_t value : {std::uint64_t{1} << 40, ~std::uint64_t{0} - 10}) {
      add(file_offset, base, value, "the data file");
    }
    add(file_offset, base, record == 0 ? 4095 : 0, "overlaps another");
    add(raw_bytes, base, 0, "raw bytes; a chunk has 1 to 4194304");
    add(raw_bytes, base, (4 << 20) + 1, "raw bytes; a chunk has 1 to 4194304");
    add(raw_bytes, base, 0xFFFFFFFF, "raw bytes; a chunk has 1 to 4194304");
    add(stored_bytes, base, 0, "stored bytes for");
    add(stored_bytes, base, 0xFFFFFFFF, "stored bytes for");
    add(encoding, base, 0, "raw, but its two");
    add(encoding, base, 3, "unknown encoding 3");
    add(encoding, base, 255, "unknown encoding 255");
    add(kind, base, 5, "unknown element kind 5");
    add(zeros, base, 256, "reserved bytes are not zero");
  }
  cases.push_back({"table: the last record is missing", "do not fit", [](HostileStep& step) {
                     FileBytes& table = step.bytes(HostileStep::table);
                     table.resize(table.size() - HostileStep::table_record_bytes);
                   }});
  cases.push_back({"table: bytes behind the last record", "chunks-0.bin",
                   [](HostileStep& step) { step.bytes(HostileStep::table).resize(1 << 20); }});
  cases.push_back({"table: shorter than its header", "shorter than its header",
                   [](HostileStep& step) { step.bytes(HostileStep::table).resize(63); }});
}

}  // namespace milepost::testing
