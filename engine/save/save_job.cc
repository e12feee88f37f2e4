#include "milepost/engine/save/save_job.h"

#include "milepost/engine/format/data_header.h"
#include "milepost/engine/format/names.h"
#include "milepost/engine/within_step.h"
#include "milepost/io/caught.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <cstring>

namespace milepost {
namespace {

std::int64_t unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::size_t coding_block_bytes() { return io_aligned(encoded_bytes_max(chunk_bytes_max)); }

SaveJob::SaveJob(const SaveContext& context, SaveRequest request, Clock::time_point called)
    : context_(context),
      request_(std::move(request)),
      uncompressed_(request_.codec.kind == Codec::Kind::none),
      called_(called),
      called_unix_ns_(unix_ns()),
      mode_(request_.mode) {}

SaveJob::~SaveJob() = default;

void SaveJob::plan() {
  const TraceSlice slice("plan");
  items_.resize(request_.items.size());
  std::vector<const StreamPlan*> plans;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    ItemState& item = items_[i];
    item.tree = &request_.items[i].tree;
    item.plan = plan_stream(*item.tree, request_.codec);
    item.chunks.resize(item.plan.chunks.size());
    item.record.name = request_.items[i].name;
    item.record.handler = request_.items[i].handler;
    item.record.leaf_count = item.plan.leaf_count;
    if (Trace::is_on()) item.traced_names = paths_of_stored_leaves(*item.tree);
    item.record.raw_bytes = item.plan.raw_bytes;
    raw_bytes_ += item.plan.raw_bytes;
    chunk_count_ += item.plan.chunks.size();
    plans.push_back(&item.plan);
  }
  snapshot_.emplace(std::move(plans), *context_.staging, static_cast<SnapshotSink&>(*this));
  if (request_.mode == SnapshotMode::cow) {
    if (const auto refused = snapshot_->protect(); refused.has_error()) {
      mode_ = SnapshotMode::copy;
      mode_reason_ = refused.error().to_string();
    }
  }
  const std::lock_guard lock(mutex_);
  planned_ = true;
  changed_.notify_all();
}

// A broadcast view may have more chunks than there is memory for their list.
void SaveJob::plan_if_there_is_memory() noexcept {
  auto planned = caught([&] { plan(); });
  if (planned.has_value()) return;
  fail(planned.error().within("the plan of the save"));
  items_.clear();
  raw_bytes_ = 0;
  chunk_count_ = 0;
  snapshot_.emplace(std::vector<const StreamPlan*>(), *context_.staging, static_cast<SnapshotSink&>(*this));
  const std::lock_guard lock(mutex_);
  planned_ = true;
  changed_.notify_all();
}

Snapshot& SaveJob::snapshot() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return planned_; });
  return *snapshot_;
}

void SaveJob::let_write() noexcept {
  if (request_.mode == SnapshotMode::cow) snapshot().fence();
}

bool SaveJob::capture(Clock::time_point deadline) noexcept {
  if (!is_frozen_in_call(request_.mode)) return true;  // run() begins with it
  plan_if_there_is_memory();
  return snapshot_->start(mode_, copiers_to_call(), deadline);
}

bool SaveJob::wait_captured(Clock::time_point deadline) {
  {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_until(lock, deadline, [&] { return planned_; })) return false;
  }
  return snapshot_->wait_captured(deadline);
}

bool SaveJob::wait_durable(std::optional<Clock::time_point> deadline) {
  std::unique_lock lock(mutex_);
  const auto happened = [&] { return is_durable() || ended_; };
  if (deadline) return changed_.wait_until(lock, *deadline, happened);
  changed_.wait(lock, happened);
  return true;
}

// --- Progress.

Progress SaveJob::progress() const {
  {
    const std::lock_guard lock(mutex_);
    if (!planned_) return {Phase::capturing, 0, 0};
  }
  const Phase phase = phase_.load();
  switch (phase) {
    case Phase::capturing: return {phase, snapshot_->captured_bytes(), raw_bytes_};
    case Phase::writing: return {phase, written_bytes_.load(), raw_bytes_};
    default: return {phase, raw_bytes_, raw_bytes_};
  }
}

