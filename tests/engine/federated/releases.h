// CSV files of releases in tests: opened, released to, and read.
#pragma once

#include "milepost/engine/federated/csv_release_manager.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/small_steps.h"
#include "tests/support/bytes.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace milepost::testing {

inline constexpr const char* csv_name = "metrics.csv";

inline CsvFileReleaseManager open_csv(std::shared_ptr<Store> store, CsvSaveMode mode = CsvSaveMode::append) {
  return CsvFileReleaseManager::open(csv_name, {.save_mode = mode, .store = std::move(store)}).value();
}

// The file; or, in angle brackets, why there is none.
inline std::string text_of(Store& store, const std::string& name = csv_name) {
  const auto data = read_file(store, name, std::uint64_t{1} << 30);
  if (data.has_error()) return "<" + std::string(to_string(data.error().code())) + ">";
  return {reinterpret_cast<const char*>(data->data()), data->size()};
}

// Durably, as somebody else would.
inline void put_text(Store& store, std::string_view text, const std::string& name = csv_name) {
  static_cast<void>(store.remove_file(name));
  EXPECT_OK(write_file(store, name, to_bytes(text)));
  EXPECT_OK(store.sync_directory(""));
}

inline ProgramValue loss(double value) {
  ProgramValue metrics;
  metrics["loss"] = value;
  return metrics;
}

}  // namespace milepost::testing
