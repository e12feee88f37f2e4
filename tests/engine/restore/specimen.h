// A step to be damaged, and an oracle: what must be said of it when some of its bytes are others.
#pragma once

#include "milepost/engine/checkpoint_manager.h"
#include "tests/engine/restore/damaged_store.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace milepost::testing {

class Specimen {
 public:
  // Steps 1 and 2 with items of every kind, coded so; 1 is to be damaged.
  explicit Specimen(const Codec& codec);
  // A step in a directory, which stays as it is.
  Specimen(const std::string& directory, const std::string& prefix, std::int64_t step);

  // Relative to the root.
  const std::string& directory() const { return directory_; }
  const FileMap& files() const { return files_; }    // of the step
  const FileMap& others() const { return others_; }  // of the other step, by the same names

  // What escapes notice, or is told wrongly, if files of the step hold this: what verification does not name by file,
  // offset and leaf, and what is restored as if it were right. Empty if nothing is.
  std::string escapes(const Damaged& damaged);

 private:
  struct Place {
    std::string file;
    std::uint64_t offset;
    std::uint64_t bytes;
    std::vector<std::string> leaves;
  };

  void look_at_good();
  std::string wrongly_restored();
  std::string wrongly_verified(const Damaged& damaged);
  std::string name(std::int64_t step) const { return prefix_ + std::to_string(step); }
  std::vector<Place> expected_places(const Damaged& damaged) const;
  void add_data_places(const std::string& item, std::size_t stream, const FileBytes& found,
                       std::vector<Place>& places) const;

  const std::string prefix_;
  const std::int64_t step_;
  const std::string directory_;
  const std::shared_ptr<DamagedStore> store_;
  CheckpointManager manager_;
  FileMap files_;
  FileMap others_;
  Items good_;
  struct Index {
    Manifest manifest;
    std::vector<std::string> paths;  // of its leaves
    std::vector<std::vector<Chunk>> chunks;
  };
  std::map<std::string, Index> index_;  // by item
};

}  // namespace milepost::testing
