#include "tests/support/fault_store.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

namespace milepost::testing {

std::string_view to_string(Operation operation) {
  switch (operation) {
    case Operation::create_file: return "create";
    case Operation::open_file: return "open";
    case Operation::write: return "pwrite";
    case Operation::read: return "pread";
    case Operation::truncate: return "ftruncate";
    case Operation::sync: return "fsync";
    case Operation::close: return "close";
    case Operation::make_directory: return "mkdir";
    case Operation::sync_directory: return "fsync";
    case Operation::rename: return "rename";
    case Operation::exchange: return "exchange";
    case Operation::remove_file: return "unlink";
    case Operation::remove_directory: return "rmdir";
    case Operation::list: return "list";
    case Operation::stat: return "stat";
    case Operation::lock: return "lock";
  }
  return "unknown";
}

namespace {

// What happens to one operation.
struct Verdict {
  std::optional<Error> error;
  bool takes_effect = true;

  // Carries out `call`, or not, and gives back its result or the injected error.
  template <class Call> auto apply(const Call& call) const -> decltype(call()) {
    if (!takes_effect) return *error;
    auto result = call();
    if (error) return *error;
    return result;
  }
};

}  // namespace

struct FaultStore::State {
  mutable std::mutex mutex;
  // Protected by mutex.
  std::optional<Fault> fault;
  std::uint64_t matched = 0;
  std::uint64_t faults_fired = 0;
  std::vector<LoggedOperation> log;
  std::vector<std::string> violations;

  Verdict begin(Operation operation, const std::string& path) {
    const std::lock_guard lock(mutex);
    LoggedOperation& entry = log.emplace_back(LoggedOperation{operation, path});
    if (!fault || !matches(operation, path)) return {};
    const std::uint64_t index = matched++;
    if (index < fault->after || (index > fault->after && !fault->forever)) return {};
    entry.failed_on_purpose = true;
    ++faults_fired;
    const std::string what = std::string(to_string(operation)) + " " + path;
    return {Error::from_errno(fault->system_errno, what), fault->takes_effect};
  }

  bool matches(Operation operation, const std::string& path) const {
    const std::vector<Operation>& wanted = fault->operations;
    return (wanted.empty() || std::find(wanted.begin(), wanted.end(), operation) != wanted.end()) &&
           path.find(fault->path_contains) != std::string::npos;
  }

  void violation(std::string text) {
    const std::lock_guard lock(mutex);
    violations.push_back(std::move(text));
  }
};

class FaultStore::FaultWriteFile final : public WriteFile {
 public:
  FaultWriteFile(std::shared_ptr<State> state, std::unique_ptr<WriteFile> inner, std::string path)
      : state_(std::move(state)), inner_(std::move(inner)), path_(std::move(path)) {}

  void write_at(std::uint64_t offset, std::span<const std::byte> data, IoCompletion done) override {
    const Verdict verdict = state_->begin(Operation::write, path_);
    if (const std::optional<Error> refusal = refuse(Operation::write)) return done(*refusal);
    if (!verdict.error) return inner_->write_at(offset, data, std::move(done));
    if (!verdict.takes_effect) return done(*verdict.error);
    inner_->write_at(offset, data,
                     [done = std::move(done), error = *verdict.error](Result<std::size_t>) { done(error); });
  }

  Result<void> truncate(std::uint64_t size) override {
    return call(Operation::truncate, [&] { return inner_->truncate(size); });
  }

  Result<void> sync() override {
    const Result<void> result = call(Operation::sync, [&] { return inner_->sync(); });
    if (result.has_error()) condition(Condition::poisoned);
    return result;
  }

  Result<void> close() override {
    const Result<void> result = call(Operation::close, [&] { return inner_->close(); });
    condition(Condition::closed);
    return result;
  }

 private:
  enum class Condition { good, poisoned, closed };

  template <class Call> Result<void> call(Operation operation, const Call& inner_call) {
    const Verdict verdict = state_->begin(operation, path_);
    if (const std::optional<Error> refusal = refuse(operation)) return *refusal;
    return verdict.apply(inner_call);
  }

  void condition(Condition now) {
    const std::lock_guard lock(mutex_);
    condition_ = now;
  }

  std::optional<Error> refuse(Operation operation) {
    const std::lock_guard lock(mutex_);
    if (condition_ == Condition::good) return std::nullopt;
    const bool closed = condition_ == Condition::closed;
    const std::string text = std::string(to_string(operation)) + " " + path_ +
                             (closed ? ": the file is closed" : ": the file is poisoned by a failed sync");
    if (closed || operation == Operation::sync) state_->violation(text);
    return Error(ErrorCode::failed_precondition, text);
  }

