#include "milepost/engine/catalog.h"
#include "milepost/engine/format/data_header.h"
#include "milepost/engine/format/names.h"
#include "milepost/engine/restore/read_job.h"
#include "milepost/engine/restore/restore.h"
#include "milepost/engine/restore/target.h"
#include "milepost/engine/within_step.h"
#include "milepost/io/caught.h"
#include "milepost/io/refusal.h"
#include "milepost/io/trace.h"
#include "milepost/io/try.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

namespace milepost {
namespace {

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Of a reader that lacks memory nothing follows for the bytes on the disk.
bool is_for_memory(const Error& error) { return error.system_errno() == ENOMEM; }

// Locks a step for reading, so that nobody removes it meanwhile; null where it cannot be locked: on a file
// system without locks, and without the permission to list the directory.
Result<std::unique_ptr<DirectoryLock>> take_lease(Store& store, const std::string& directory) {
  using namespace std::chrono_literals;
  // Who removes a step holds it exclusively for the time of one rename; or it stays, if that fails.
  constexpr auto patience = 10s;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    auto lock = store.lock_directory(directory, LockKind::shared);
    if (lock.has_value()) return lock;
    const Error& error = lock.error();
    const bool refused = error.system_errno() == EACCES || error.system_errno() == EPERM;
    if (refused || error.code() == ErrorCode::failed_precondition) return nullptr;
    if (error.code() != ErrorCode::unavailable || std::chrono::steady_clock::now() >= deadline) return error;
    std::this_thread::sleep_for(1ms);
  }
}

// Reads and checks everything about an item but its data: the manifest first, and for those who read data the rest.
class ItemOpener {
 public:
  // What it reads goes to `item`.
  ItemOpener(Store& store, const std::string& step_directory, const StepRecord& step, const ItemRecord& record,
             ItemFiles& item)
      : store_(store), directory_(step_directory + '/' + record.name), step_(step), record_(record), item_(item) {}

  Result<void> open_manifest() {
    const TraceSlice slice("read manifest", {{"item", record_.name}});
    item_.directory = directory_;
    item_.handler = record_.handler;
    return within(manifest_name, read_manifest());
  }

  Result<void> open_data() {
    const TraceSlice slice("read chunk tables", {{"item", record_.name}});
    item_.chunks.clear();
    item_.files.clear();
    for (const Stream& stream : item_.manifest.streams) {
      MILEPOST_TRY(within(stream.table_file, read_table(stream)));
      MILEPOST_TRY(within(stream.data_file, open_file(stream)));
    }
    item_.is_open = true;
    return {};
  }

  // The file that opening failed on, relative to the root.
  const std::string& file_at_fault() const { return file_at_fault_; }

 private:
  Result<void> within(std::string_view file, Result<void> result) {
    if (result.has_value()) return result;
    file_at_fault_ = item_.directory + '/' + std::string(file);
    Error error = result.error();
    if (error.message().find(file_at_fault_) == std::string::npos) error.within(file_at_fault_);
    // Committed files do not go missing by themselves.
    if (error.code() == ErrorCode::not_found)
      return Error(ErrorCode::corruption, error.to_string(), error.system_errno());
    return error;
  }

  Result<void> read_manifest() {
    // No more than the record declares: what lies behind may be endless.
    MILEPOST_ASSIGN(const auto bytes,
                    read_file(store_, item_.directory + '/' + std::string(manifest_name), record_.manifest_bytes));
    if (bytes.size() != record_.manifest_bytes) {
      return corrupt("has " + std::to_string(bytes.size()) + " bytes, the step record says " +
                     std::to_string(record_.manifest_bytes));
    }
    if (Digest::of(bytes) != record_.manifest_digest) return corrupt("its digest is not the one in the step record");
    MILEPOST_ASSIGN(item_.manifest, decode_manifest(as_text(bytes)));
    const Manifest& manifest = item_.manifest;
    if (manifest.step != step_.step || manifest.item != record_.name || manifest.attempt != step_.attempt) {
      return corrupt("belongs to step " + std::to_string(manifest.step) + ", item " + manifest.item + ", attempt " +
                     manifest.attempt);
    }
    std::uint64_t raw_bytes = 0;
    for (const Stream& stream : manifest.streams) raw_bytes += stream.raw_bytes;
    std::uint64_t leaf_count = 0;
    for_each_leaf(manifest.tree, [&](const std::string&, const Tree&) { ++leaf_count; });
    if (raw_bytes != record_.raw_bytes || leaf_count != record_.leaf_count) {
      return corrupt("its counts are not those of the step record");
    }
    return {};
  }

