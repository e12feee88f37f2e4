#include "tests/support/simulated_store.h"

#include "milepost/io/try.h"
#include "tests/support/simulated_disk.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

namespace milepost::testing {

using Node = SimulatedDisk::Node;

struct SimulatedStore::State {
  mutable std::mutex mutex;
  // Protected by mutex.
  SimulatedDisk disk;
  std::uint64_t operations = 0;
  std::uint64_t operations_left = std::numeric_limits<std::uint64_t>::max();
  std::optional<std::uint64_t> syncs_left;               // until one fails
  std::int64_t now_unix_ns = 1'700'000'000'000'000'000;  // moves on with every operation

  // At the start of every operation.
  Result<void> begin(std::string_view call, const std::string& path) {
    ++operations;
    ++now_unix_ns;
    if (operations_left == 0) {
      return Error(ErrorCode::cancelled, std::string(call) + " " + path + ": the process is dead");
    }
    --operations_left;
    return {};
  }

  // Marks a node as changed now.
  void touch(const Node& node) const { node->modified_unix_ns = now_unix_ns; }

  static Error failure(int system_errno, std::string_view call, const std::string& path) {
    return Error::from_errno(system_errno, std::string(call) + " simulated/" + path);
  }

  struct Place {
    Node directory;
    std::string name;
    Node node;  // null if there is nothing of that name
  };

  Result<Node> find(std::string_view call, const std::string& path) const {
    Node node = disk.root();
    for (std::size_t begin = 0; !path.empty() && begin <= path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const std::string component = path.substr(begin, end - begin);
      if (component.empty() || component == "." || component == "..") {
        return Error(ErrorCode::invalid_argument, "not a path below the root: \"" + path + "\"");
      }
      if (!node->is_directory) return failure(ENOTDIR, call, path);
      const auto entry = node->names.find(component);
      if (entry == node->names.end()) return failure(ENOENT, call, path);
      node = entry->second;
      begin = end + 1;
    }
    return node;
  }

  Result<Place> locate(std::string_view call, const std::string& path) const {
    if (path.empty()) return Error(ErrorCode::invalid_argument, "the root itself cannot be changed");
    const std::size_t slash = path.rfind('/');
    MILEPOST_ASSIGN(Node directory, find(call, slash == std::string::npos ? "" : path.substr(0, slash)));
    if (!directory->is_directory) return failure(ENOTDIR, call, path);
    Place place{std::move(directory), path.substr(slash == std::string::npos ? 0 : slash + 1), nullptr};
    const Result<Node> node = find(call, path);
    if (node.has_value()) {
      place.node = *node;
    } else if (node.error().code() != ErrorCode::not_found) {
      return node.error();
    }
    return place;
  }

  Result<Node> find_directory(std::string_view call, const std::string& path) const {
    MILEPOST_ASSIGN(Node node, find(call, path));
    if (!node->is_directory) return failure(ENOTDIR, call, path);
    return node;
  }
};

class SimulatedStore::SimulatedWriteFile final : public WriteFile {
 public:
  SimulatedWriteFile(State& state, Node node, std::string path)
      : state_(state), node_(std::move(node)), path_(std::move(path)) {}

  void write_at(std::uint64_t offset, std::span<const std::byte> data, IoCompletion done) override {
    const Result<void> begun = [&]() -> Result<void> {
      const std::lock_guard lock(state_.mutex);
      MILEPOST_TRY(begin("pwrite"));
      if (data.empty()) return {};
      state_.disk.write(node_, offset, data);
      state_.touch(node_);
      return {};
    }();
    if (begun.has_error()) return done(begun.error());
    done(data.size());
  }

  Result<void> truncate(std::uint64_t size) override {
    const std::lock_guard lock(state_.mutex);
    MILEPOST_TRY(begin("ftruncate"));
    state_.disk.cut(node_, size);
    state_.touch(node_);
    return {};
  }

  Result<void> sync() override {
    const std::lock_guard lock(state_.mutex);
    MILEPOST_TRY(begin("fsync"));
    if (state_.syncs_left && (*state_.syncs_left)-- == 0) {
      state_.syncs_left.reset();
      SimulatedDisk::lose_pending(node_);
      return State::failure(EIO, "fsync", path_);
    }
    state_.disk.sync_file(node_);
    return {};
  }

  Result<void> close() override {
    const std::lock_guard lock(state_.mutex);
    MILEPOST_TRY(begin("close"));
    closed_ = true;
    return {};
  }

