#include "milepost/engine/federated/atomic_appender.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace milepost {
namespace {

Result<std::string> read_range(ReadFile& file, std::uint64_t begin, std::uint64_t end) {
  std::string text(end - begin, '\0');
  MILEPOST_ASSIGN(const std::size_t bytes, read_at(file, begin, std::as_writable_bytes(std::span(text))));
  text.resize(bytes);
  return text;
}

Result<Digest> digest_before(ReadFile& file, std::uint64_t end) {
  MILEPOST_ASSIGN(const std::string context, read_range(file, end - std::min(end, append_context_bytes), end));
  return Digest::of(context);
}

Error changed_by_others() { return Error(ErrorCode::unavailable, "somebody else is changing the file"); }

bool is(const Error& error, ErrorCode code) { return error.code() == code; }

}  // namespace

AtomicAppender::AtomicAppender(Store& store, std::string file)
    : store_(store),
      file_(std::move(file)),
      directory_("." + file_ + ".milepost"),
      record_path_(directory_ + "/append") {}

Result<std::unique_ptr<AtomicAppender>> AtomicAppender::open(Store& store, const std::string& file) {
  std::unique_ptr<AtomicAppender> appender(new AtomicAppender(store, file));
  MILEPOST_TRY(appender->lock());
  MILEPOST_TRY(appender->settle_record());
  return appender;
}

AtomicAppender::~AtomicAppender() {
  if (!lock_ || unsettled_) return;  // a record that is still needed stays
  if (record_) static_cast<void>(store_.remove_file(record_path_));
  record_.reset();
  static_cast<void>(store_.remove_directory(directory_));
}

Result<void> AtomicAppender::lock() {
  constexpr int tries_max = 8;
  for (int tries = 1;; ++tries) {
    const auto made = store_.make_directory(directory_);
    if (made.has_error() && !is(made.error(), ErrorCode::already_exists)) return made.error();
    auto lock = store_.lock_directory(directory_, LockKind::exclusive);
    if (lock.has_value()) {
      lock_ = std::move(lock).value();
      return {};
    }
    if (is(lock.error(), ErrorCode::failed_precondition)) return {};  // no locks here
    if (is(lock.error(), ErrorCode::unavailable)) {
      return Error(ErrorCode::unavailable, "somebody else has the file open to release into it",
                   lock.error().system_errno());
    }
    // Removed by another that was done just now.
    if (!is(lock.error(), ErrorCode::not_found) || tries == tries_max) return lock.error();
  }
}

Result<void> AtomicAppender::settle_record() {
  const auto record = read_file(store_, record_path_, std::numeric_limits<std::uint64_t>::max());
  if (record.has_error()) return is(record.error(), ErrorCode::not_found) ? Result<void>() : record.error();
  if (const auto intent = decode_append_intent(*record)) MILEPOST_TRY(settle(*intent, true));
  return store_.remove_file(record_path_);
}

Result<AppendOutcome> AtomicAppender::outcome_of(const AppendIntent& intent) {
  MILEPOST_ASSIGN(const auto file, store_.open_file(file_));
  const std::uint64_t size = file->size();
  if (size < intent.size || size - intent.size > intent.appended.size()) return AppendOutcome::foreign;
  MILEPOST_ASSIGN(const Digest context, digest_before(*file, intent.size));
  if (context != intent.context) return AppendOutcome::foreign;
  MILEPOST_ASSIGN(const std::string found, read_range(*file, intent.size, size));
  return append_outcome(intent, found);
}

Result<void> AtomicAppender::settle(const AppendIntent& intent, bool keep_whole) {
  const auto outcome = outcome_of(intent);
  if (outcome.has_error()) {
    return is(outcome.error(), ErrorCode::not_found) ? Result<void>() : outcome.error();
  }
  MILEPOST_ASSIGN(const auto file, store_.open_file_to_write(file_));
  if (*outcome == AppendOutcome::whole && keep_whole) {
    // Once more: if the writer's fsync failed, pages that never reached the disk count as written.
    MILEPOST_TRY(write_at(*file, intent.size, std::as_bytes(std::span(intent.appended))));
  } else if (*outcome != AppendOutcome::foreign) {
    MILEPOST_TRY(file->truncate(intent.size));
  }
  // Also where nothing was to be done: somebody may have cut the row off, and died before his fsync.
  MILEPOST_TRY(file->sync());
  return file->close();
}

Result<void> AtomicAppender::repair() {
  if (!unsettled_) return {};
  MILEPOST_TRY(settle(*unsettled_, false));
  unsettled_.reset();
  void_record();
  return {};
}

Result<void> AtomicAppender::ensure_record() {
  if (record_) return {};
  auto created = store_.create_file(record_path_, {});
  if (created.has_error() && is(created.error(), ErrorCode::already_exists)) {
    created = store_.open_file_to_write(record_path_);
  }
  if (created.has_error()) return created.error();
  MILEPOST_TRY(store_.sync_directory(directory_));
  MILEPOST_TRY(store_.sync_directory(""));
  record_ = std::move(created).value();
  return {};
}

Result<void> AtomicAppender::write_record(const AppendIntent& intent) {
  MILEPOST_TRY(ensure_record());
  const std::vector<std::byte> record = encode_append_intent(intent);
  auto written = write_at(*record_, 0, record);
  if (written.has_value()) written = record_->sync();
  if (written.has_error()) record_.reset();  // after a failed fsync it is of no use
  return written;
}

void AtomicAppender::void_record() {
  if (record_ && write_at(*record_, 0, void_append_intent).has_error()) record_.reset();
}

Result<void> AtomicAppender::write_behind(WriteFile& file, const AppendIntent& intent) {
  MILEPOST_TRY(write_at(file, intent.size, std::as_bytes(std::span(intent.appended))));
  MILEPOST_TRY(file.sync());
  MILEPOST_TRY(file.close());
  // Is it in the file of that name?
  MILEPOST_ASSIGN(const auto named, store_.open_file(file_));
  MILEPOST_ASSIGN(const std::string found, read_range(*named, intent.size, intent.size + intent.appended.size()));
  return found == intent.appended ? Result<void>() : changed_by_others();
}

Result<void> AtomicAppender::append(std::uint64_t size, std::string text) {
  MILEPOST_TRY(repair());
  // Before the record, which takes its time: what is written to is what was looked at.
  MILEPOST_ASSIGN(const auto file, store_.open_file_to_write(file_));
  AppendIntent intent{.size = size, .context = {}, .appended = std::move(text)};
  {
    MILEPOST_ASSIGN(const auto named, store_.open_file(file_));
    if (named->size() != size) return changed_by_others();
    MILEPOST_ASSIGN(intent.context, digest_before(*named, size));
  }
  MILEPOST_TRY(write_record(intent));
  if (const auto info = store_.stat(file_); info.has_error() || info->size != size) {
    void_record();
    return info.has_error() ? info.error() : changed_by_others();
  }
  unsettled_ = std::move(intent);
  const auto written = write_behind(*file, *unsettled_);
  if (written.has_value()) {
    unsettled_.reset();
    void_record();
    return {};
  }
  const auto repaired = repair();
  if (repaired.has_value()) return written;
  return Error(written.error().code(),
               written.error().to_string() +
                   " (and what was appended could not be cut off again; the next release does that, the next " +
                   "opening only if it is not whole: " + repaired.error().to_string() + ")",
               written.error().system_errno());
}

}  // namespace milepost