  Result<void> read_table(const Stream& stream) {
    constexpr std::uint64_t record_bytes = 64;
    const std::uint64_t size = (stream.chunk_count + 1) * record_bytes;
    MILEPOST_ASSIGN(const auto bytes, read_file(store_, item_.directory + '/' + stream.table_file, size));
    if (Digest::of(bytes) != stream.table_digest) return corrupt("its digest is not the one in the manifest");
    MILEPOST_ASSIGN(auto chunks, decode_chunk_table(bytes, stream));
    item_.chunks.push_back(std::move(chunks));
    return {};
  }

  Result<void> open_file(const Stream& stream) {
    MILEPOST_ASSIGN(auto file, store_.open_file(item_.directory + '/' + stream.data_file));
    if (file->size() != stream.data_file_bytes) {
      return corrupt("has " + std::to_string(file->size()) + " bytes, the manifest says " +
                     std::to_string(stream.data_file_bytes));
    }
    item_.files.push_back(std::move(file));
    return {};
  }

  Store& store_;
  const std::string directory_;
  const StepRecord& step_;
  const ItemRecord& record_;
  ItemFiles& item_;  // others read what is open of it already
  std::string file_at_fault_;
};

// Which leaves lie where in the streams; made when something is damaged, and then asked about every bad chunk.
class LeafRanges {
 public:
  explicit LeafRanges(const Manifest& manifest)
      : item_(manifest.item), paths_(paths_of_stored_leaves(manifest.tree)), streams_(manifest.streams.size()) {
    for (std::size_t i = 0; i < manifest.leaves.size(); ++i) {
      for (const Shard& shard : manifest.leaves[i].shards) streams_[shard.stream].push_back({shard.offset, i});
    }
    for (auto& ranges : streams_) std::sort(ranges.begin(), ranges.end());
  }

  // The leaves with bytes in a chunk (null: in any), in tree order; at least one, since chunks tile what leaves tile.
  std::vector<std::size_t> in(std::uint32_t stream, const Chunk* chunk) const {
    const auto& ranges = streams_[stream];
    auto first = ranges.begin();
    auto last = ranges.end();
    if (chunk) {
      // Ranges touch each other: the chunk begins in the last one that does not begin behind its first byte.
      first = std::upper_bound(first, last, std::pair(chunk->raw_offset, std::numeric_limits<std::size_t>::max())) - 1;
      last = std::lower_bound(first, last, std::pair(chunk->raw_offset + chunk->raw_bytes, std::size_t{0}));
    }
    std::vector<std::size_t> leaves;
    for (; first != last; ++first) leaves.push_back(first->second);
    std::sort(leaves.begin(), leaves.end());
    leaves.erase(std::unique(leaves.begin(), leaves.end()), leaves.end());
    return leaves;
  }

  // "item: path" of each of these, for a report.
  std::vector<std::string> names_in(std::uint32_t stream, const Chunk* chunk) const {
    std::vector<std::string> names;
    for (const std::size_t leaf : in(stream, chunk)) names.push_back(item_ + ": " + paths_[leaf]);
    return names;
  }
  const std::string& path_of(std::size_t leaf) const { return paths_[leaf]; }

 private:
  const std::string item_;
  const std::vector<std::string> paths_;
  std::vector<std::vector<std::pair<std::uint64_t, std::size_t>>> streams_;  // offset and leaf, ascending
};

}  // namespace

struct StepReader::State {
  RestoreContext context;
  std::string directory;
  std::unique_ptr<DirectoryLock> lease;  // null: there are no locks here
  StepRecord record;
  std::mutex mutex;
  std::map<std::string, ItemFiles, std::less<>> items;  // opened so far; guarded by mutex, never removed

  static Result<StepReader> open(const RestoreContext& context, std::string directory);
  Result<Restored> restore(RestoreOptions options);
  Result<void> restore(Tree& target, std::string_view item);
  struct Destination {
    const RestoreItem* wanted;  // but for its target
    Tree* tree;                 // the target, or what is to be made
    bool fresh;                 // it is to be made
  };
  Result<void> fill(const std::vector<Destination>& destinations, bool verify_first, ProgressFn on_progress);
  Result<std::vector<Damage>> verify(const ProgressFn& on_progress);
  // With its manifest; if data is to be read, with all the rest too.
  Result<const ItemFiles*> item(std::string_view name, bool with_data);
  Result<const ItemFiles*> open_item(const ItemRecord& item_record, bool with_data, std::string& file_at_fault);
  Result<void> verify_item(const ItemRecord& item_record, ReadProgress& progress, std::vector<Damage>& damage);
  Result<void> verify_header(const ItemFiles& item, std::uint32_t stream, std::vector<Damage>& damage);
  Result<void> find_strangers(std::vector<Damage>& damage);
};

