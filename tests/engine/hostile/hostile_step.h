// A step as nobody should write it: made from a good one by changes, whose digests are put right up to the step record,
// so that it is not they that refuse it.
#pragma once

#include "tests/engine/restore/resealing.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace milepost::testing {

// The files of step 1, whose only item is "state"; paths are relative to the root: "1/step.json", "1/state/...".
class HostileStep {
 public:
  explicit HostileStep(FileMap good) : good_(std::move(good)), files_(good_) {}

  // Replaces text that is there in a file, or all of it. Throws std::logic_error if it is not there.
  void edit(const std::string& file, std::string_view from, std::string_view to);
  void set(const std::string& file, std::string_view text) { files_.at(file) = bytes_of(text); }
  std::string text(const std::string& file) const { return text_of(files_.at(file)); }
  FileBytes& bytes(const std::string& file) { return files_.at(file); }
  // A chunk as it is stored; another in its place, of the same size unless it is the last.
  FileBytes chunk(std::size_t index) const;
  void set_chunk(std::size_t index, const FileBytes& stored);
  // Writes it below a directory.
  void write(const std::filesystem::path& root);

  static constexpr const char* record = "1/step.json";
  static constexpr const char* manifest = "1/state/manifest.json";
  static constexpr const char* table = "1/state/chunks-0.bin";
  static constexpr const char* data = "1/state/data-0.bin";
  static constexpr std::size_t table_record_bytes = 64;

 private:
  const FileMap good_;
  FileMap files_;
};

struct HostileCase {
  std::string name;
  std::string refusal;  // a part of what restoring and verifying say
  // Changes what the step says; then, when it is written, what the directory of checkpoints holds. `outside` is a
  // directory beside that one, with a copy of the good step in it, of which nothing may be opened.
  std::function<void(HostileStep&)> change = {};
  std::function<void(const std::filesystem::path& root, const std::filesystem::path& outside)> plant = {};
};

// At least 200, each of another name.
std::vector<HostileCase> hostile_cases();

// The parts of that table.
void add_hostile_entries(std::vector<HostileCase>& cases);  // links, pipes, devices and directories in place of files
void add_hostile_json(std::vector<HostileCase>& cases);     // names, numbers, counts, shards, depth
void add_hostile_tables(std::vector<HostileCase>& cases);   // chunk tables
void add_hostile_chunks(std::vector<HostileCase>& cases);   // bombs and other coded data

}  // namespace milepost::testing