void SaveJob::report_progress() noexcept {
  if (!request_.on_progress) return;
  const std::unique_lock lock(progress_mutex_, std::try_to_lock);
  if (!lock) return;
  try {
    request_.on_progress(progress());
  } catch (...) {
    fail(Error::of_exception(ErrorCode::failed_precondition).within("on_save_progress threw"));
  }
}

// --- The control thread.

Result<SaveReport> SaveJob::run() noexcept {
  const PromptWaking prompt;  // files are to be open long before a copy that keeps the cores busy is made
  if (is_frozen_in_call(request_.mode)) {
    snapshot();  // planned by the caller's thread
  } else {
    plan_if_there_is_memory();
    snapshot_->start(mode_, copiers_to_call());
  }
  // A worker called for that would find no idle core while the files are opened, and wait for the next tick for this
  // one. What is coded is not written before all is captured: until then it needs no files.
  const bool copies = mode_ == SnapshotMode::copy && context_.workers->size() > 1;
  if (copies && !uncompressed_) snapshot_->copy_while_blocks_are_free();
  TraceSlice opening("begin attempt");
  auto begun = caught([&] { return Attempt::begin(*context_.store, request_.step); });
  const auto opened = begun.has_value() ? caught([&] { return open_files(*begun); }) : Result<void>(begun.error());
  if (opened.has_error()) fail(opened.error());
  opening.end();
  release_files();
  if (copies && uncompressed_) snapshot_->copy_while_blocks_are_free();

  // The index of an item is written while its last chunks still are.
  {
    const TraceSlice slice("wait for coding");
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return coded_ == chunk_count_ || failed_; });
  }
  for (ItemState& item : items_) {
    if (dropped()) break;
    const auto written = caught([&]() -> Result<void> {
      auto index = write_index(*begun, item);
      if (index.has_error()) return index.error().within("item " + item.record.name);
      return index;
    });
    if (written.has_error()) fail(written.error());
  }
  {
    const TraceSlice slice("wait for writes");
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_ == chunk_count_; });
    written_s_ = seconds_since_call();
  }
  snapshot_->finish();
  const auto failed = failure();
  auto report = failed ? Result<SaveReport>(*failed) : caught([&] { return commit(*begun); });
  for (ItemState& item : items_) item.file.reset();
  request_.items.clear();  // or the next save would copy its trees while these are still there
  if (report.has_error()) {
    Error error = begun.has_value() ? begun->abandon(report.error()) : report.error();
    left_attempt_ = begun.has_value() && begun->is_left();
    report = within_step(std::move(error), request_.step);
  }
  phase_ = Phase::done;
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
  return report;
}

Result<void> SaveJob::open_files(Attempt& attempt) {
  for (ItemState& item : items_) {
    const auto explain_item = [&](Error error) { return std::move(error).within("item " + item.record.name); };
    if (auto made = attempt.make_item(item.record.name); made.has_error()) return explain_item(made.error());
    if (item.plan.chunks.empty()) continue;

    std::string header;
    if (uncompressed_) {
      auto encoded = encode_data_header(0, *item.tree, describe_leaves(item.plan));
      if (encoded.has_error()) return explain_item(encoded.error());
      header = std::move(encoded).value();
      item.data_offset = header.size();
      item.file_bytes = header.size() + item.plan.raw_bytes;
    }
    item.file_name = data_file_name(0, uncompressed_);
    auto file = context_.store->create_file(attempt.path(item.record.name, item.file_name),
                                            {.direct = true, .size_hint = item.data_offset + item.plan.raw_bytes});
    if (file.has_error()) return explain_item(file.error());
    item.file = std::move(file).value();
    for (std::size_t done = 0; done < header.size();) {
      MILEPOST_ASSIGN(const BufferLease block, context_.coding->acquire());
      const std::size_t part = std::min(header.size() - done, block.size());
      std::memcpy(block.data(), header.data() + done, part);
      auto written = write_at(*item.file, done, {block.data(), part});
      while (written.has_error() && may_retry(written.error()))
        written = write_at(*item.file, done, {block.data(), part});
      if (written.has_error()) return explain_item(written.error());
      done += part;
    }
  }
  return {};
}

void SaveJob::release_files() noexcept {
  bool code;
  {
    const std::lock_guard lock(mutex_);
    files_ready_ = true;
    code = coding_wanted_ || !copies_first();
  }
  pump_writes();
  if (code) start_coding();
}