  const std::shared_ptr<State> state_;
  const std::unique_ptr<WriteFile> inner_;
  const std::string path_;
  std::mutex mutex_;
  Condition condition_ = Condition::good;  // protected by mutex_
};

class FaultStore::FaultReadFile final : public ReadFile {
 public:
  FaultReadFile(std::shared_ptr<State> state, std::unique_ptr<ReadFile> inner, std::string path)
      : state_(std::move(state)), inner_(std::move(inner)), path_(std::move(path)) {}

  std::uint64_t size() const override { return inner_->size(); }

  void read_at(std::uint64_t offset, std::span<std::byte> into, IoCompletion done) override {
    const Verdict verdict = state_->begin(Operation::read, path_);
    if (verdict.error) return done(*verdict.error);
    inner_->read_at(offset, into, std::move(done));
  }

 private:
  const std::shared_ptr<State> state_;
  const std::unique_ptr<ReadFile> inner_;
  const std::string path_;
};

FaultStore::FaultStore(std::shared_ptr<Store> inner) : inner_(std::move(inner)), state_(std::make_shared<State>()) {}
FaultStore::~FaultStore() = default;

void FaultStore::inject(Fault fault) {
  const std::lock_guard lock(state_->mutex);
  state_->fault = std::move(fault);
  state_->matched = 0;
}

void FaultStore::heal() {
  const std::lock_guard lock(state_->mutex);
  state_->fault.reset();
}

std::uint64_t FaultStore::operations() const {
  const std::lock_guard lock(state_->mutex);
  return state_->log.size();
}

std::uint64_t FaultStore::faults_fired() const {
  const std::lock_guard lock(state_->mutex);
  return state_->faults_fired;
}

std::vector<LoggedOperation> FaultStore::log() const {
  const std::lock_guard lock(state_->mutex);
  return state_->log;
}

std::vector<std::string> FaultStore::violations() const {
  const std::lock_guard lock(state_->mutex);
  return state_->violations;
}

std::string FaultStore::description() const { return inner_->description(); }

Result<std::unique_ptr<WriteFile>> FaultStore::create_file(const std::string& path, const CreateFileOptions& options) {
  const Verdict verdict = state_->begin(Operation::create_file, path);
  MILEPOST_ASSIGN(auto file, verdict.apply([&] { return inner_->create_file(path, options); }));
  return std::unique_ptr<WriteFile>(std::make_unique<FaultWriteFile>(state_, std::move(file), path));
}

Result<std::unique_ptr<ReadFile>> FaultStore::open_file(const std::string& path) {
  const Verdict verdict = state_->begin(Operation::open_file, path);
  MILEPOST_ASSIGN(auto file, verdict.apply([&] { return inner_->open_file(path); }));
  return std::unique_ptr<ReadFile>(std::make_unique<FaultReadFile>(state_, std::move(file), path));
}

Result<void> FaultStore::make_directory(const std::string& path) {
  return state_->begin(Operation::make_directory, path).apply([&] { return inner_->make_directory(path); });
}

Result<void> FaultStore::sync_directory(const std::string& path) {
  return state_->begin(Operation::sync_directory, path).apply([&] { return inner_->sync_directory(path); });
}

Result<void> FaultStore::rename_no_replace(const std::string& from, const std::string& to) {
  return state_->begin(Operation::rename, to).apply([&] { return inner_->rename_no_replace(from, to); });
}

Result<void> FaultStore::exchange(const std::string& a, const std::string& b) {
  return state_->begin(Operation::exchange, b).apply([&] { return inner_->exchange(a, b); });
}

Result<void> FaultStore::remove_file(const std::string& path) {
  return state_->begin(Operation::remove_file, path).apply([&] { return inner_->remove_file(path); });
}

Result<void> FaultStore::remove_directory(const std::string& path) {
  return state_->begin(Operation::remove_directory, path).apply([&] { return inner_->remove_directory(path); });
}

Result<std::vector<DirectoryEntry>> FaultStore::list_directory(const std::string& path) {
  return state_->begin(Operation::list, path).apply([&] { return inner_->list_directory(path); });
}

Result<EntryInfo> FaultStore::stat(const std::string& path) {
  return state_->begin(Operation::stat, path).apply([&] { return inner_->stat(path); });
}

Result<std::unique_ptr<DirectoryLock>> FaultStore::lock_directory(const std::string& path, LockKind kind) {
  return state_->begin(Operation::lock, path).apply([&] { return inner_->lock_directory(path, kind); });
}

}  // namespace milepost::testing
