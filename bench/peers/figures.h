// What a trial of milepost measures with beside bench/measure.h, in the same way as bench/peers/measuring.py does for
// its peers, and the line of JSON that it prints.
#pragma once

#include "milepost/engine/state/tree.h"

#include <cstdint>
#include <map>
#include <string>

namespace milepost::bench {

// Named numbers, printed as one line of JSON.
class Figures {
 public:
  void set(const std::string& name, double value) { values_[name] = value; }
  void print() const;

 private:
  std::map<std::string, double> values_;
};

// Flushes all files and directories below `directory`: each for itself, or, if there are more than a hundred, their
// whole file system at once, which is then the quicker way.
void sync_all(const std::string& directory);

// Waits until the file system below `directory` is done with all that was written and removed before.
void sync_file_system(const std::string& directory);

// What the files below `directory` take on disk.
std::uint64_t disk_bytes(const std::string& directory);

// Turns all bits of the state around; the second time restores it.
void invert(const Tree& state);

// Reads a byte of every page of all tensors.
void touch(const Tree& state);

// Whether both have the same tensors, byte for byte.
bool same_bytes(const Tree& one, const Tree& other);

}  // namespace milepost::bench
