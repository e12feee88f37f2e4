// Appends to a file at the root of a store so that all of what is appended becomes durable, or nothing of it stays.
//
// A file system promises less: after a power cut some sectors of an append may be there, and others not, or zeros.
//
//  1. Beside the file lies a directory, ".<file>.milepost", locked exclusively: nobody else appends.
//  2. Write into a record in it what is to be appended, and to what (append_intent.h); fsync.
//  3. See whether the file still has its size; append; fsync; see whether the file of that name has it. Who replaces
//     the file meanwhile is noticed. Only who appends between the first look and the write, which are microseconds
//     apart, loses what he wrote.
//  4. Make the record void. Without fsync: a record of what is whole does no harm.
//
// Whoever opens the file next and finds a record looks at what is behind the place that it names, if what is before is
// as it was. All of what was to be appended stays, and is written once more: after a failed fsync the page cache shows
// what the disk does not have. A part of it is cut off; anything else is what somebody else has written since, and
// stays. Then the file is fsynced, whatever was found, and only then the record goes: a cut that a power failure undid
// would otherwise have nobody left to make it again.
//
// A failure is undone at once in the same way, but what is whole is cut off too. If that fails as well and the process
// dies, the next one finds the append whole, perhaps, and keeps it: nobody knows any more that it was reported as
// failed.
#pragma once

#include "milepost/engine/federated/append_intent.h"
#include "milepost/io/store.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace milepost {

// Not thread-safe. The store must outlive it.
class AtomicAppender {
 public:
  // So that the directory has a name, too.
  static constexpr std::size_t file_name_bytes_max = 245;

  // Makes the directory, and cuts off what a crash left. The file need not exist. unavailable: another appender has it,
  // in this process or another; on a file system without locks nobody knows.
  static Result<std::unique_ptr<AtomicAppender>> open(Store& store, const std::string& file);
  // Removes the record and the directory. If that fails, or an append is still to be undone, both stay until the next
  // opening.
  ~AtomicAppender();
  AtomicAppender(const AtomicAppender&) = delete;
  AtomicAppender& operator=(const AtomicAppender&) = delete;

  // Appends text without zero bytes to the file, which has that size. unavailable: it has another, or somebody else
  // changes it meanwhile. After an error the file is as it was. Where it says that this failed too, as soon as repair()
  // has succeeded; after the next open() by another process all of the text may be there, but never a part.
  Result<void> append(std::uint64_t size, std::string text);
  // Undoes the append that failed last, if that is still to be done.
  Result<void> repair();

 private:
  AtomicAppender(Store& store, std::string file);

  Result<void> lock();
  Result<void> settle_record();
  Result<AppendOutcome> outcome_of(const AppendIntent& intent);
  Result<void> settle(const AppendIntent& intent, bool keep_whole);
  Result<void> ensure_record();
  Result<void> write_record(const AppendIntent& intent);
  void void_record();
  Result<void> write_behind(WriteFile& file, const AppendIntent& intent);

  Store& store_;
  const std::string file_;
  const std::string directory_;
  const std::string record_path_;
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<WriteFile> record_;      // null: not yet there, or damaged
  std::optional<AppendIntent> unsettled_;  // of an append that failed, and could not be undone
};

}  // namespace milepost
