// milepost: looks into directories of checkpoints, and prunes them.
#include "tools/milepost/commands.h"
#include "tools/milepost/text.h"

#include "milepost/engine/format/manifest.h"

#include <CLI/CLI.hpp>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <memory>

namespace milepost::tool {
namespace {

constexpr const char* description = "Looks into directories of checkpoints. Only prune changes one.";
constexpr const char* footer =
    "Exit status: 0 all is well, 1 something is damaged or could not be removed, 2 it could not run.\n"
    "\n"
    "Examples:\n"
    "  milepost ls /ckpts                            what is there\n"
    "  milepost show /ckpts                          what the latest step holds\n"
    "  milepost verify /ckpts --all                  is every byte as it was written?\n"
    "  milepost cat /ckpts latest model/w --stats    did this tensor blow up?\n"
    "  milepost plan /ckpts --keep-latest 5          what could go, and what that frees\n"
    "\n"
    "milepost COMMAND --help says more.";
constexpr const char* ls_footer =
    "Steps are listed in ascending order. STATE is what was saved, STORED what it takes on disk,\n"
    "FROZEN the time from the call of save() until the state was captured, COMMIT until readers saw\n"
    "the step.\n"
    "\n"
    "Examples:\n"
    "  milepost ls /ckpts\n"
    "  milepost ls /ckpts --json | jq '.steps[-1].metrics.loss'";
constexpr const char* show_footer =
    "RATIO is raw over stored bytes; for a leaf an estimate, its share of the chunks it lies in.\n"
    "In patterns, * stands for anything but /, ** for anything, ? for one character but /. A pattern\n"
    "without any of them stands for a leaf, or all leaves below.\n"
    "\n"
    "Examples:\n"
    "  milepost show /ckpts\n"
    "  milepost show /ckpts 4000 optimizer --depth 2\n"
    "  milepost show /ckpts latest --path 'layers/*/attention/**' --path head";
constexpr const char* verify_footer =
    "Reads the step record, manifests, chunk tables and every chunk, and compares all digests.\n"
    "Exit status: 0 all is as it was written, 1 something is damaged, 2 it could not find out.\n"
    "\n"
    "Examples:\n"
    "  milepost verify /ckpts                   the latest step\n"
    "  milepost verify /ckpts 3000 4000\n"
    "  milepost verify /ckpts --all --json";
constexpr const char* cat_footer =
    "Values come in row-major order, the index of the first at the head of each line. Statistics are\n"
    "of the finite values; those of complex numbers, of their absolute values.\n"
    "\n"
    "Examples:\n"
    "  milepost cat /ckpts latest model/layers/0/w --limit 20\n"
    "  milepost cat /ckpts 4000 model/layers/0/w --stats\n"
    "  milepost cat /ckpts 4000 model/layers/0/w --raw > w.f32";

constexpr const char* plan_footer =
    "The --keep options add up: a step is kept if one of them keeps it. The newest step always is, and\n"
    "so is one that cannot be read. A TIME is 90s, 30m, 1h30m or 7d, measured between commits.\n"
    "Nothing is removed: that is what milepost prune is for, with the same options.\n"
    "\n"
    "Examples:\n"
    "  milepost plan /ckpts --keep-latest 5\n"
    "  milepost plan /ckpts --keep-best 3 --metric loss --mode min --keep-latest 1\n"
    "  milepost plan /ckpts --keep-last-duration 1d --keep-every-duration 6h --keep-step 4000";
constexpr const char* prune_footer =
    "Shows what milepost plan shows, asks, and removes the steps for good. A step that somebody has\n"
    "open, or that is being saved, is not touched. Where nobody can be asked, --yes is needed.\n"
    "Exit status: 0 done, 1 you said no, not all could be removed, or something is damaged, 2 it could\n"
    "not run.\n"
    "\n"
    "Examples:\n"
    "  milepost prune /ckpts --keep-latest 5\n"
    "  milepost prune /ckpts --keep-best 3 --metric loss --mode min --keep-every-steps 1000 --yes";

void add_common(CLI::App& command, CommonOptions& common) {
  command.add_option("DIR", common.directory, "Directory of checkpoints")->required()->type_name("");
  command.add_flag("--json", common.json, "One JSON document instead of text");
  command.add_option("--prefix", common.prefix, "Prefix of the steps' names, where the directory mixes several")
      ->type_name("TEXT");
}

CLI::Option* add_step(CLI::App& command, std::string& step) {
  return command.add_option("STEP", step, "A number, or latest")->type_name("");
}

// Of an option, only its name and what it takes: no names of validators, no lists of exclusions.
class HelpFormat : public CLI::Formatter {
 public:
  explicit HelpFormat(std::size_t width) { column_width(width); }
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string type = option->get_type_name();
    return type.empty() ? "" : " " + type.substr(0, type.find(':'));
  }
};

void add_keep(CLI::App& command, KeepOptions& keep) {
  command.formatter(std::make_shared<HelpFormat>(30));
  const CLI::Validator at_least_one(
      [](const std::string& text) {
        std::int64_t number = 0;
        const char* end = text.data() + text.size();
        const auto parsed = std::from_chars(text.data(), end, number);
        const bool valid = parsed.ec == std::errc{} && parsed.ptr == end && number >= 1;
        return valid ? "" : text + " is no whole number of at least 1";
      },
      "");
  const auto number = [&](const char* name, std::optional<std::int64_t>& value, const char* what) {
    command.add_option(name, value, what)->type_name("N")->check(at_least_one);
  };
  number("--keep-latest", keep.latest, "The newest N steps");
  number("--keep-best", keep.best, "The best N by --metric; of equals the later ones, NaN last");
  command.add_option("--metric", keep.metric, "What --keep-best ranks by")->type_name("NAME");
  command.add_option("--mode", keep.mode, "min: less is better; max: more is")
      ->type_name("MODE")
      ->check(CLI::IsMember({"min", "max"}));
  CLI::Option* drop = command.add_flag("--drop-without-metrics", keep.drop_without_metrics,
                                       "--keep-best does not keep steps without the metric");
  command.add_flag("--keep-without-metrics")->description("It does (the default)")->excludes(drop);
  number("--keep-every-steps", keep.every_steps, "The multiples of N");
  command.add_option("--keep-every-duration", keep.every_duration, "One in that time")->type_name("TIME");
  command.add_option("--keep-last-duration", keep.last_duration, "Those of that time before the newest")
      ->type_name("TIME");
  command.add_option("--keep-step", keep.steps, "This one: a number, or latest (may be repeated)")
      ->type_name("STEP")
      ->allow_extra_args(false);
}

int run(int argc, char** argv) {
  CLI::App app(description, "milepost");
  app.formatter(std::make_shared<HelpFormat>(20));
  app.footer(footer);
  app.require_subcommand(1);
  app.set_help_flag("-h,--help", "This text");
  app.set_version_flag("--version",
                       "milepost " MILEPOST_VERSION " (format " + std::to_string(format_major) + "." +
                           std::to_string(format_minor) + ")",
                       "The versions of the command and of the format on disk");

  CommonOptions common;
  CLI::App& ls = *app.add_subcommand("ls", "Lists the steps of a directory")->footer(ls_footer);
  add_common(ls, common);

  ShowOptions show_options;
  CLI::App& show = *app.add_subcommand("show", "Shows the tree of a step: dtypes, shapes, sizes")->footer(show_footer);
  add_common(show, common);
  add_step(show, show_options.step);
  show.add_option("ITEM", show_options.item, "Only this item")->type_name("");
  show.add_option("--path", show_options.patterns, "Only leaves that match (may be repeated)")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  show.add_option("--depth", show_options.depth, "Levels of the tree to show; sums below")
      ->type_name("N")
      ->check(CLI::PositiveNumber);

  VerifyOptions verify_options;
  CLI::App& verify = *app.add_subcommand("verify", "Reads and checks every byte of steps")->footer(verify_footer);
  add_common(verify, common);
  CLI::Option* verify_steps =
      verify.add_option("STEP", verify_options.steps, "Numbers, or latest (default: latest)")->type_name("");
  verify.add_flag("--all", verify_options.all, "All steps")->excludes(verify_steps);

  CatOptions cat_options;
  CLI::App& cat = *app.add_subcommand("cat", "Prints the values of a leaf, or their statistics")->footer(cat_footer);
  add_common(cat, common);
  add_step(cat, cat_options.step)->required();
  cat.add_option("PATH", cat_options.path, "Path of the leaf")->required()->type_name("");
  cat.add_option("--item", cat_options.item, "The item, where several have that path")->type_name("NAME");
  CLI::Option* limit = cat.add_option("--limit", cat_options.limit, "Elements to print; 0: all (default: 100)")
                           ->type_name("N")
                           ->check(CLI::NonNegativeNumber);
  CLI::Option* stats = cat.add_flag("--stats", cat_options.stats, "Minimum, maximum, mean, ... instead of values");
  cat.add_flag("--raw", cat_options.raw, "The packed bytes, as they are in memory")
      ->excludes(stats)
      ->excludes(limit)
      ->excludes("--json");

  KeepOptions keep_options;
  CLI::App& plan = *app.add_subcommand("plan", "Shows which steps a policy keeps, and why")->footer(plan_footer);
  add_common(plan, common);
  add_keep(plan, keep_options);

  bool yes = false;
  CLI::App& prune = *app.add_subcommand("prune", "Removes the steps that a policy does not keep")->footer(prune_footer);
  add_common(prune, common);
  add_keep(prune, keep_options);
  prune.add_flag("--yes", yes, "Without asking");

  const auto complain = [](const std::string& message) {
    std::fprintf(stderr, "milepost: %s\n", printable(message).c_str());
    return status_failed;
  };
  // A full disk or a closed pipe must not look like success.
  const auto finished = [&](int status) {
    return std::fflush(stdout) == 0 && std::ferror(stdout) == 0 ? status : complain("standard output: cannot write");
  };
  if (argc < 2) {
    std::fputs(app.help().c_str(), stderr);
    return status_failed;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help, --version
    app.exit(wanted);
    return finished(status_ok);
  } catch (const CLI::ParseError& error) {
    const auto used = app.get_subcommands();
    const std::string name = used.empty() ? "milepost" : "milepost " + used.front()->get_name();
    return complain(std::string(error.what()) + "; see " + name + " --help");
  }

  const Result<int> status = ls.parsed()       ? run_ls(common)
                             : show.parsed()   ? run_show(common, show_options)
                             : verify.parsed() ? run_verify(common, verify_options)
                             : plan.parsed()   ? run_plan(common, keep_options)
                             : prune.parsed()  ? run_prune(common, keep_options, yes)
                                               : run_cat(common, cat_options);
  if (status.has_error()) {
    std::fflush(stdout);
    return complain(status.error().to_string());
  }
  return finished(*status);
}

}  // namespace
}  // namespace milepost::tool

int main(int argc, char** argv) try { return milepost::tool::run(argc, argv); } catch (const std::exception& error) {
  std::fprintf(stderr, "milepost: %s\n", error.what());
  return milepost::tool::status_failed;
}
