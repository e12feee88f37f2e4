// milepost verify: reads and checks every byte of steps.
#include "tools/milepost/checkpoint_directory.h"
#include "tools/milepost/commands.h"
#include "tools/milepost/json.h"
#include "tools/milepost/terminal.h"
#include "tools/milepost/text.h"

#include "milepost/io/try.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace milepost::tool {
namespace {

struct Verdict {
  std::int64_t step = 0;
  std::uint64_t raw_bytes = 0;
  std::uint64_t stored_bytes = 0;
  double seconds = 0;
  std::vector<Damage> damage;
};

// An error only if the step could not be checked; one that cannot even be opened, because of what is
// in it, is damaged.
Result<Verdict> verify_step(CheckpointDirectory& directory, std::int64_t step) {
  Verdict verdict;
  verdict.step = step;
  const auto started = std::chrono::steady_clock::now();
  auto reader = directory.open_step(step);
  if (reader.has_error()) {
    if (reader.error().code() != ErrorCode::corruption) return reader.error();
    Damage damage;
    damage.error = reader.error();
    verdict.damage.push_back(std::move(damage));
    return verdict;
  }
  for (const ItemRecord& item : reader->record().items) {
    verdict.raw_bytes += item.raw_bytes;
    verdict.stored_bytes += item.stored_bytes + item.manifest_bytes;
  }
  {
    ProgressBar bar("step " + std::to_string(step));
    MILEPOST_ASSIGN(verdict.damage, reader->verify(bar.callback()));
  }
  verdict.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  std::sort(verdict.damage.begin(), verdict.damage.end(),
            [](const Damage& a, const Damage& b) { return std::tie(a.file, a.offset) < std::tie(b.file, b.offset); });
  return verdict;
}

// One a line, the first of many.
std::string leaves_text(const std::vector<std::string>& leaves) {
  constexpr std::size_t shown_max = 8;
  std::string text;
  const std::size_t shown = leaves.size() <= shown_max ? leaves.size() : shown_max - 1;
  for (std::size_t i = 0; i < shown; ++i) text += "      " + printable(leaves[i]) + "\n";
  if (shown < leaves.size()) text += "      and " + std::to_string(leaves.size() - shown) + " more\n";
  return text;
}

void print_verdict(const Verdict& verdict) {
  const std::string name = coloured(Colour::bold, "step " + std::to_string(verdict.step));
  if (verdict.damage.empty()) {
    std::printf("%s  %s  %s read in %s\n", name.c_str(), coloured(Colour::green, "ok").c_str(),
                human_bytes(verdict.stored_bytes).c_str(), human_seconds(verdict.seconds).c_str());
    return;
  }
  std::printf("%s  %s in %s\n", name.c_str(), coloured(Colour::red, "damaged").c_str(),
              counted(verdict.damage.size(), "place", "places").c_str());
  for (const Damage& damage : verdict.damage) {
    std::string place;
    if (!damage.file.empty()) place += coloured(Colour::bold, printable(damage.file));
    if (damage.bytes > 0) {
      place += "  offset " + std::to_string(damage.offset) + ", " + counted(damage.bytes, "byte", "bytes");
    }
    if (!place.empty()) std::printf("  %s\n", place.c_str());
    // The whole story where it names the place, the end of it where the line above does.
    std::string why = damage.file.empty() ? damage.error.to_string() : damage.error.message();
    if (!damage.file.empty() && why.starts_with(damage.file + ": ")) why.erase(0, damage.file.size() + 2);
    std::printf("    %s\n", printable(why).c_str());
    if (!damage.leaves.empty()) {
      std::printf("    %s\n%s", damage.leaves.size() == 1 ? "leaf" : "leaves", leaves_text(damage.leaves).c_str());
    }
  }
}

Json json_of(const Verdict& verdict) {
  Json damages = Json::array();
  for (const Damage& damage : verdict.damage) {
    Json entry = Json::object();
    entry["file"] = damage.file.empty() ? Json(nullptr) : Json(damage.file);
    entry["offset"] = damage.offset;
    entry["bytes"] = damage.bytes;
    entry["leaves"] = damage.leaves;
    entry["error"] = json_error(damage.error);
    damages.push_back(std::move(entry));
  }
  return {{"step", verdict.step},           {"ok", verdict.damage.empty()},
          {"raw_bytes", verdict.raw_bytes}, {"stored_bytes", verdict.stored_bytes},
          {"seconds", verdict.seconds},     {"damage", std::move(damages)}};
}

}  // namespace

Result<int> run_verify(const CommonOptions& common, const VerifyOptions& options) {
  MILEPOST_ASSIGN(CheckpointDirectory directory, CheckpointDirectory::open(common.directory, common.prefix));
  // All names are looked up before the long work begins.
  std::vector<std::int64_t> steps;
  for (const std::string& name : options.steps) {
    MILEPOST_ASSIGN(const std::int64_t step, directory.find_step(name));
    if (std::find(steps.begin(), steps.end(), step) == steps.end()) steps.push_back(step);
  }
  if (options.all) {
    steps = directory.steps();
  } else if (steps.empty()) {
    MILEPOST_ASSIGN(const std::int64_t latest, directory.find_step("latest"));
    steps.push_back(latest);
  }

  Json verdicts = Json::array();
  std::size_t damaged = 0;
  for (const std::int64_t step : steps) {
    MILEPOST_ASSIGN(const Verdict verdict, verify_step(directory, step));
    damaged += verdict.damage.empty() ? 0 : 1;
    if (common.json) {
      verdicts.push_back(json_of(verdict));
    } else {
      print_verdict(verdict);
      std::fflush(stdout);
    }
  }
  if (common.json) {
    print_json({{"directory", directory.path()}, {"ok", damaged == 0}, {"steps", std::move(verdicts)}});
  } else if (steps.size() > 1) {
    const std::string summary =
        damaged == 0 ? "all " + std::to_string(steps.size()) + " steps are sound"
                     : std::to_string(damaged) + " of " + std::to_string(steps.size()) + " steps damaged";
    std::printf("%s\n", coloured(damaged == 0 ? Colour::green : Colour::red, summary).c_str());
  }
  return damaged == 0 ? status_ok : status_damaged;
}

}  // namespace milepost::tool
