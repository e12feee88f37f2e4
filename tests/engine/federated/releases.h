// Files of releases in tests: opened, released to, and read.
#pragma once

#include "milepost/engine/federated/csv_release_manager.h"
#include "milepost/engine/federated/file_release_manager.h"
#include "milepost/io/byte_stream.h"
#include "tests/engine/open_manager.h"
#include "tests/engine/small_steps.h"
#include "tests/support/bytes.h"
#include "tests/support/simulated_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace milepost::testing {

inline constexpr const char* csv_name = "metrics.csv";

inline constexpr CsvSaveMode csv_modes[] = {CsvSaveMode::append, CsvSaveMode::write};

inline CsvFileReleaseManager open_csv(std::shared_ptr<Store> store, CsvSaveMode mode = CsvSaveMode::append) {
  return CsvFileReleaseManager::open(csv_name, {.save_mode = mode, .store = std::move(store)}).value();
}

// The file; or, in angle brackets, why there is none.
inline std::string text_of(Store& store, const std::string& name = csv_name) {
  const auto data = read_file(store, name, std::uint64_t{1} << 30);
  if (data.has_error()) return "<" + std::string(to_string(data.error().code())) + ">";
  return {reinterpret_cast<const char*>(data->data()), data->size()};
}

// What is in the file, decompressed if its name says so.
inline std::string rows_of(Store& store, const std::string& name) {
  const auto refusal = [](const Error& error) { return "<" + std::string(to_string(error.code())) + ">"; };
  const auto file = store.open_file(name);
  if (file.has_error()) return refusal(file.error());
  const auto source = make_byte_source(**file, compression_of(name));
  std::string text;
  std::vector<std::byte> buffer(1000);
  for (;;) {
    const auto bytes = source->read(buffer);
    if (bytes.has_error()) return refusal(bytes.error());
    if (*bytes == 0) return text;
    text.append(reinterpret_cast<const char*>(buffer.data()), *bytes);
  }
}

// Durably, as somebody else would.
inline void put_text(Store& store, std::string_view text, const std::string& name = csv_name) {
  static_cast<void>(store.remove_file(name));
  EXPECT_OK(write_file(store, name, to_bytes(text)));
  EXPECT_OK(store.sync_directory(""));
}

inline FileReleaseManager open_files(const std::shared_ptr<Store>& store) {
  return FileReleaseManager::open("simulated", {.store = store}).value();
}

inline ProgramValue loss(double value) {
  ProgramValue metrics;
  metrics["loss"] = value;
  return metrics;
}

}  // namespace milepost::testing
