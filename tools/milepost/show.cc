// milepost show: the trees of a step.
#include "tools/milepost/checkpoint_directory.h"
#include "tools/milepost/commands.h"
#include "tools/milepost/json.h"
#include "tools/milepost/leaf_index.h"
#include "tools/milepost/terminal.h"
#include "tools/milepost/text.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace milepost::tool {
namespace {

constexpr std::size_t value_columns = 40;

bool is_wanted(const std::string& path, const std::vector<std::string>& patterns) {
  return patterns.empty() ||
         std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) { return path_matches(p, path); });
}

// The value of a leaf that lies in the manifest, on one line.
std::string value_text(const Tree& leaf) {
  if (const auto* value = leaf.get_if<bool>()) return *value ? "true" : "false";
  if (const auto* value = leaf.get_if<std::int64_t>()) return std::to_string(*value);
  if (const auto* value = leaf.get_if<std::uint64_t>()) return std::to_string(*value);
  if (const auto* value = leaf.get_if<double>()) return shortest(*value);
  if (const auto* value = leaf.get_if<std::string>()) return quoted(*value, value_columns);
  return "";
}

Json value_json(const Tree& leaf) {
  if (const auto* value = leaf.get_if<bool>()) return *value;
  if (const auto* value = leaf.get_if<std::int64_t>()) return *value;
  if (const auto* value = leaf.get_if<std::uint64_t>()) return *value;
  if (const auto* value = leaf.get_if<double>()) return json_number(*value);
  if (const auto* value = leaf.get_if<std::string>()) return *value;
  return nullptr;
}

// One item: its leaves that are wanted, and the table of them.
class ItemView {
 public:
  ItemView(const Manifest& manifest, const StoredShares& shares, const std::vector<std::string>& patterns)
      : manifest_(manifest), shares_(shares), leaves_(leaves_of(manifest)), leaf_count_(leaves_.size()) {
    std::erase_if(leaves_, [&](const Leaf& leaf) { return !is_wanted(leaf.path, patterns); });
  }

  std::size_t leaf_count() const { return leaf_count_; }
  std::size_t wanted_count() const { return leaves_.size(); }

  // The tree, indented; containers sum up what is below them. `depth`: levels shown, 0: all.
  std::string to_text(int depth) {
    using enum Table::Align;
    Table table({{"NAME", left}, {"TYPE", left}, {"SHAPE", left}, {"SIZE", right}, {"RATIO", right}, {"VALUE", left}});
    next_ = 0;
    add_rows(table, manifest_.tree, "", "", 0, depth);
    return table.to_string();
  }

  Json to_json() const {
    Json leaves = Json::array();
    for (const Leaf& leaf : leaves_) {
      Json entry = {{"path", leaf.path}, {"type", type_name(leaf)}};
      if (leaf.stored != nullptr && leaf.stored->stored_as == StoredAs::tensor) entry["shape"] = leaf.stored->shape;
      entry["bytes"] = leaf.bytes;
      if (const auto stored = shares_.stored_bytes(leaf)) entry["stored_bytes_estimate"] = std::llround(*stored);
      if (leaf.stored == nullptr && leaf.value->get_if<Tree::Bytes>() == nullptr)
        entry["value"] = value_json(*leaf.value);
      leaves.push_back(std::move(entry));
    }
    return leaves;
  }

 private:
  struct Sum {
    std::uint64_t leaves = 0;
    std::uint64_t bytes = 0;
    std::uint64_t coded_bytes = 0;  // of leaves that are not in the manifest
    double stored_bytes = 0;
  };

  void add(Sum& sum, const Leaf& leaf) const {
    ++sum.leaves;
    sum.bytes += leaf.bytes;
    if (const auto stored = shares_.stored_bytes(leaf)) {
      sum.coded_bytes += leaf.bytes;
      sum.stored_bytes += *stored;
    }
  }

  // The wanted leaves below a path follow each other, from next_ on.
  Sum sum_below(const std::string& path) const {
    Sum sum;
    const std::string below = path.empty() ? "" : path + "/";
    for (std::size_t i = next_; i < leaves_.size() && leaves_[i].path.starts_with(below); ++i) add(sum, leaves_[i]);
    return sum;
  }