Result<void> SaveJob::write_index(Attempt& attempt, ItemState& item) {
  const TraceSlice slice("write index", {{"item", item.record.name}});
  Manifest manifest;
  manifest.step = request_.step;
  manifest.item = item.record.name;
  manifest.attempt = attempt.uuid();
  manifest.codec = request_.codec.to_string();
  if (item.file) {
    const std::vector<std::byte> table = encode_chunk_table(item.chunks);
    Stream stream;
    stream.raw_bytes = item.plan.raw_bytes;
    stream.data_file = item.file_name;
    stream.data_file_bytes = item.file_bytes;
    stream.data_offset = item.data_offset;
    stream.table_file = table_file_name(0);
    stream.chunk_count = item.chunks.size();
    stream.table_digest = Digest::of(table);
    MILEPOST_TRY(write_file(*context_.store, attempt.path(item.record.name, stream.table_file), table));
    item.record.stored_bytes = stream.data_file_bytes + table.size();
    manifest.streams.push_back(std::move(stream));
  }
  const std::string text = encode_manifest(manifest, *item.tree, describe_leaves(item.plan));
  if (text.size() > manifest_bytes_max) {  // no reader would take it
    return Error(ErrorCode::invalid_argument, "the manifest has " + std::to_string(text.size()) +
                                                  " bytes, of at most " + std::to_string(manifest_bytes_max));
  }
  item.record.manifest_bytes = text.size();
  item.record.manifest_digest = Digest::of(text);
  return write_file(*context_.store, attempt.path(item.record.name, manifest_name), std::as_bytes(std::span(text)));
}

SaveFigures SaveJob::figures() const {
  const auto ns = [](double seconds) { return static_cast<std::int64_t>(seconds * 1e9); };
  const std::lock_guard lock(mutex_);
  return {std::string(to_string(mode_)),
          request_.codec.to_string(),
          ns(request_.waited_s),
          ns(captured_s_),
          ns(written_s_),
          retries_};
}

Result<SaveReport> SaveJob::commit(Attempt& attempt) {
  const TraceSlice slice("commit");
  phase_ = Phase::committing;
  report_progress();
  if (const auto failed = failure()) return *failed;
  SaveReport report;
  StepRecord record;
  for (ItemState& item : items_) {
    const auto finish = [&]() -> Result<void> {
      if (item.file) {
        const auto began = Clock::now();
        MILEPOST_TRY(item.file->truncate(item.file_bytes));
        MILEPOST_TRY(item.file->sync());
        {
          const std::lock_guard lock(mutex_);
          disk_time_ += Clock::now() - began;
        }
        MILEPOST_TRY(item.file->close());
      }
      return attempt.sync_item(item.record.name);
    };
    if (auto finished = finish(); finished.has_error()) return finished.error().within("item " + item.record.name);
    record.items.push_back(item.record);
    report.stored_bytes += item.record.stored_bytes + item.record.manifest_bytes;
  }
  std::sort(record.items.begin(), record.items.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  record.step = request_.step;
  record.attempt = attempt.uuid();
  record.init_unix_ns = called_unix_ns_;
  record.commit_unix_ns = unix_ns();
  record.metrics = request_.metrics;
  record.custom_metadata_json = request_.custom_metadata_json;
  record.save = figures();
  MILEPOST_TRY(attempt.write_record(record));
  report.durable_s = seconds_since_call();
  {
    const std::lock_guard lock(mutex_);
    durable_ = true;
    report.captured_s = captured_s_;
    changed_.notify_all();
  }
  MILEPOST_TRY(attempt.publish(request_.final_name, request_.overwrite));
  removal_ = caught([&] { return attempt.trash_replaced(); });
  report.step = request_.step;
  report.mode = mode_;
  report.mode_reason = mode_reason_;
  report.commit_unix_ns = record.commit_unix_ns;
  {
    const std::lock_guard lock(mutex_);
    report.retries = retries_;
    report.disk_s = std::chrono::duration<double>(disk_time_).count();
  }
  report.raw_bytes = raw_bytes_;
  report.committed_s = seconds_since_call();
  return report;
}

}  // namespace milepost
