#include "tests/support/simulated_disk.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

namespace milepost::testing {
namespace {

using Node = SimulatedDisk::Node;
using Random = std::mt19937_64;
using CopiesOfNodes = std::map<const SimulatedNode*, Node>;

void put(std::vector<std::byte>& into, std::uint64_t offset, std::span<const std::byte> data) {
  if (into.size() < offset + data.size()) into.resize(offset + data.size());
  std::copy(data.begin(), data.end(), into.begin() + static_cast<std::ptrdiff_t>(offset));
}

bool happens(Random& random, unsigned percent) { return random() % 100 < percent; }

// How likely a pending change survives in one crash; the extremes are worth more than their share.
unsigned survival_percent(Random& random) {
  constexpr unsigned percents[] = {0, 10, 50, 50, 90, 100};
  return percents[random() % std::size(percents)];
}

// Any subset of the writes, each in any subset of its sectors.
std::vector<std::byte> torn_data(const SimulatedNode& file, Random& random) {
  std::vector<std::byte> data = file.durable_data;
  const unsigned percent = survival_percent(random);
  for (const SimulatedNode::PendingWrite& write : file.pending_writes) {
    if (!happens(random, percent)) continue;
    if (write.is_cut) {
      data.resize(write.offset);
      continue;
    }
    const bool torn = happens(random, 50);
    for (std::size_t at = 0; at < write.data.size();) {
      const std::size_t to_boundary = sector_bytes - (write.offset + at) % sector_bytes;
      const std::size_t bytes = std::min(to_boundary, write.data.size() - at);
      if (!torn || happens(random, 50)) put(data, write.offset + at, std::span(write.data).subspan(at, bytes));
      at += bytes;
    }
  }
  // The size is metadata of its own: it may be there without the data, which then reads as zeros.
  if (!file.pending_writes.empty() && happens(random, 30)) data.resize(file.data.size());
  return data;
}

// Copies a tree node by node; a node with two names stays one node.
Node copy_tree(const Node& node, CopiesOfNodes& copies,
               const std::function<void(const SimulatedNode&, SimulatedNode&)>& fill,
               const std::function<const SimulatedNode::Names&(const SimulatedNode&)>& names_of) {
  Node& copy = copies[node.get()];
  if (copy) return copy;
  copy = std::make_shared<SimulatedNode>(node->is_directory);
  const Node result = copy;
  result->modified_unix_ns = node->modified_unix_ns;
  fill(*node, *result);
  for (const auto& [name, child] : names_of(*node)) {
    result->names.emplace(name, copy_tree(child, copies, fill, names_of));
  }
  return result;
}

}  // namespace

void SimulatedDisk::change_names(PendingChange change) {
  for (const NameChange& part : change) {
    if (part.node) {
      part.directory->names[part.name] = part.node;
    } else {
      part.directory->names.erase(part.name);
    }
  }
  pending_changes_.push_back(std::move(change));
}

void SimulatedDisk::add_name(const Node& directory, const std::string& name, const Node& node) {
  change_names({{directory, name, node}});
}

void SimulatedDisk::remove_name(const Node& directory, const std::string& name) {
  change_names({{directory, name, nullptr}});
}

void SimulatedDisk::move_name(const Node& from, const std::string& old_name, const Node& to,
                              const std::string& new_name) {
  const Node node = from->names.at(old_name);
  change_names({{from, old_name, nullptr}, {to, new_name, node}});
}

void SimulatedDisk::exchange_names(const Node& a, const std::string& a_name, const Node& b, const std::string& b_name) {
  change_names({{a, a_name, b->names.at(b_name)}, {b, b_name, a->names.at(a_name)}});
}

void SimulatedDisk::write(const Node& file, std::uint64_t offset, std::span<const std::byte> data) {
  put(file->data, offset, data);
  file->pending_writes.push_back({.offset = offset, .data = {data.begin(), data.end()}});
}

void SimulatedDisk::cut(const Node& file, std::uint64_t size) {
  file->data.resize(size);
  file->pending_writes.push_back({.is_cut = true, .offset = size, .data = {}});
}

void SimulatedDisk::sync_file(const Node& file) {
  for (const SimulatedNode::PendingWrite& change : file->pending_writes) {
    if (change.is_cut) {
      file->durable_data.resize(change.offset);
    } else {
      put(file->durable_data, change.offset, change.data);
    }
  }
  file->durable_data.resize(file->data.size());
  file->pending_writes.clear();
}

void SimulatedDisk::sync_names(const Node& directory) {
  std::set<Node> needed = {directory};
  std::vector<bool> durable(pending_changes_.size());
  for (std::size_t i = pending_changes_.size(); i-- > 0;) {
    const PendingChange& change = pending_changes_[i];
    durable[i] = std::any_of(change.begin(), change.end(),
                             [&](const NameChange& part) { return needed.contains(part.directory); });
    if (!durable[i]) continue;
    for (const NameChange& part : change) needed.insert(part.directory);
  }
  std::vector<PendingChange> still_pending;
  for (std::size_t i = 0; i < pending_changes_.size(); ++i) {
    if (!durable[i]) {
      still_pending.push_back(std::move(pending_changes_[i]));
      continue;
    }
    for (const NameChange& part : pending_changes_[i]) {
      if (part.node) {
        part.directory->durable_names[part.name] = part.node;
      } else {
        part.directory->durable_names.erase(part.name);
      }
    }
  }
  pending_changes_ = std::move(still_pending);
}

SimulatedDisk SimulatedDisk::after_power_cut(std::uint64_t seed) const {
  Random random(seed);

  // The names first: in each directory the changes up to some point, and none after it.
  std::map<const SimulatedNode*, SimulatedNode::Names> survived;
  const auto names_of = [&](const SimulatedNode& node) -> SimulatedNode::Names& {
    return survived.try_emplace(&node, node.durable_names).first->second;
  };
  std::set<Node> ended;  // directories that are past that point
  const unsigned percent = survival_percent(random);
  for (const PendingChange& change : pending_changes_) {
    const bool possible = std::none_of(change.begin(), change.end(),
                                       [&](const NameChange& part) { return ended.contains(part.directory); });
    if (possible && happens(random, percent)) {
      for (const NameChange& part : change) {
        if (part.node) {
          names_of(*part.directory)[part.name] = part.node;
        } else {
          names_of(*part.directory).erase(part.name);
        }
      }
    } else {
      for (const NameChange& part : change) ended.insert(part.directory);
    }
  }

  SimulatedDisk disk;
  CopiesOfNodes copies;
  disk.root_ = copy_tree(
      root_, copies,
      [&](const SimulatedNode& from, SimulatedNode& to) {
        if (!from.is_directory) to.data = to.durable_data = torn_data(from, random);
      },
      names_of);
  for (const auto& [original, node] : copies) node->durable_names = node->names;
  return disk;
}

SimulatedDisk SimulatedDisk::copy() const {
  SimulatedDisk disk;
  CopiesOfNodes copies;
  const auto fill = [](const SimulatedNode& from, SimulatedNode& to) {
    to.data = from.data;
    to.durable_data = from.durable_data;
    to.pending_writes = from.pending_writes;
  };
  const auto names_of = [](const SimulatedNode& node) -> const SimulatedNode::Names& { return node.names; };
  const auto copy_of = [&](const Node& node) { return node ? copy_tree(node, copies, fill, names_of) : nullptr; };
  disk.root_ = copy_of(root_);
  // Nodes that only the durable state or a pending change still knows are copied as well.
  for (const PendingChange& change : pending_changes_) {
    PendingChange& copied = disk.pending_changes_.emplace_back();
    for (const NameChange& part : change) copied.push_back({copy_of(part.directory), part.name, copy_of(part.node)});
  }
  std::vector<const SimulatedNode*> done;
  for (bool more = true; more;) {
    more = false;
    const CopiesOfNodes so_far = copies;
    for (const auto& [original, node] : so_far) {
      if (!original->is_directory || std::find(done.begin(), done.end(), original) != done.end()) continue;
      for (const auto& [name, child] : original->durable_names) node->durable_names.emplace(name, copy_of(child));
      done.push_back(original);
      more = true;
    }
  }
  return disk;
}

}  // namespace milepost::testing