 private:
  Result<void> begin(std::string_view call) {
    MILEPOST_TRY(state_.begin(call, path_));
    if (closed_) return Error(ErrorCode::failed_precondition, "the file is closed: " + path_);
    return {};
  }

  State& state_;
  const Node node_;
  const std::string path_;
  bool closed_ = false;  // protected by state_.mutex
};

class SimulatedStore::SimulatedReadFile final : public ReadFile {
 public:
  SimulatedReadFile(State& state, Node node, std::string path)
      : state_(state), node_(std::move(node)), path_(std::move(path)), size_(node_->data.size()) {}

  std::uint64_t size() const override { return size_; }

  void read_at(std::uint64_t offset, std::span<std::byte> into, IoCompletion done) override {
    done([&]() -> Result<std::size_t> {
      const std::lock_guard lock(state_.mutex);
      MILEPOST_TRY(state_.begin("pread", path_));
      if (offset >= node_->data.size()) return std::size_t{0};
      const std::size_t bytes = std::min<std::size_t>(into.size(), node_->data.size() - offset);
      std::copy_n(node_->data.begin() + static_cast<std::ptrdiff_t>(offset), bytes, into.begin());
      return bytes;
    }());
  }

 private:
  State& state_;
  const Node node_;
  const std::string path_;
  const std::uint64_t size_;
};

class SimulatedStore::SimulatedLock final : public DirectoryLock {
 public:
  SimulatedLock(State& state, Node node) : state_(state), node_(std::move(node)) {}
  ~SimulatedLock() override {
    const std::lock_guard lock(state_.mutex);
    node_->locks = std::max(0, node_->locks - 1);
  }

 private:
  State& state_;
  const Node node_;
};

SimulatedStore::SimulatedStore() : state_(std::make_unique<State>()) {}
SimulatedStore::~SimulatedStore() = default;

std::unique_ptr<SimulatedStore> SimulatedStore::crash(std::uint64_t seed) const {
  const std::lock_guard lock(state_->mutex);
  auto store = std::make_unique<SimulatedStore>();
  store->state_->disk = state_->disk.after_power_cut(seed);
  return store;
}

std::unique_ptr<SimulatedStore> SimulatedStore::after_process_death() const {
  const std::lock_guard lock(state_->mutex);
  auto store = std::make_unique<SimulatedStore>();
  store->state_->disk = state_->disk.copy();
  return store;
}

void SimulatedStore::crash_after(std::uint64_t count) {
  const std::lock_guard lock(state_->mutex);
  state_->operations_left = count;
}

void SimulatedStore::fail_sync_after(std::uint64_t count) {
  const std::lock_guard lock(state_->mutex);
  state_->syncs_left = count;
}

std::uint64_t SimulatedStore::operations() const {
  const std::lock_guard lock(state_->mutex);
  return state_->operations;
}

std::string SimulatedStore::description() const { return "simulated"; }

Result<std::unique_ptr<WriteFile>> SimulatedStore::create_file(const std::string& path, const CreateFileOptions&) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("create", path));
  MILEPOST_ASSIGN(const State::Place place, state_->locate("create", path));
  if (place.node) return State::failure(EEXIST, "create", path);
  const Node node = std::make_shared<SimulatedNode>(false);
  state_->touch(node);
  state_->disk.add_name(place.directory, place.name, node);
  return std::unique_ptr<WriteFile>(std::make_unique<SimulatedWriteFile>(*state_, node, path));
}

Result<std::unique_ptr<ReadFile>> SimulatedStore::open_file(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("open", path));
  MILEPOST_ASSIGN(const Node node, state_->find("open", path));
  if (node->is_directory) return Error(ErrorCode::corruption, "not a regular file: " + path);
  return std::unique_ptr<ReadFile>(std::make_unique<SimulatedReadFile>(*state_, node, path));
}

Result<std::unique_ptr<WriteFile>> SimulatedStore::open_file_to_write(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("open", path));
  MILEPOST_ASSIGN(const Node node, state_->find("open", path));
  if (node->is_directory) return State::failure(EISDIR, "open", path);
  return std::unique_ptr<WriteFile>(std::make_unique<SimulatedWriteFile>(*state_, node, path));
}

Result<void> SimulatedStore::make_directory(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("mkdir", path));
  MILEPOST_ASSIGN(const State::Place place, state_->locate("mkdir", path));
  if (place.node) return State::failure(EEXIST, "mkdir", path);
  const Node node = std::make_shared<SimulatedNode>(true);
  state_->touch(node);
  state_->disk.add_name(place.directory, place.name, node);
  return {};
}

