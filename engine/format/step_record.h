// The step record, step.json: what makes a directory a committed step (docs/format.md), and the
// root record, milepost.json. Plain structs and pure functions; no I/O.
#pragma once

#include "milepost/engine/format/manifest.h"
#include "milepost/policy/metrics.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace milepost {

struct ItemRecord {
  std::string name;
  std::uint64_t manifest_bytes = 0;
  Digest manifest_digest;
  std::uint64_t leaf_count = 0;    // of the tree, of every kind
  std::uint64_t raw_bytes = 0;     // of all its streams
  std::uint64_t stored_bytes = 0;  // on disk, all its files but the manifest
  std::string handler = {};        // what made the tree of something else; empty: nothing
  bool operator==(const ItemRecord&) const = default;
};

// How the save went until the record was written, for those who watch it. Times are in nanoseconds from the call of
// save(), and not negative.
struct SaveFigures {
  std::string mode;              // of the snapshot
  std::string codec;             // that was asked for
  std::int64_t waited_ns = 0;    // for the save before
  std::int64_t captured_ns = 0;  // the state was frozen
  std::int64_t written_ns = 0;   // all data was written, and not yet fsynced
  std::uint64_t retries = 0;     // of writes that failed
  bool operator==(const SaveFigures&) const = default;
};

struct StepRecord {
  std::int64_t step = 0;
  std::string attempt;  // uuid
  std::uint32_t world_size = 1;
  std::int64_t init_unix_ns = 0;    // save was called
  std::int64_t commit_unix_ns = 0;  // the record was written
  Metrics metrics;
  std::string custom_metadata_json = "null";  // passed compact_custom_metadata
  std::vector<ItemRecord> items;              // by name, ascending
  std::optional<SaveFigures> save = std::nullopt;
  bool operator==(const StepRecord&) const = default;
};

inline constexpr std::uint64_t step_record_bytes_max = std::uint64_t{16} << 20;

// Checks custom metadata before it is put into a record: any JSON, nested at most 32 deep, no key twice in
// an object, at most 4 MiB. Returns it compact, which is how it comes back from a record. invalid_argument otherwise.
Result<std::string> compact_custom_metadata(std::string_view json);
// invalid_argument unless there are at most 1000 and all names are UTF-8 of 1 to 1024 bytes.
Result<void> check_metrics(const Metrics& metrics);

// JSON whose first line holds the digest of all that follows it.
std::string encode_step_record(const StepRecord& record);
// Checks the digest first, then parses and validates as decode_manifest does. The sign and payload of
// a NaN among the metrics are lost; every other double comes back bit for bit.
Result<StepRecord> decode_step_record(std::string_view text);

struct RootRecord {
  std::string uuid;
  std::int64_t created_unix_ns = 0;
  std::string custom_metadata_json = "null";
  bool operator==(const RootRecord&) const = default;
};

// The same form as the step record's.
std::string encode_root_record(const RootRecord& record);
Result<RootRecord> decode_root_record(std::string_view text);

}  // namespace milepost
