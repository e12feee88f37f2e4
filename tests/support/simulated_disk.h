// The disk inside a SimulatedStore: nodes, and what of them is durable. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace milepost::testing {

inline constexpr std::size_t sector_bytes = 512;

// A file or a directory, whatever its names.
struct SimulatedNode {
  // A write of `data` at `offset`, or a cut to `offset` bytes.
  struct PendingWrite {
    bool is_cut = false;
    std::uint64_t offset = 0;
    std::vector<std::byte> data;
  };
  using Names = std::map<std::string, std::shared_ptr<SimulatedNode>>;

  explicit SimulatedNode(bool directory) : is_directory(directory) {}

  const bool is_directory;
  int locks = 0;  // how many share one; -1: one is exclusive
  std::int64_t modified_unix_ns = 0;
  // Files.
  std::vector<std::byte> data;  // as processes see it
  std::vector<std::byte> durable_data;
  std::vector<PendingWrite> pending_writes;
  // Directories.
  Names names;
  Names durable_names;
};

class SimulatedDisk {
 public:
  using Node = std::shared_ptr<SimulatedNode>;

  const Node& root() const { return root_; }

  void add_name(const Node& directory, const std::string& name, const Node& node);
  void remove_name(const Node& directory, const std::string& name);
  void move_name(const Node& from, const std::string& old_name, const Node& to, const std::string& new_name);
  void exchange_names(const Node& a, const std::string& a_name, const Node& b, const std::string& b_name);
  void write(const Node& file, std::uint64_t offset, std::span<const std::byte> data);
  void cut(const Node& file, std::uint64_t size);

  // A successful fsync: what is pending becomes durable, and so does the size.
  void sync_file(const Node& file);
  // One that fails: what was pending stays visible, but counts as written, and no later fsync writes it.
  static void lose_pending(const Node& file) { file->pending_writes.clear(); }
  // Also makes durable what those changes cannot be without: a rename takes the other directory's
  // earlier changes along.
  void sync_names(const Node& directory);

  // A disk on which everything is durable, as one could be after a power cut.
  SimulatedDisk after_power_cut(std::uint64_t seed) const;
  // A deep copy, without locks.
  SimulatedDisk copy() const;

 private:
  struct NameChange {
    Node directory;
    std::string name;
    Node node;  // null: the name goes
  };
  using PendingChange = std::vector<NameChange>;  // all or none of it becomes durable

  void change_names(PendingChange change);

  Node root_ = std::make_shared<SimulatedNode>(true);
  std::vector<PendingChange> pending_changes_;  // the oldest first
};

}  // namespace milepost::testing