Result<const ItemFiles*> StepReader::State::open_item(const ItemRecord& item_record, bool with_data,
                                                      std::string& file_at_fault) {
  const std::lock_guard lock(mutex);
  const auto known = items.find(item_record.name);
  ItemFiles fresh;
  ItemFiles& files = known == items.end() ? fresh : known->second;
  ItemOpener opener(*context.store, directory, record, item_record, files);
  // While its text is parsed the JSON is there, too; of 100,000 leaves 22 MB beside the 30 MB of the index.
  constexpr std::uint64_t index_bytes_a_byte = 12;
  const bool is_new = known == items.end();
  if (is_new && context.make_room) context.make_room(item_record.manifest_bytes * index_bytes_a_byte);
  auto opened = is_new ? opener.open_manifest() : Result<void>();
  if (opened.has_value() && with_data && !files.is_open) opened = opener.open_data();
  if (opened.has_error()) {
    file_at_fault = opener.file_at_fault();
    return opened.error();
  }
  return is_new ? &items.emplace(item_record.name, std::move(fresh)).first->second : &files;
}

Result<const ItemFiles*> StepReader::State::item(std::string_view name, bool with_data) {
  std::string names;
  for (const ItemRecord& candidate : record.items) {
    std::string file_at_fault;
    if (candidate.name == name) return open_item(candidate, with_data, file_at_fault);
    names += (names.empty() ? "" : ", ") + candidate.name;
  }
  return Error(ErrorCode::not_found, "item " + std::string(name) + ": not in this step, which has: " + names);
}

StepReader::StepReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
StepReader::StepReader(StepReader&&) noexcept = default;
StepReader& StepReader::operator=(StepReader&&) noexcept = default;
StepReader::~StepReader() = default;

Result<StepReader> StepReader::open(const RestoreContext& context, std::string directory) {
  return caught([&] { return State::open(context, std::move(directory)); });
}

Result<StepReader> StepReader::State::open(const RestoreContext& context, std::string directory) {
  auto state = std::make_unique<State>();
  auto lease = take_lease(*context.store, directory);
  if (lease.has_error()) {
    if (lease.error().code() != ErrorCode::not_found) return lease.error();
    return Error(ErrorCode::not_found, directory + ": no such step in " + context.store->description());
  }
  state->lease = std::move(lease).value();
  MILEPOST_ASSIGN(state->record, read_step_record(*context.store, directory));
  state->context = context;
  state->directory = std::move(directory);
  return StepReader(std::move(state));
}

const std::string& StepReader::directory() const { return state_->directory; }
const StepRecord& StepReader::record() const { return state_->record; }

Result<const Manifest*> StepReader::manifest(std::string_view item) {
  return caught([&]() -> Result<const Manifest*> {
    MILEPOST_ASSIGN(const ItemFiles* files, state_->item(item, false));
    return &files->manifest;
  });
}

Result<const std::vector<Chunk>*> StepReader::chunks(std::string_view item, std::size_t stream) {
  return caught([&]() -> Result<const std::vector<Chunk>*> {
    MILEPOST_ASSIGN(const ItemFiles* files, state_->item(item, true));
    if (stream >= files->chunks.size()) {
      return Error(ErrorCode::not_found,
                   "item " + std::string(item) + ": has " + std::to_string(files->chunks.size()) + " streams");
    }
    return &files->chunks[stream];
  });
}

Result<Restored> StepReader::restore(RestoreOptions options) {
  auto restored = caught([&] { return state_->restore(std::move(options)); });
  if (restored.has_error()) return within_step(restored.error(), record().step);
  return restored;
}

Result<void> StepReader::restore(Tree& target, std::string_view item) {
  auto restored = caught([&] { return state_->restore(target, item); });
  if (restored.has_error()) return within_step(restored.error(), record().step);
  return restored;
}

