// milepost: looks into directories of checkpoints. Never changes one.
#include "tools/milepost/commands.h"

#include "milepost/engine/format/manifest.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

namespace milepost::tool {
namespace {

constexpr const char* description = "Looks into directories of checkpoints. Never changes one.";
constexpr const char* footer =
    "Exit status: 0 all is well, 1 something is damaged, 2 it could not run.\n"
    "\n"
    "Examples:\n"
    "  milepost ls /ckpts                            what is there\n"
    "  milepost show /ckpts                          what the latest step holds\n"
    "  milepost verify /ckpts --all                  is every byte as it was written?\n"
    "  milepost cat /ckpts latest model/w --stats    did this tensor blow up?\n"
    "\n"
    "milepost COMMAND --help says more.";
constexpr const char* ls_footer =
    "Steps are listed in ascending order. STATE is what was saved, STORED what it takes on disk,\n"
    "COMMIT the time from the call of save() until readers saw the step.\n"
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
  HelpFormat() { column_width(20); }
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string type = option->get_type_name();
    return type.empty() ? "" : " " + type.substr(0, type.find(':'));
  }
};

int run(int argc, char** argv) {
  CLI::App app(description, "milepost");
  app.formatter(std::make_shared<HelpFormat>());
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

  const auto complain = [](const std::string& message) {
    std::fprintf(stderr, "milepost: %s\n", message.c_str());
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
                                               : run_cat(common, cat_options);
  if (status.has_error()) {
    std::fflush(stdout);
    return complain(status.error().to_string());
  }
  return finished(*status);
}

}  // namespace
}  // namespace milepost::tool

int main(int argc, char** argv) { return milepost::tool::run(argc, argv); }
