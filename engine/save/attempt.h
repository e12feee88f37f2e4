// An attempt to save a step, and the commit: the only place that publishes anything.
//
//  1. Make <root>/.tmp-<step>-<uuid> and lock it, shared: nobody removes it while this process lives.
//  2. Make a directory for each item; write its data file, chunk table and manifest there. Every file
//     is new (never replaces), every one is fsynced, and fsynced once: after a failed fsync the kernel
//     may have marked lost pages clean, so a second one would lie. Any failure ends the attempt.
//  3. fsync the item directories: now the names of the files are durable.
//  4. Write step.json, which holds the digests of the manifests, and fsync it; fsync the attempt
//     directory. The step is durable.
//  5. Rename the attempt to its final name, which must not exist. Readers see all of it or nothing.
//  6. fsync the root. Only now is the step reported as committed. If this fails the outcome is
//     unknown: that is reported, and nothing is deleted.
//
// A step that is there is overwritten by another 5: with the old step locked exclusively, so that nobody
// reads it, the attempt and the old step exchange names at once.
//
//  7. After 6 the old step, which has the attempt's name now, becomes trash. If that fails it is a dead attempt, for
//     the next sweep, and the new step is committed all the same.
//
// A crash leaves a .tmp- directory, which no reader takes for a step; after an exchange it is the old step. So may
// a failure for which there was no memory to clean up after.
#pragma once

#include "milepost/engine/format/step_record.h"
#include "milepost/io/store.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace milepost {

// Locks a step that is to be overwritten, so that nobody reads it; null where the file system has no locks. not_found:
// there is nothing of that name; already_exists: it is no step; unavailable: somebody has it open.
Result<std::unique_ptr<DirectoryLock>> lock_for_overwrite(Store& store, const std::string& name);

// Not thread-safe, but files of different items may be written from different threads.
class Attempt {
 public:
  // Step 1. A sweeper may take the new directory for a dead one before it is locked: then another is made.
  // Without a step it is one of a file at the root (publish_file.h).
  static Result<Attempt> begin(Store& store, std::optional<std::int64_t> step);

  const std::string& uuid() const { return uuid_; }
  std::string path(std::string_view item, std::string_view file) const;

  Result<void> make_item(const std::string& item);      // step 2
  Result<void> sync_item(const std::string& item);      // step 3
  Result<void> write_record(const StepRecord& record);  // step 4
  // Steps 5 and 6. already_exists: without `overwrite`, anything of that name; with it, what is no step.
  // unavailable: somebody has the step open; failed_precondition: the file system cannot exchange names. In
  // these cases what was there is as it was.
  Result<void> publish(const std::string& final_name, bool overwrite = false);
  // Step 7, for Collector::empty_trash(); nothing to do if nothing was overwritten.
  Result<void> trash_replaced();

  // When nothing is in flight: removes the attempt with all it holds.
  Result<void> discard();
  // After a failure, when nothing is in flight: removes what was written and returns `cause`, with a
  // remark if the removal failed (what is left is swept later). Keeps everything once the outcome is unknown.
  Error abandon(Error cause) noexcept;
  bool is_left() const { return left_; }  // abandoned, but not removed

 private:
  Attempt(Store& store, std::string uuid, std::string directory, std::unique_ptr<DirectoryLock> lock)
      : store_(&store), uuid_(std::move(uuid)), directory_(std::move(directory)), lock_(std::move(lock)) {}

  Result<bool> exchange(const std::string& final_name);
  Result<void> sync_root();

  Store* store_;
  std::string uuid_;
  std::string directory_;
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<DirectoryLock> replaced_;  // lock of the old step, held until that is trash
  bool exchanged_ = false;                   // what has the attempt's name is the old step
  bool outcome_unknown_ = false;             // or may be
  bool left_ = false;
};

}  // namespace milepost
