// A directory of thousands of steps, each as small as a step can be, written file by file: that many commits would take
// longer than all that is done with them.
#pragma once

#include "milepost/engine/format/manifest.h"
#include "milepost/engine/format/names.h"
#include "milepost/engine/format/step_record.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace milepost::bench {

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// What such a step holds, as its item "state": all of it is in its manifest.
inline Tree tree_of_many(std::int64_t step) { return Tree::map({{"step", step}}); }

// Steps 1 to `count`, saved a minute apart, with a loss that falls. `directory` is new.
inline void write_many_steps(const std::filesystem::path& directory, std::int64_t count) {
  constexpr std::int64_t first_unix_ns = 1'700'000'000'000'000'000;
  constexpr std::int64_t minute_ns = 60'000'000'000;
  std::filesystem::create_directories(directory);
  RootRecord root;
  root.uuid = make_uuid();
  root.created_unix_ns = first_unix_ns;
  write_text(directory / root_record_name, encode_root_record(root));
  for (std::int64_t step = 1; step <= count; ++step) {
    const std::filesystem::path place = directory / std::to_string(step);
    std::filesystem::create_directories(place / "state");
    Manifest manifest;
    manifest.step = step;
    manifest.item = "state";
    manifest.attempt = make_uuid();
    manifest.codec = "fast";
    manifest.tree = tree_of_many(step);
    const std::string text = encode_manifest(manifest);
    write_text(place / "state" / manifest_name, text);
    StepRecord record;
    record.step = step;
    record.attempt = manifest.attempt;
    record.init_unix_ns = record.commit_unix_ns = first_unix_ns + step * minute_ns;
    record.metrics = {{"loss", 1.0 / static_cast<double>(step)}};
    record.items.push_back({"state", text.size(), Digest::of(text), 1});
    record.save = SaveFigures{.mode = "copy", .codec = "fast"};
    write_text(place / step_record_name, encode_step_record(record));
  }
}

}  // namespace milepost::bench
