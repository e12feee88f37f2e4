// FileReleaseManager: releases values in the format of checkpoints, one step a key, to be read again as they were.
// TensorFlow Federated's SavedModelFileReleaseManager, over a CheckpointManager.
#pragma once

#include "milepost/engine/federated/release_manager.h"
#include "milepost/engine/state/tree.h"
#include "milepost/io/codec/codec.h"
#include "milepost/io/store.h"

#include <cstdint>
#include <memory>
#include <string>

namespace milepost {

struct FileReleaseManagerOptions {
  std::string prefix = "release_";  // a value's directory is called <prefix><key>, in decimal; must not end in a digit
  Codec codec = Codec::fast();
  std::shared_ptr<Store> store = nullptr;  // instead of the file system at the path given to open()
};

// Keys are 0 to 2^63 - 1, in any order. All methods may be called from several threads at once, and are carried out one
// after the other. A handle: movable, not copyable.
class FileReleaseManager final : public ReleaseManager<std::int64_t> {
 public:
  // Makes the directory, and its missing parents. Errors as of CheckpointManager::open().
  static Result<FileReleaseManager> open(const std::string& root_dir, FileReleaseManagerOptions options = {});
  FileReleaseManager(FileReleaseManager&&) noexcept;
  FileReleaseManager& operator=(FileReleaseManager&&) noexcept;
  ~FileReleaseManager() override;

  // On disk when it returns. A value of that key is replaced at once: readers find the old one or the new one.
  // invalid_argument for a key that cannot be, or a value that cannot be stored; unavailable while somebody reads the
  // old value through another manager, in any process.
  Result<void> release(const ProgramValue& value, const std::int64_t& key) override;

  // The value in memory of its own. not_found, corruption.
  Result<Tree> get_value(std::int64_t key);

 private:
  class Impl;
  explicit FileReleaseManager(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace milepost
