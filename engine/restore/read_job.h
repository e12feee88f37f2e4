// Carries out a read plan: keeps a bounded number of chunk reads in flight, and checks, decodes and
// scatters each chunk on a worker as it arrives.
#pragma once

#include "milepost/engine/restore/read_plan.h"
#include "milepost/engine/restore/restore.h"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace milepost {

// One item as it lies on disk, opened.
struct ItemFiles {
  std::string directory;  // relative to the root
  std::string handler;    // ItemRecord::handler
  Manifest manifest;
  bool is_open = false;                          // what follows is there: see StepReader::State::item
  std::vector<std::vector<Chunk>> chunks;        // of each stream
  std::vector<std::unique_ptr<ReadFile>> files;  // of each stream
};

// Counts bytes and tells the user; shared by the jobs of one restore. Thread-safe.
class ReadProgress {
 public:
  ReadProgress(ProgressFn fn, std::uint64_t bytes_total) : fn_(std::move(fn)), bytes_total_(bytes_total) {}
  void add(std::uint64_t bytes) noexcept;
  // failed_precondition if the listener threw: it was not called again.
  Result<void> check() const;

 private:
  const ProgressFn fn_;
  const std::uint64_t bytes_total_;
  mutable std::mutex mutex_;
  std::uint64_t bytes_done_ = 0;
  std::optional<Error> thrown_;
};

// What became of one bad chunk: called from workers, one call at a time; false: go no further. A chunk may be good and
// still hold an element that cannot be cast: then `misfit` is the part that wanted it, otherwise null.
using ChunkErrorFn = std::function<bool(const ChunkRead&, Error, const ReadPart* misfit)>;

// Returns when all is done and nothing is in flight. The error is what `on_error` threw, and was not told of.
Result<void> read_chunks(const RestoreContext& context, const ItemFiles& item, const ReadPlan& plan,
                         ReadProgress& progress, const ChunkErrorFn& on_error);

}  // namespace milepost