Result<void> SimulatedStore::sync_directory(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("fsync", path));
  MILEPOST_ASSIGN(const Node directory, state_->find_directory("fsync", path));
  state_->disk.sync_names(directory);
  return {};
}

Result<void> SimulatedStore::rename_no_replace(const std::string& from, const std::string& to) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("rename", from));
  MILEPOST_ASSIGN(const State::Place source, state_->locate("rename", from));
  MILEPOST_ASSIGN(const State::Place target, state_->locate("rename", to));
  if (!source.node) return State::failure(ENOENT, "rename", from);
  if (target.node) return State::failure(EEXIST, "rename", to);
  if (to.starts_with(from + "/")) return State::failure(EINVAL, "rename", to);
  state_->disk.move_name(source.directory, source.name, target.directory, target.name);
  return {};
}

Result<void> SimulatedStore::exchange(const std::string& a, const std::string& b) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("exchange", a));
  MILEPOST_ASSIGN(const State::Place first, state_->locate("exchange", a));
  MILEPOST_ASSIGN(const State::Place second, state_->locate("exchange", b));
  if (!first.node) return State::failure(ENOENT, "exchange", a);
  if (!second.node) return State::failure(ENOENT, "exchange", b);
  if (a.starts_with(b + "/") || b.starts_with(a + "/")) return State::failure(EINVAL, "exchange", b);
  state_->disk.exchange_names(first.directory, first.name, second.directory, second.name);
  return {};
}

Result<void> SimulatedStore::replace_file(const std::string& from, const std::string& to) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("rename", from));
  MILEPOST_ASSIGN(const State::Place source, state_->locate("rename", from));
  MILEPOST_ASSIGN(const State::Place target, state_->locate("rename", to));
  if (!source.node) return State::failure(ENOENT, "rename", from);
  if (source.node->is_directory || (target.node && target.node->is_directory)) {
    return State::failure(EISDIR, "rename", to);
  }
  state_->disk.move_name(source.directory, source.name, target.directory, target.name);
  return {};
}

Result<void> SimulatedStore::remove_file(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("unlink", path));
  MILEPOST_ASSIGN(const State::Place place, state_->locate("unlink", path));
  if (!place.node) return State::failure(ENOENT, "unlink", path);
  if (place.node->is_directory) return State::failure(EISDIR, "unlink", path);
  state_->disk.remove_name(place.directory, place.name);
  return {};
}

Result<void> SimulatedStore::remove_directory(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("rmdir", path));
  MILEPOST_ASSIGN(const State::Place place, state_->locate("rmdir", path));
  if (!place.node) return State::failure(ENOENT, "rmdir", path);
  if (!place.node->is_directory) return State::failure(ENOTDIR, "rmdir", path);
  if (!place.node->names.empty()) return State::failure(ENOTEMPTY, "rmdir", path);
  state_->disk.remove_name(place.directory, place.name);
  return {};
}

Result<std::vector<DirectoryEntry>> SimulatedStore::list_directory(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("list", path));
  MILEPOST_ASSIGN(const Node directory, state_->find_directory("list", path));
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, node] : directory->names) {
    entries.push_back({name, node->is_directory ? EntryType::directory : EntryType::file});
  }
  return entries;
}

Result<EntryInfo> SimulatedStore::stat(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("stat", path));
  MILEPOST_ASSIGN(const Node node, state_->find("stat", path));
  return EntryInfo{.type = node->is_directory ? EntryType::directory : EntryType::file,
                   .size = node->data.size(),
                   .modified_unix_ns = node->modified_unix_ns};
}

Result<std::unique_ptr<DirectoryLock>> SimulatedStore::lock_directory(const std::string& path, LockKind kind) {
  const std::lock_guard lock(state_->mutex);
  MILEPOST_TRY(state_->begin("lock", path));
  MILEPOST_ASSIGN(const Node node, state_->find_directory("lock", path));
  const bool shared = kind == LockKind::shared;
  if (shared ? node->locks < 0 : node->locks != 0) return State::failure(EAGAIN, "lock", path);
  node->locks = shared ? node->locks + 1 : -1;
  return std::unique_ptr<DirectoryLock>(std::make_unique<SimulatedLock>(*state_, node));
}

}  // namespace milepost::testing
