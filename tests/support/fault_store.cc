#include "tests/support/fault_store.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

namespace milepost::testing {

struct FaultStore::State {
  mutable std::mutex mutex;
  // Protected by mutex.
  std::optional<Fault> fault;
  std::uint64_t matched = 0;
  std::uint64_t faults_fired = 0;
  std::vector<LoggedOperation> log;
  std::vector<std::string> violations;

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

// Knows whether the file may still be used.
class FaultStore::CheckedWriteFile final : public WriteFile {
 public:
  CheckedWriteFile(std::shared_ptr<State> state, std::unique_ptr<WriteFile> inner, std::string path)
      : state_(std::move(state)), inner_(std::move(inner)), path_(std::move(path)) {}

  void write_at(std::uint64_t offset, std::span<const std::byte> data, IoCompletion done) override {
    if (const std::optional<Error> refusal = refuse(Operation::write)) return done(*refusal);
    inner_->write_at(offset, data, std::move(done));
  }

  Result<void> truncate(std::uint64_t size) override {
    if (const std::optional<Error> refusal = refuse(Operation::truncate)) return *refusal;
    return inner_->truncate(size);
  }

  Result<void> sync() override {
    if (const std::optional<Error> refusal = refuse(Operation::sync)) return *refusal;
    const Result<void> result = inner_->sync();
    if (result.has_error()) condition(Condition::poisoned);
    return result;
  }

  Result<void> close() override {
    if (const std::optional<Error> refusal = refuse(Operation::close)) return *refusal;
    const Result<void> result = inner_->close();
    condition(Condition::closed);
    return result;
  }

 private:
  enum class Condition { good, poisoned, closed };

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

FaultStore::FaultStore(std::shared_ptr<Store> inner)
    : ForwardingStore(std::move(inner)), state_(std::make_shared<State>()) {}
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

FaultStore::Verdict FaultStore::begin(Operation operation, const std::string& path) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  LoggedOperation& entry = state.log.emplace_back(LoggedOperation{operation, path});
  if (!state.fault || !state.matches(operation, path)) return {};
  const Fault& fault = *state.fault;
  const std::uint64_t index = state.matched++;
  const bool again = fault.again_after > 0 && index == fault.after + fault.again_after;
  if (index < fault.after || (index > fault.after && !fault.forever && !again)) return {};
  entry.failed_on_purpose = true;
  ++state.faults_fired;
  const std::string what = std::string(to_string(operation)) + " " + path;
  return {Error::from_errno(fault.system_errno, what), fault.takes_effect};
}

Result<std::unique_ptr<WriteFile>> FaultStore::create_file(const std::string& path, const CreateFileOptions& options) {
  MILEPOST_ASSIGN(auto file, ForwardingStore::create_file(path, options));
  return std::unique_ptr<WriteFile>(std::make_unique<CheckedWriteFile>(state_, std::move(file), path));
}

Result<std::unique_ptr<WriteFile>> FaultStore::open_file_to_write(const std::string& path) {
  MILEPOST_ASSIGN(auto file, ForwardingStore::open_file_to_write(path));
  return std::unique_ptr<WriteFile>(std::make_unique<CheckedWriteFile>(state_, std::move(file), path));
}

}  // namespace milepost::testing
