#include "milepost/engine/manager/restorer.h"

#include "milepost/engine/catalog.h"
#include "milepost/engine/format/names.h"
#include "milepost/engine/restore/fallback.h"
#include "milepost/engine/root.h"
#include "milepost/engine/within_step.h"
#include "milepost/io/try.h"

#include <utility>

namespace milepost {
Error Restorer::no_such_step(std::int64_t step) {
  std::string message = "no such step in " + context_.store->description();
  if (const auto entries = context_.store->list_directory(""); entries.has_value()) {
    for (const DirectoryEntry& entry : *entries) {
      if (is_attempt_directory_name(entry.name) && entry.name.starts_with(".tmp-" + std::to_string(step) + "-")) {
        message += "; an attempt to save it was never committed (" + entry.name + ")";
      }
    }
  }
  if (const auto steps = list_steps(*context_.store, naming_); steps.has_value()) {
    message += steps->empty()
                   ? "; it has none"
                   : "; it has " + std::to_string(steps->size()) + ", the latest is " + std::to_string(steps->back());
  }
  return within_step(Error(ErrorCode::not_found, std::move(message)), step);
}

Error Restorer::no_steps() const {
  return Error(ErrorCode::not_found, "there are no steps in " + context_.store->description());
}

bool Restorer::is_gone(std::int64_t step) {
  const auto info = context_.store->stat(naming_.name(step) + '/' + std::string(step_record_name));
  return info.has_error() && info.error().code() == ErrorCode::not_found;
}

Result<void> Restorer::wait_for_latest() {
  if (!saver_) return {};
  const auto latest = saver_->latest_step();
  return latest ? saver_->wait_for(*latest) : Result<void>();
}

Result<StepReader> Restorer::open_step(std::int64_t step) {
  if (saver_) MILEPOST_TRY(saver_->wait_for(step));
  auto reader =
      step < 0 ? Result<StepReader>(Error(ErrorCode::not_found, "")) : StepReader::open(context_, naming_.name(step));
  if (reader.has_value()) {
    if (reader->record().step == step) return reader;
    return within_step(Error(ErrorCode::corruption, reader->directory() + "/step.json: is the record of step " +
                                                        std::to_string(reader->record().step)),
                       step);
  }
  if (reader.error().code() == ErrorCode::not_found) return no_such_step(step);
  return within_step(reader.error(), step);
}

template <class Read>
std::invoke_result_t<Read, StepReader*> Restorer::read_step(std::optional<std::int64_t> step, const Read& read) {
  if (!step) MILEPOST_TRY(wait_for_latest());
  for (;;) {
    std::int64_t wanted = step.value_or(0);
    if (!step) {
      MILEPOST_ASSIGN(const auto steps, list_steps(*context_.store, naming_));
      if (steps.empty()) return read(nullptr);
      wanted = steps.back();
    }
    auto reader = open_step(wanted);
    if (reader.has_value()) {
      auto result = read(&*reader);
      if (result.has_value() || !is_gone(wanted)) return result;
      if (step) return no_such_step(wanted);
    } else if (step || !is_gone(wanted)) {
      return reader.error();
    }
  }
}

Result<Restored> Restorer::restore_from(const std::string& directory, std::optional<std::int64_t> step,
                                        RestoreOptions options) {
  MILEPOST_ASSIGN(const auto store,
                  PosixStore::open(directory, {.create = false, .read_only = true, .backend = backend_}));
  MILEPOST_TRY(ensure_root_record(*store, true));
  options.directory.clear();
  RestoreContext context = context_;
  context.store = store.get();
  return Restorer(context, naming_, nullptr, backend_).restore(step, options);
}

Result<Restored> Restorer::restore(std::optional<std::int64_t> step, const RestoreOptions& options) {
  if (!options.directory.empty()) {
    auto restored = restore_from(options.directory, step, options);
    if (restored.has_error()) return restored.error().within("restore from " + options.directory);
    return restored;
  }
  if (options.fallback && !step) return restore_newest_good(options);
  return read_step(step, [&](StepReader* reader) -> Result<Restored> {
    if (!reader) return no_steps();
    return reader->restore(options);
  });
}

Result<Restored> Restorer::restore_newest_good(RestoreOptions options) {
  options.fallback = false;
  // What a listener throws is told like a step that cannot be read, and is not the step's fault.
  bool listener_threw = false;
  if (options.on_progress) {
    options.on_progress = [&listener_threw, listener = std::move(options.on_progress)](const Progress& progress) {
      listener_threw = true;
      listener(progress);
      listener_threw = false;
    };
  }
  MILEPOST_TRY(wait_for_latest());
  std::vector<SkippedStep> skipped;
  MILEPOST_ASSIGN(auto steps, list_steps(*context_.store, naming_));
  while (!steps.empty()) {
    const std::int64_t step = steps.back();
    const auto restore = [&]() -> Result<Restored> {
      MILEPOST_ASSIGN(StepReader reader, open_step(step));
      return reader.restore(options);
    };
    auto restored = restore();
    if (restored.has_value()) {
      restored->skipped = std::move(skipped);
      return restored;
    }
    steps.pop_back();
    if (is_gone(step)) {  // retention makes room when there is a newer one
      skipped.clear();
      MILEPOST_ASSIGN(steps, list_steps(*context_.store, naming_));
      continue;
    }
    if (listener_threw || !may_fall_back(restored.error())) return restored.error();
    skipped.push_back({step, restored.error()});
  }
  if (skipped.empty()) return no_steps();
  std::vector<Error> reasons;
  for (SkippedStep& step : skipped) reasons.push_back(std::move(step.reason));
  return nothing_to_fall_back_to("step", reasons);
}

Result<std::optional<std::int64_t>> Restorer::restore_latest(Tree& target, std::string_view item) {
  return read_step(std::nullopt, [&](StepReader* reader) -> Result<std::optional<std::int64_t>> {
    if (!reader) return std::optional<std::int64_t>();
    MILEPOST_TRY(reader->restore(target, item));
    return std::optional(reader->record().step);
  });
}

Result<StepRecord> Restorer::record(std::int64_t step) {
  MILEPOST_ASSIGN(const StepReader reader, open_step(step));
  return reader.record();
}

Result<StepMetadata> Restorer::metadata(std::int64_t step) {
  MILEPOST_ASSIGN(StepReader reader, open_step(step));
  const StepRecord& record = reader.record();
  StepMetadata metadata;
  metadata.step = record.step;
  metadata.metrics = record.metrics;
  metadata.init_unix_ns = record.init_unix_ns;
  metadata.commit_unix_ns = record.commit_unix_ns;
  metadata.custom_metadata_json = record.custom_metadata_json;
  metadata.save = record.save;
  for (const ItemRecord& item : record.items) {
    const auto manifest = reader.manifest(item.name);
    if (manifest.has_error()) return within_step(manifest.error(), step);
    metadata.items.emplace(item.name, ItemMetadata{item.handler, item.raw_bytes,
                                                   item.stored_bytes + item.manifest_bytes, (*manifest)->tree});
  }
  return metadata;
}

Result<RootMetadata> Restorer::root_metadata() {
  MILEPOST_ASSIGN(RootRecord record, read_root_record(*context_.store));
  return RootMetadata{std::move(record.uuid), record.created_unix_ns, std::move(record.custom_metadata_json)};
}

}  // namespace milepost
