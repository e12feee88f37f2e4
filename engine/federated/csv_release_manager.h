// CsvFileReleaseManager: releases values as rows of a CSV file, one a key. TensorFlow Federated's manager of that name.
//
//   auto metrics = milepost::CsvFileReleaseManager::open("/results/metrics.csv").value();
//   metrics.release(value, round).value();   // on disk
//
//   key,accuracy,loss
//   1,0.25,2.3
//   2,0.5,1.9
//
// A row has a cell for each leaf of the value, under the keys and indices on the way to it, joined by '/', and in it
// what Python's str() gives for the leaf (csv_cells.h, python_text.h). Rows that have no such leaf have an empty cell.
// New columns stand behind the others. The file is what Python's csv module writes in its default dialect: CR LF ends a
// row, and cells with commas, quotes or ends of lines are quoted.
#pragma once

#include "milepost/engine/federated/release_manager.h"
#include "milepost/io/store.h"

#include <cstdint>
#include <memory>
#include <string>

namespace milepost {

enum class CsvSaveMode : std::uint8_t {
  append,  // a row is appended where that is enough: the cost does not grow with the file
  write,   // every release writes the whole file anew: for file systems that cannot append, and compressed files
};

struct CsvFileReleaseManagerOptions {
  CsvSaveMode save_mode = CsvSaveMode::append;
  std::string key_fieldname = "key";       // the column of the keys
  std::shared_ptr<Store> store = nullptr;  // instead of the file system: the file's name is at its root
};

// Keys are all integers of 64 bits, and are meant to ascend. All methods may be called from several threads at once. A
// handle: movable, not copyable.
class CsvFileReleaseManager final : public ReleaseManager<std::int64_t> {
 public:
  // Makes the file's directory, with its missing parents, and a file with a header, if there is none. Reads the file
  // through once. Of what a crash left of a release, whatever its process, nothing stays: neither a part of a row, nor
  // a temporary file. A name that ends in .gz, .bz2, .xz or .zst means a file compressed like that.
  //
  // invalid_argument: a path without a name, or with one of more than 245 bytes, a key_fieldname that is empty or holds
  // a zero byte, or a compressed file in append mode. failed_precondition: the file has no column of that name, or no
  // bytes. corruption, naming file and line: two columns of one name, a row with too many or too few cells, with a key
  // that is no integer (of digits alone, perhaps behind a '-'), or damaged. unavailable: another manager, in this
  // process or another, has the file open.
  static Result<CsvFileReleaseManager> open(const std::string& file_path, CsvFileReleaseManagerOptions options = {});
  CsvFileReleaseManager(CsvFileReleaseManager&&) noexcept;
  CsvFileReleaseManager& operator=(CsvFileReleaseManager&&) noexcept;
  ~CsvFileReleaseManager() override;

  // Adds the row of that key; rows of it or of greater keys go, and their columns too if no row stays. All of it is on
  // disk when this returns, or none of it will be found there by the next to open the file, after a crash at whatever
  // moment. Everything is awaited before anything is changed. If somebody else has changed the file, it is read again
  // first, and his rows stay.
  //
  // invalid_argument: a leaf has the key's column, two leaves have the same one, or one holds a zero byte; or the value
  // cannot be stored at all (check_state). Of unavailable (somebody else is changing the file at this moment), and
  // errors of the disk, the file is as it was, unless they say otherwise.
  Result<void> release(const ProgramValue& value, const std::int64_t& key) override;

 private:
  class Impl;
  explicit CsvFileReleaseManager(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace milepost
