// milepost ls: the steps of a directory.
#include "tools/milepost/checkpoint_directory.h"
#include "tools/milepost/commands.h"
#include "tools/milepost/json.h"
#include "tools/milepost/step_totals.h"
#include "tools/milepost/terminal.h"
#include "tools/milepost/text.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <cstdio>

namespace milepost::tool {
namespace {

// The names while they are short, then their number.
std::string items_text(const StepRecord& record) {
  std::string names;
  for (const ItemRecord& item : record.items) names += (names.empty() ? "" : ", ") + printable(item.name);
  return display_width(names) <= 24 ? names : counted(record.items.size(), "item", "items");
}

std::string metrics_text(const StepRecord& record) {
  std::string text;
  for (const auto& [name, value] : record.metrics) {
    char figure[40];
    std::snprintf(figure, sizeof figure, "%.6g", value);
    text += (text.empty() ? "" : "  ") + printable(name) + "=" + figure;
  }
  return text;
}

Json json_of(std::int64_t step, const StepRecord& record, std::int64_t now) {
  const Totals totals = totals_of(record);
  Json items = Json::array();
  for (const ItemRecord& item : record.items) {
    items.push_back({{"name", item.name},
                     {"handler", item.handler},
                     {"leaves", item.leaf_count},
                     {"raw_bytes", item.raw_bytes},
                     {"stored_bytes", item.stored_bytes + item.manifest_bytes}});
  }
  Json metrics = Json::object();
  for (const auto& [name, value] : record.metrics) metrics[name] = json_number(value);
  Json json = {{"step", step},
               {"committed", utc_time(record.commit_unix_ns)},
               {"age_s", seconds_between(record.commit_unix_ns, now)},
               {"commit_s", seconds_between(record.init_unix_ns, record.commit_unix_ns)},
               {"world_size", record.world_size},
               {"leaves", totals.leaves},
               {"raw_bytes", totals.raw_bytes},
               {"stored_bytes", totals.stored_bytes},
               {"items", std::move(items)},
               {"metrics", std::move(metrics)}};
  if (record.save) {
    json["save"] = {{"mode", record.save->mode},
                    {"codec", record.save->codec},
                    {"waited_s", static_cast<double>(record.save->waited_ns) * 1e-9},
                    {"captured_s", static_cast<double>(record.save->captured_ns) * 1e-9},
                    {"written_s", static_cast<double>(record.save->written_ns) * 1e-9},
                    {"retries", record.save->retries}};
  }
  return json;
}

}  // namespace

Result<int> run_ls(const CommonOptions& common) {
  MILEPOST_ASSIGN(CheckpointDirectory directory, CheckpointDirectory::open(common.directory, common.prefix));
  const std::int64_t now = now_unix_ns();
  using enum Table::Align;
  Table table({{"STEP", right},
               {"AGE", right},
               {"ITEMS", left},
               {"STATE", right},
               {"STORED", right},
               {"RATIO", right},
               {"FROZEN", right},
               {"COMMIT", right},
               {"METRICS", left}});
  Json steps = Json::array();
  Totals sum;
  std::uint64_t unreadable = 0;
  int status = status_ok;
  for (const std::int64_t step : directory.steps()) {
    const auto record = directory.read_record(step);
    if (record.has_error()) {
      if (record.error().code() == ErrorCode::not_found) continue;  // removed since the directory was listed
      ++unreadable;
      status = std::max(status, record.error().code() == ErrorCode::io ? status_failed : status_damaged);
      table.add_note({std::to_string(step), Colour::bold}, {printable(record.error().to_string()), Colour::red});
      steps.push_back({{"step", step}, {"error", json_error(record.error())}});
      continue;
    }
    const Totals totals = totals_of(*record);
    sum.raw_bytes += totals.raw_bytes;
    sum.stored_bytes += totals.stored_bytes;
    table.add({{std::to_string(step), Colour::bold},
               {human_age(seconds_between(record->commit_unix_ns, now))},
               {items_text(*record)},
               {human_bytes(totals.raw_bytes)},
               {human_bytes(totals.stored_bytes)},
               {human_ratio(static_cast<double>(totals.raw_bytes), static_cast<double>(totals.stored_bytes))},
               {record->save ? human_seconds(static_cast<double>(record->save->captured_ns) * 1e-9) : ""},
               {human_seconds(seconds_between(record->init_unix_ns, record->commit_unix_ns))},
               {metrics_text(*record)}});
    steps.push_back(json_of(step, *record, now));
  }

  if (common.json) {
    print_json({{"directory", directory.path()}, {"steps", std::move(steps)}});
    return status;
  }
  if (directory.steps().empty()) {
    std::printf("%s holds no step yet\n", directory.path().c_str());
    return status;
  }
  std::string summary =
      counted(directory.steps().size(), "step", "steps") + ", " + human_bytes(sum.stored_bytes) + " stored";
  if (unreadable > 0) summary += ", " + std::to_string(unreadable) + " cannot be read";
  std::printf("%s%s\n", table.to_string().c_str(), coloured(Colour::dim, summary).c_str());
  return status;
}

}  // namespace milepost::tool