Result<Restored> StepReader::State::restore(RestoreOptions options) {
  if (!options.directory.empty()) {
    return Error(ErrorCode::invalid_argument, "directory: this step was opened in " + context.store->description());
  }
  if (options.fallback) {
    return Error(ErrorCode::invalid_argument, "fallback: only the latest step can be restored with it");
  }
  if (options.items.empty()) {
    for (const ItemRecord& item_record : record.items) options.items.push_back({.name = item_record.name});
  }
  Restored restored;
  restored.step = record.step;
  restored.items.reserve(options.items.size());  // the trees stay where they are
  std::vector<Destination> destinations;
  for (RestoreItem& wanted : options.items) {
    const bool fresh = !wanted.target;
    restored.items.push_back({wanted.name, fresh ? Tree() : std::move(*wanted.target)});
    destinations.push_back({&wanted, &restored.items.back().tree, fresh});
  }
  MILEPOST_TRY(fill(destinations, options.verify_first, std::move(options.on_progress)));
  for (Item& made : restored.items) {
    MILEPOST_ASSIGN(const ItemFiles* files, item(made.name, true));
    made.handler = files->handler;
  }
  return restored;
}

Result<void> StepReader::State::restore(Tree& target, std::string_view name) {
  if (name.empty()) {
    if (record.items.size() != 1) {
      std::string names;
      for (const ItemRecord& item_record : record.items) names += (names.empty() ? "" : ", ") + item_record.name;
      return Error(ErrorCode::invalid_argument, "the step has several items (" + names + "): name one");
    }
    name = record.items.front().name;
  }
  const RestoreItem wanted{.name = std::string(name)};
  return fill({{&wanted, &target, false}}, false, {});
}

Result<void> StepReader::State::fill(const std::vector<Destination>& destinations, bool verify_first,
                                     ProgressFn on_progress) {
  TraceSlice slice("restore", {{"step", record.step}});
  struct Part {
    const ItemFiles* files;
    ItemTarget target;
    ReadPlan plan;
    Tree* tree;
  };
  std::vector<Part> parts;
  std::set<std::string_view> names;
  std::uint64_t raw_bytes = 0;
  for (const auto& [wanted, tree, fresh] : destinations) {
    if (!names.insert(wanted->name).second) {
      return Error(ErrorCode::invalid_argument, "item " + wanted->name + ": asked for twice");
    }
    const auto files = item(wanted->name, true);
    if (files.has_error()) return files.error();
    const TraceSlice planning("plan");
    const Manifest& manifest = (*files)->manifest;
    ReadPlanner planner(manifest, (*files)->chunks);
    const auto add = [&planner](const LeafTarget& leaf) { planner.add(leaf); };
    auto target = fresh ? resolve_fresh(manifest, *wanted, *tree, add) : resolve_target(manifest, *wanted, *tree, add);
    if (target.has_error()) return target.error().within("item " + manifest.item);
    ReadPlan plan = planner.finish();
    raw_bytes += plan.raw_bytes;
    parts.push_back({*files, std::move(target).value(), std::move(plan), tree});
  }

  ReadProgress progress(std::move(on_progress), verify_first ? 2 * raw_bytes : raw_bytes);
  for (int pass = verify_first ? 0 : 1; pass < 2; ++pass) {
    for (Part& part : parts) {
      part.plan.check_only = pass == 0;
      if (pass == 1) fill_padding(part.target);
      std::optional<Error> error;
      const auto on_error = [&](const ChunkRead& read, Error bad, const ReadPart* misfit) {
        if (error) return false;
        error = std::move(bad);  // before anything that may throw
        const LeafRanges ranges(part.files->manifest);
        const auto leaves = misfit ? std::vector<std::size_t>{misfit->leaf}
                                   : ranges.in(read.stream, &part.files->chunks[read.stream][read.chunk]);
        std::string leaf = "leaf " + ranges.path_of(leaves.front());
        if (leaves.size() > 1) leaf += " and " + std::to_string(leaves.size() - 1) + " more";
        error->within(leaf);
        return false;
      };
      const auto read = read_chunks(context, *part.files, part.plan, progress, on_error);
      if (error) return error->within("item " + part.files->manifest.item);
      MILEPOST_TRY(read);
      MILEPOST_TRY(progress.check());
    }
  }
  for (Part& part : parts) finish_target(part.target, *part.tree);
  slice.end();
  Trace::flush();
  return {};
}

// --- Verification.

