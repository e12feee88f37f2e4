#include "bench/limits.h"
#include "bench/measure.h"
#include "bench/peers/figures.h"
#include "bench/peers/workloads.h"
#include "bench/real_state.h"

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace milepost::bench {
namespace {

CheckpointManager open_reader(const std::string& directory) {
  return checked(CheckpointManager::open(directory, {.create = false, .read_only = true}));
}

// Of what is touched and given back, the next that is touched is made: see measuring.py.
void make_memory_ready(std::uint64_t bytes) { const TouchedArea area(bytes); }

double existing_seconds(const std::string& directory, Tree& existing) {
  make_memory_ready(byte_count(existing));
  return seconds([&] { checked(open_reader(directory).restore_latest(existing)); });
}

// What was restored is freed after the time has been taken, as in trial.py.
double fresh_seconds(const std::string& directory, std::uint64_t bytes) {
  make_memory_ready(bytes);
  std::optional<Restored> fresh;
  return seconds([&] {
    fresh = checked(open_reader(directory).restore(1));
    touch(fresh->tree());
  });
}

double leaf_seconds(const std::string& directory, std::int64_t step, const std::string& leaf) {
  std::optional<Restored> fresh;
  return seconds(
      [&] { fresh = checked(open_reader(directory).restore(step, {.items = {{.name = "state", .select = {leaf}}}})); });
}

// The page cache is at first as the save left it.
void restore_all(const std::string& directory, const std::string& leaf, Tree existing, Figures& figures) {
  const std::uint64_t bytes = byte_count(existing);
  figures.set("restore_just_saved_s", existing_seconds(directory, existing));
  make_cold(directory);
  figures.set("restore_cold_fresh_s", fresh_seconds(directory, bytes));
  make_warm(directory);
  figures.set("restore_warm_fresh_s", fresh_seconds(directory, bytes));
  make_cold(directory);
  figures.set("restore_cold_existing_s", existing_seconds(directory, existing));
  make_warm(directory);
  figures.set("restore_warm_existing_s", existing_seconds(directory, existing));
  make_cold(directory);
  make_memory_ready(bytes);
  figures.set("leaf_s", leaf_seconds(directory, 1, leaf));
}

}  // namespace

void save_workload(const Trial& trial, const Tree& state, const std::string& leaf, const Parts& parts) {
  Figures figures;
  const Items items = {{"state", state}};
  const std::uint64_t memory_before = ResidentMemory::now();
  auto manager = checked(CheckpointManager::open(trial.directory, {.mode = trial.mode, .codec = trial.codec}));
  checked(manager.warm_up(items));

  // What is saved is what the state was at the call.
  figures.set("first_call_s", seconds([&] { checked(manager.save(0, items)); }));
  if (trial.mode == SnapshotMode::lazy) manager.fence();
  invert(state);
  checked(manager.wait_until_finished());
  invert(state);
  if (parts.check) {
    auto reader = open_reader(trial.directory);
    Restored restored = checked(reader.restore());
    figures.set("correct", same_bytes(state, restored.tree()));
  }
  if (parts.restore) leaf_seconds(trial.directory, 0, leaf);  // so that what reading needs exists
  checked(manager.delete_step(0));
  sync_file_system(trial.directory);

  ResidentMemory::reset_peak();
  const double cpu_before = cpu_seconds();
  const double durable = seconds([&] {
    const double finished = seconds([&] {
      figures.set("call_s", seconds([&] { checked(manager.save(1, items)); }));
      if (trial.mode == SnapshotMode::lazy) figures.set("fence_s", seconds([&] { manager.fence(); }));
      checked(manager.wait_until_finished());
    });
    figures.set("finished_s", finished);
    sync_all(trial.directory);
  });
  figures.set("durable_s", durable);
  figures.set("cpu_s", cpu_seconds() - cpu_before);
  figures.set("extra_bytes", static_cast<double>(ResidentMemory::peak() - memory_before));
  figures.set("state_bytes", static_cast<double>(byte_count(state)));
  figures.set("disk_bytes", static_cast<double>(disk_bytes(trial.directory)));
  checked(manager.close());

  if (parts.restore) restore_all(trial.directory, leaf, state, figures);
  figures.print();
}

void limits_workload(const Trial& trial, const Tree& state) {
  Figures figures;
  std::vector<Tensor> tensors;
  for_each_leaf(state, [&](const std::string&, const Tree& leaf) { tensors.push_back(*leaf.get_if<Tensor>()); });
  const std::uint64_t bytes = byte_count(state) / 4096 * 4096;
  const TouchedArea area(byte_count(state));
  Team team(core_count());
  memcpy_seconds(team, tensors, area.span());
  figures.set("memcpy_s", memcpy_seconds(team, tensors, area.span()));
  figures.set("write_s", raw_write_seconds(trial.directory + "/raw", bytes));
  {
    std::ofstream file(trial.directory + "/raw", std::ios::binary);
    file.write(reinterpret_cast<const char*>(area.span().data()), static_cast<std::streamsize>(bytes));
  }
  make_cold(trial.directory);
  figures.set("read_cold_s", raw_read_seconds(trial.directory + "/raw", area.span(), true));
  raw_read_seconds(trial.directory + "/raw", area.span(), false);
  figures.set("read_warm_s", raw_read_seconds(trial.directory + "/raw", area.span(), false));
  figures.set("state_bytes", static_cast<double>(bytes));
  figures.print();
}

}  // namespace milepost::bench
