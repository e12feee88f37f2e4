// What can be known of a directory, a step or an item without touching tensor data.
#pragma once

#include "milepost/engine/format/step_record.h"
#include "milepost/engine/state/tree.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace milepost {

struct ItemMetadata {
  std::string handler;             // what made the item; empty: a tree
  std::uint64_t raw_bytes = 0;     // of state
  std::uint64_t stored_bytes = 0;  // on disk
  Tree tree;                       // tensors are abstract: dtype and shape; small values are there
};

struct StepMetadata {
  std::int64_t step = 0;
  std::map<std::string, ItemMetadata, std::less<>> items;
  Metrics metrics;
  std::int64_t init_unix_ns = 0;    // nanoseconds since 1970: save() was called
  std::int64_t commit_unix_ns = 0;  // the record was written
  std::string custom_metadata_json = "null";
  std::optional<SaveFigures> save = std::nullopt;  // how the save went; none: an older version wrote it
};

struct RootMetadata {
  std::string uuid;
  std::int64_t created_unix_ns = 0;
  std::string custom_metadata_json = "null";
};

}  // namespace milepost