Result<void> StepReader::State::verify_item(const ItemRecord& item_record, ReadProgress& progress,
                                            std::vector<Damage>& damage) {
  std::string file_at_fault;
  const auto opened = open_item(item_record, true, file_at_fault);
  if (opened.has_error()) {
    if (is_for_memory(opened.error())) return opened.error();
    damage.push_back({file_at_fault, 0, 0, {item_record.name + ": (all)"}, opened.error()});
    return {};
  }
  const ItemFiles* const files = *opened;
  std::optional<LeafRanges> ranges;
  for (std::uint32_t s = 0; s < files->manifest.streams.size(); ++s) MILEPOST_TRY(verify_header(*files, s, damage));
  const ReadPlan plan = plan_all_reads(files->manifest, files->chunks);
  Result<void> failure;
  const auto found = [&](const ChunkRead& read, Error error, const ReadPart*) {
    if (is_for_memory(error)) {
      failure = std::move(error);
      return false;
    }
    const Chunk& chunk = files->chunks[read.stream][read.chunk];
    if (!ranges) ranges.emplace(files->manifest);
    damage.push_back({files->directory + '/' + files->manifest.streams[read.stream].data_file, chunk.file_offset,
                      chunk.stored_bytes, ranges->names_in(read.stream, &chunk), std::move(error)});
    return true;
  };
  MILEPOST_TRY(read_chunks(context, *files, plan, progress, found));
  return failure;
}

Result<void> StepReader::State::verify_header(const ItemFiles& item, std::uint32_t s, std::vector<Damage>& damage) {
  const Stream& stream = item.manifest.streams[s];
  if (stream.data_offset == 0) return {};
  const std::string file = item.directory + '/' + stream.data_file;
  MILEPOST_ASSIGN(const std::string expected,
                  encode_data_header(s, item.manifest.tree, StoredLeaves::of(item.manifest.leaves)));
  std::string found(expected.size(), '\0');
  const auto read = read_at(*item.files[s], 0, std::as_writable_bytes(std::span(found)));
  if (read.has_error()) {
    if (is_for_memory(read.error())) return read.error();
    damage.push_back({file, 0, stream.data_offset, LeafRanges(item.manifest).names_in(s, nullptr), read.error()});
  } else if (expected.size() != stream.data_offset || found != expected) {
    const auto differs = std::mismatch(expected.begin(), expected.end(), found.begin()).first - expected.begin();
    damage.push_back(
        {file, static_cast<std::uint64_t>(differs), 1, LeafRanges(item.manifest).names_in(s, nullptr),
         corrupt(file + "@" + std::to_string(differs) + ": the safetensors header is not the one that was written")});
  }
  return {};
}

Result<void> StepReader::State::find_strangers(std::vector<Damage>& damage) {
  const std::lock_guard lock(mutex);
  const auto report = [&](const std::string& where, const std::set<std::string>& expected) -> Result<void> {
    MILEPOST_ASSIGN(const auto entries, context.store->list_directory(where));
    for (const DirectoryEntry& entry : entries) {
      if (expected.contains(entry.name)) continue;
      const std::string path = where + '/' + entry.name;
      damage.push_back({path, 0, 0, {}, corrupt(path + ": no record names this file")});
    }
    return {};
  };
  std::set<std::string> top = {std::string(step_record_name)};
  for (const ItemRecord& item_record : record.items) top.insert(item_record.name);
  MILEPOST_TRY(report(directory, top));
  for (const auto& [name, item] : items) {
    std::set<std::string> files = {std::string(manifest_name)};
    for (const Stream& stream : item.manifest.streams) {
      files.insert(stream.data_file);
      files.insert(stream.table_file);
    }
    MILEPOST_TRY(report(item.directory, files));
  }
  return {};
}

Result<std::vector<Damage>> StepReader::verify(const ProgressFn& on_progress) {
  return caught([&] { return state_->verify(on_progress); });
}

Result<std::vector<Damage>> StepReader::State::verify(const ProgressFn& on_progress) {
  std::vector<Damage> damage;
  std::uint64_t raw_bytes = 0;
  for (const ItemRecord& item_record : record.items) raw_bytes += item_record.raw_bytes;
  ReadProgress progress(on_progress, raw_bytes);
  for (const ItemRecord& item_record : record.items) MILEPOST_TRY(verify_item(item_record, progress, damage));
  MILEPOST_TRY(progress.check());
  MILEPOST_TRY(find_strangers(damage));
  std::stable_sort(damage.begin(), damage.end(), [](const Damage& a, const Damage& b) {
    return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
  });
  return damage;
}

Tree& Restored::tree() {
  if (items.size() != 1) throw std::out_of_range("the step has " + std::to_string(items.size()) + " items: name one");
  return items.front().tree;
}

Error Restored::no_such_item(std::string_view name) const {
  std::string names;
  for (const Item& item : items) names += (names.empty() ? "" : ", ") + item.name;
  return Error(ErrorCode::not_found, "no item " + std::string(name) + " was restored; there is " + names);
}

Tree& Restored::tree(std::string_view name) {
  for (Item& item : items) {
    if (item.name == name) return item.tree;
  }
  throw std::out_of_range("no item " + std::string(name));
}

}  // namespace milepost