  void add_rows(Table& table, const Tree& node, const std::string& path, const std::string& name, int level,
                int depth) {
    const std::string indent(level > 1 ? 2 * (static_cast<std::size_t>(level) - 1) : 0, ' ');
    if (node.is_leaf()) {
      if (next_ == leaves_.size() || leaves_[next_].value != &node) return;
      const Leaf& leaf = leaves_[next_++];
      Sum sum;
      add(sum, leaf);
      const bool is_tensor = leaf.stored != nullptr && leaf.stored->stored_as == StoredAs::tensor;
      table.add({{indent + (path.empty() ? "(the item itself)" : printable(name))},
                 {type_name(leaf)},
                 {is_tensor ? to_string(leaf.stored->shape) : ""},
                 {human_bytes(leaf.bytes)},
                 {leaf.stored != nullptr ? human_ratio(static_cast<double>(sum.coded_bytes), sum.stored_bytes) : ""},
                 {leaf.stored == nullptr ? value_text(*leaf.value) : ""}});
      return;
    }
    const Sum sum = sum_below(path);
    const bool is_empty =
        node.get_if<Tree::Map>() != nullptr ? node.get_if<Tree::Map>()->empty() : node.get_if<Tree::List>()->empty();
    if (sum.leaves == 0) {
      // Empty containers are part of what was saved; those without a wanted leaf are not asked for.
      if (is_empty && leaves_.size() == leaf_count_)
        table.add({{indent + printable(name)}, {node.describe() + ", empty"}});
      return;
    }
    if (level > 0) {
      table.add({{indent + printable(name) + "/", Colour::bold},
                 {counted(sum.leaves, "leaf", "leaves"), Colour::dim},
                 {},
                 {human_bytes(sum.bytes), Colour::dim},
                 {sum.coded_bytes > 0 ? human_ratio(static_cast<double>(sum.coded_bytes), sum.stored_bytes) : "",
                  Colour::dim}});
    }
    if (depth > 0 && level == depth) {
      next_ += sum.leaves;
      return;
    }
    if (const auto* children = node.get_if<Tree::Map>()) {
      for (const auto& [key, child] : *children) add_rows(table, child, join_path(path, key), key, level + 1, depth);
    } else if (const auto* list = node.get_if<Tree::List>()) {
      for (std::size_t i = 0; i < list->size(); ++i) {
        add_rows(table, (*list)[i], join_path(path, i), std::to_string(i), level + 1, depth);
      }
    }
  }

  const Manifest& manifest_;
  const StoredShares& shares_;
  std::vector<Leaf> leaves_;  // the wanted ones
  std::size_t leaf_count_;    // all
  std::size_t next_ = 0;      // the leaf that add_rows comes to next
};

void print_step(const StepRecord& record) {
  const double age = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() -
                     static_cast<double>(record.commit_unix_ns) * 1e-9;
  const double took = static_cast<double>(record.commit_unix_ns - record.init_unix_ns) * 1e-9;
  std::printf("%s  committed %s, %s ago, in %s\n",
              coloured(Colour::bold, "step " + std::to_string(record.step)).c_str(),
              local_time(record.commit_unix_ns).c_str(), human_age(age).c_str(), human_seconds(took).c_str());
  if (record.world_size != 1)
    std::printf("  saved by %s\n", counted(record.world_size, "process", "processes").c_str());
  for (const auto& [name, value] : record.metrics) {
    std::printf("  %s = %s\n", printable(name).c_str(), shortest(value).c_str());
  }
  if (record.custom_metadata_json != "null")
    std::printf("  metadata %s\n", printable(record.custom_metadata_json).c_str());
}

Json json_of(const StepRecord& record) {
  Json metrics = Json::object();
  for (const auto& [name, value] : record.metrics) metrics[name] = json_number(value);
  const Json metadata = Json::parse(record.custom_metadata_json, nullptr, /*allow_exceptions=*/false);
  return {{"step", record.step},
          {"attempt", record.attempt},
          {"world_size", record.world_size},
          {"started", utc_time(record.init_unix_ns)},
          {"committed", utc_time(record.commit_unix_ns)},
          {"metrics", std::move(metrics)},
          {"custom_metadata", metadata.is_discarded() ? Json(record.custom_metadata_json) : metadata}};
}

}  // namespace

Result<int> run_show(const CommonOptions& common, const ShowOptions& options) {
  MILEPOST_ASSIGN(CheckpointDirectory directory, CheckpointDirectory::open(common.directory, common.prefix));
  MILEPOST_ASSIGN(const std::int64_t step, directory.find_step(options.step));
  MILEPOST_ASSIGN(StepReader reader, directory.open_step(step));
  const StepRecord& record = reader.record();

  Json document = json_of(record);
  Json items = Json::array();
  std::string text;
  std::size_t shown = 0;
  if (!options.item.empty()) MILEPOST_TRY(reader.manifest(options.item));
  for (const ItemRecord& item : record.items) {
    if (!options.item.empty() && item.name != options.item) continue;
    MILEPOST_ASSIGN(const Manifest* manifest, reader.manifest(item.name));
    MILEPOST_ASSIGN(const StoredShares shares, StoredShares::of(reader, *manifest));
    ItemView view(*manifest, shares, options.patterns);
    shown += view.wanted_count();
    const std::uint64_t stored_bytes = item.stored_bytes + item.manifest_bytes;
    if (common.json) {
      items.push_back({{"name", item.name},
                       {"codec", manifest->codec},
                       {"leaf_count", view.leaf_count()},
                       {"raw_bytes", item.raw_bytes},
                       {"stored_bytes", stored_bytes},
                       {"leaves", view.to_json()}});
      continue;
    }
    if (view.wanted_count() == 0 && !options.patterns.empty()) continue;
    text += "\n" + coloured(Colour::bold, printable(item.name)) + "  " + counted(view.leaf_count(), "leaf", "leaves") +
            ", " + human_bytes(item.raw_bytes) + " stored in " + human_bytes(stored_bytes) + " (codec " +
            printable(manifest->codec) + ")\n" + view.to_text(options.depth);
  }
  if (shown == 0 && !options.patterns.empty()) {
    return Error(ErrorCode::not_found,
                 "no leaf of step " + std::to_string(step) + " matches " + options.patterns.front());
  }
  if (common.json) {
    document["items"] = std::move(items);
    print_json(document);
  } else {
    print_step(record);
    std::fputs(text.c_str(), stdout);
  }
  return status_ok;
}

}  // namespace milepost::tool
