#include "tools/milepost/checkpoint_directory.h"

#include "milepost/engine/catalog.h"
#include "milepost/engine/format/names.h"
#include "milepost/io/posix_store.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <thread>

namespace milepost::tool {
namespace {

constexpr std::size_t staging_bytes = std::size_t{256} << 20;

// "90, 100, 110", or the last few of many.
std::string step_list(const std::vector<std::int64_t>& steps) {
  if (steps.empty()) return "there is no step";
  constexpr std::size_t shown_max = 5;
  const std::size_t shown = std::min(steps.size(), shown_max);
  std::string text = steps.size() > shown_max ? "the latest steps are " : "the steps are ";
  if (steps.size() == 1) text = "the only step is ";
  for (std::size_t i = steps.size() - shown; i < steps.size(); ++i) {
    text += std::to_string(steps[i]) + (i + 1 < steps.size() ? ", " : "");
  }
  return text;
}

bool is_file(Store& store, const std::string& path) {
  const auto info = store.stat(path);
  return info.has_value() && info->type == EntryType::file;
}

// How the steps are named: by `prefix`, or by the only one that there is; padded if any of them is.
Result<StepNaming> find_naming(Store& store, const std::string& path, const std::optional<std::string>& prefix) {
  if (prefix) MILEPOST_TRY(StepNaming(*prefix).check());
  MILEPOST_ASSIGN(const std::vector<DirectoryEntry> entries, store.list_directory(""));
  std::map<std::string, int> found;  // prefix -> length of padded numbers, 0: not padded
  std::string unknown;               // a step, by what it holds, of another name
  for (const DirectoryEntry& entry : entries) {
    const std::size_t prefix_bytes = entry.name.find_last_not_of("0123456789") + 1;  // npos + 1 is 0
    const std::string name_prefix = entry.name.substr(0, prefix_bytes);
    const std::size_t digits = entry.name.size() - prefix_bytes;
    const bool padded = digits > 1 && entry.name[prefix_bytes] == '0';
    const StepNaming naming(name_prefix, padded ? static_cast<int>(digits) : 0);
    if (entry.type != EntryType::directory || entry.name.starts_with('.') ||
        !is_file(store, entry.name + "/" + std::string(step_record_name))) {
      continue;
    }
    if (naming.check().has_error() || !naming.parse(entry.name)) {
      unknown = entry.name;
      continue;
    }
    if (prefix && name_prefix != *prefix) continue;
    int& length = found[name_prefix];
    if (padded && length != 0 && length != static_cast<int>(digits)) {
      return Error(ErrorCode::failed_precondition, path +
                                                       " holds steps of numbers padded to several lengths, such as \"" +
                                                       entry.name + "\": this command reads those of one length");
    }
    if (padded) length = static_cast<int>(digits);
  }
  if (found.size() > 1) {
    std::string list;
    for (const auto& [name, length] : found) list += (list.empty() ? "\"" : ", \"") + name + "\"";
    return Error(ErrorCode::failed_precondition,
                 path + " holds steps of several prefixes: choose one with --prefix: " + list);
  }
  if (found.empty() && !unknown.empty()) {
    return Error(ErrorCode::failed_precondition, path +
                                                     " holds steps named by a format of the program's own, such as \"" +
                                                     unknown + "\": this command reads <prefix><number>");
  }
  return found.empty() ? StepNaming(prefix.value_or("")) : StepNaming(found.begin()->first, found.begin()->second);
}

}  // namespace

Result<CheckpointDirectory> CheckpointDirectory::open(const std::string& path, const std::optional<std::string>& prefix,
                                                      Access access) {
  CheckpointDirectory result;
  result.path_ = path;
  MILEPOST_ASSIGN(result.store_, PosixStore::open(path, {.create = false, .read_only = access == Access::look}));
  MILEPOST_ASSIGN(result.naming_, find_naming(*result.store_, path, prefix));
  MILEPOST_ASSIGN(result.steps_, list_steps(*result.store_, result.naming_));
  if (result.steps_.empty() && !is_file(*result.store_, std::string(root_record_name))) {
    if (is_file(*result.store_, std::string(step_record_name))) {
      return Error(ErrorCode::failed_precondition,
                   path + " is a step itself: name the directory that holds it, then the step");
    }
    return Error(ErrorCode::failed_precondition, path + " is no directory of checkpoints: it holds neither " +
                                                     std::string(root_record_name) + " nor a step");
  }
  const auto threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  result.workers_ = std::make_unique<WorkerPool>(threads, 0);
  result.decoders_ = std::make_unique<Spares<DecodingSpace>>();
  result.staging_ =
      std::make_unique<BufferPool>(BufferPoolOptions{.capacity_bytes = staging_bytes, .block_bytes = chunk_bytes_max});
  return result;
}

Result<std::int64_t> CheckpointDirectory::find_step(const std::string& text) const {
  if (text == "latest") {
    if (steps_.empty()) return Error(ErrorCode::not_found, path_ + " holds no step");
    return steps_.back();
  }
  std::int64_t step = -1;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, step);
  if (parsed.ec != std::errc{} || parsed.ptr != end || step < 0) {
    return Error(ErrorCode::invalid_argument, "\"" + text + "\" is no step: expected a number or latest");
  }
  if (!std::binary_search(steps_.begin(), steps_.end(), step)) {
    return Error(ErrorCode::not_found, path_ + " holds no step " + text + "; " + step_list(steps_));
  }
  return step;
}

Result<StepRecord> CheckpointDirectory::read_record(std::int64_t step) {
  const std::string directory = naming_.name(step);
  MILEPOST_ASSIGN(StepRecord record, read_step_record(*store_, directory));
  if (record.step == step) return record;
  return Error(ErrorCode::corruption, directory + "/" + std::string(step_record_name) + ": is the record of step " +
                                          std::to_string(record.step));
}

Result<StepReader> CheckpointDirectory::open_step(std::int64_t step) {
  const RestoreContext context = {
      .store = store_.get(), .workers = workers_.get(), .staging = staging_.get(), .decoders = decoders_.get()};
  return StepReader::open(context, naming_.name(step));
}

Collected CheckpointDirectory::remove_steps(const std::vector<std::int64_t>& steps) {
  std::vector<Victim> victims;
  victims.reserve(steps.size());
  for (const std::int64_t step : steps) victims.push_back({step, naming_.name(step)});
  Collector collector(*store_);
  Collected collected = collector.collect(std::move(victims));
  // What a prune that was killed had left.
  const auto emptied = collector.empty_trash();
  if (emptied.has_error() && !collected.error) collected.error = emptied.error();
  return collected;
}

}  // namespace milepost::tool
