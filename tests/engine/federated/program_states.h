// What tests of federated programs save, and how.
#pragma once

#include "milepost/engine/federated/file_program_state_manager.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/trees.h"
#include "tests/support/bytes.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace milepost::testing {

// An object of the program's own.
struct Sampler {
  std::int64_t seed = 0;

  Tree::Bytes to_bytes() const { return testing::to_bytes(std::to_string(seed)); }
  static Result<Sampler> from_bytes(std::span<const std::byte> bytes) {
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (text.empty()) return Error(ErrorCode::corruption, "a sampler without a seed");
    return Sampler{std::stoll(text)};
  }
};

template <class T> std::future<T> ready(T value) {
  std::promise<T> promise;
  promise.set_value(std::move(value));
  return promise.get_future();
}

// Small, with a leaf of each kind of value: a tree, an object and a reference.
inline ProgramValue state_of(std::int64_t version) {
  ProgramValue state;
  state["model"] = small_tree(static_cast<std::uint64_t>(version));
  state["sampler"] = Sampler{version};
  state["loss"] = make_value_reference(ready(static_cast<double>(version) / 8));
  return state;
}
inline ProgramValue structure() { return state_of(0); }

// How it differs from state_of(version); empty if it does not.
inline std::string difference_to_state(const ProgramValue& loaded, std::int64_t version) {
  const auto* const map = loaded.get_if<ProgramValue::Map>();
  const auto* const sampler = map && map->contains("sampler") ? map->at("sampler").get_if<Sampler>() : nullptr;
  if (!sampler || sampler->seed != version) return "not its sampler";
  return difference(materialize(state_of(version)).value(), materialize(loaded).value());
}

inline std::string difference_to_state(const Result<ProgramValue>& loaded, std::int64_t version) {
  return loaded.has_error() ? error_of(loaded) : difference_to_state(*loaded, version);
}
#define EXPECT_LOADS(manager, version)                                                                              \
  EXPECT_EQ(                                                                                                        \
      ::milepost::testing::difference_to_state((manager).load(version, ::milepost::testing::structure()), version), \
      "")                                                                                                           \
      << "version " << (version)

inline FileProgramStateManagerOptions small_states(std::shared_ptr<Store> store = nullptr) {
  FileProgramStateManagerOptions options;
  options.staging_bytes = staging_bytes_min;
  options.worker_threads = 2;
  options.store = std::move(store);
  return options;
}

inline FileProgramStateManager open_states(FileProgramStateManagerOptions options,
                                           const std::string& directory = "simulated") {
  return FileProgramStateManager::open(directory, std::move(options)).value();
}

// Those that there are; empty if there are none.
inline std::vector<std::int64_t> versions_of(const FileProgramStateManager& manager) {
  const auto versions = manager.get_versions().value();
  if (!versions) return {};
  EXPECT_FALSE(versions->empty());
  return *versions;
}

inline void save_versions(FileProgramStateManager& manager, const std::vector<std::int64_t>& versions) {
  for (const std::int64_t version : versions) EXPECT_OK(manager.save(state_of(version), version));
}

}  // namespace milepost::testing
