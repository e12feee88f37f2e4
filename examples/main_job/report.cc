#include "examples/main_job/report.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

namespace main_job {
namespace {

struct Style {
  const bool tty = isatty(STDOUT_FILENO) != 0 && getenv("NO_COLOR") == nullptr;
  const char* bold = tty ? "\033[1m" : "";
  const char* dim = tty ? "\033[2m" : "";
  const char* good = tty ? "\033[32m" : "";
  const char* bad = tty ? "\033[31m" : "";
  const char* off = tty ? "\033[0m" : "";
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double most(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// Milliseconds a step, saving included. The first step of a process, which also wakes threads and
// touches memory, does not count.
double mean_step_ms(const std::vector<const RunLog*>& logs) {
  double sum = 0;
  std::size_t count = 0;
  for (const RunLog* log : logs) {
    for (std::size_t i = 1; i < log->steps.size(); ++i, ++count)
      sum += log->steps[i].compute_ms + log->steps[i].stall_ms;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

// Milliseconds of a step during which no save was in flight, in the same processes: what a step costs
// without saving, measured on the same machine in the same minutes.
double mean_undisturbed_ms(const std::vector<const RunLog*>& logs) {
  double sum = 0;
  std::size_t count = 0;
  for (const RunLog* log : logs) {
    double in_flight_ms = 0;  // what is left of the save in flight
    for (std::size_t i = 1; i < log->steps.size(); ++i) {
      for (const SavedEvent& save : log->saves) {
        if (save.step == log->steps[i - 1].step) in_flight_ms = save.committed_ms - save.stall_ms;
      }
      if (in_flight_ms <= 0) {
        sum += log->steps[i].compute_ms;
        ++count;
      }
      in_flight_ms -= log->steps[i].compute_ms;
    }
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

struct Comparison {
  std::int64_t losses = 0;
  std::int64_t losses_differ = 0;
  std::int64_t repeated = 0;  // steps that were done again after the kill
  bool state_same = false;
  bool resumed_where_stopped = true;  // whoever was told to stop
};

Comparison compare(const Outcome& outcome) {
  Comparison result;
  const auto& plain = outcome.uninterrupted.steps;
  std::int64_t furthest = 0;
  const RunLog* before = nullptr;
  for (const RunLog& log : outcome.interrupted) {
    if (before && before->preempted && log.resumed_from != before->preempted->step)
      result.resumed_where_stopped = false;
    before = &log;
    for (const StepEvent& event : log.steps) {
      const auto index = static_cast<std::size_t>(event.step - 1);
      ++result.losses;
      if (index >= plain.size() || !same_bits(plain[index].loss, event.loss)) ++result.losses_differ;
      if (event.step <= furthest) ++result.repeated;
      furthest = std::max(furthest, event.step);
    }
  }
  const std::string& digest = outcome.interrupted.back().final_digest;
  result.state_same = !digest.empty() && digest == outcome.uninterrupted.final_digest;
  return result;
}

class Table {
 public:
  explicit Table(const Style& style) : style_(style) {}
  void title(const char* text) const { std::printf("\n%s%s%s\n", style_.bold, text, style_.off); }
  template <class... Args> void row(const char* name, const char* format, Args... args) const {
    std::printf("  %-26s ", name);
    std::printf(format, args...);
    std::printf("\n");
  }

 private:
  const Style& style_;
};

const char* name_of_interrupted(const Outcome& outcome) {
  return outcome.interrupted.front().preempted ? "stopped and resumed" : "killed and resumed";
}

void print_curve(const Outcome& outcome, const Style& style) {
  std::printf("\n%sLoss%s   step   uninterrupted   %s\n", style.bold, style.off, name_of_interrupted(outcome));
  const auto& plain = outcome.uninterrupted.steps;
  const std::size_t rows = 8;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t index = r * (plain.size() - 1) / (rows - 1);
    const StepEvent* other = nullptr;
    for (const RunLog& log : outcome.interrupted) {
      for (const StepEvent& event : log.steps) {
        if (event.step == plain[index].step) other = &event;
      }
    }
    if (!other) continue;
    const bool same = same_bits(plain[index].loss, other->loss);
    std::printf("       %5lld   %13.7f   %18.7f   %s%s%s\n", static_cast<long long>(plain[index].step),
                static_cast<double>(plain[index].loss), static_cast<double>(other->loss), same ? style.good : style.bad,
                same ? "same bits" : "DIFFERENT", style.off);
  }
}

void print_processes(const Outcome& outcome, const Style& style) {
  std::printf("\n%sWhat happened%s\n", style.bold, style.off);
  std::printf("  uninterrupted: steps 1 to %zu\n", outcome.uninterrupted.steps.size());
  for (std::size_t i = 0; i < outcome.interrupted.size(); ++i) {
    const RunLog& log = outcome.interrupted[i];
    if (log.steps.empty()) continue;
    const char* const end_of_it = i + 1 == outcome.interrupted.size() ? "finished"
                                  : log.preempted                     ? "told to stop"
                                                                      : "killed";
    const auto first = static_cast<long long>(log.steps.front().step);
    const auto end = static_cast<long long>(log.steps.back().step);
    if (log.resumed_from) {
      std::printf("  resumed from step %lld in %.0f ms: steps %lld to %lld, %s\n",
                  static_cast<long long>(*log.resumed_from), log.restore_ms, first, end, end_of_it);
    } else {
      std::printf("  saving %s: steps %lld to %lld, %s\n", outcome.when.c_str(), first, end, end_of_it);
    }
    if (log.preempted) {
      const PreemptedEvent& stop = *log.preempted;
      std::printf(
          "  %s came during step %lld: it took %.0f ms to finish the step, %.0f ms to save it; %.1f s were left\n",
          stop.reason.c_str(), static_cast<long long>(stop.step), stop.finish_ms, stop.save_ms, stop.left_s);
    }
  }
  if (!outcome.torn_attempt.empty()) {
    std::printf("  the kill struck during a save, and left %s uncommitted\n", outcome.torn_attempt.c_str());
  }
}

void print_costs(const Outcome& outcome, const Style& style) {
  std::vector<double> stalls, durables, committed, plain_steps;
  std::uint64_t raw = 0, stored = 0;
  std::vector<const RunLog*> saving;
  double warm_up_ms = 0;
  for (const RunLog& log : outcome.interrupted) {
    saving.push_back(&log);
    warm_up_ms = std::max(warm_up_ms, log.warm_up_ms);
    for (const SavedEvent& save : log.saves) {
      stalls.push_back(save.stall_ms);
      durables.push_back(save.durable_ms);
      committed.push_back(save.committed_ms);
      raw = save.raw_bytes;
      stored = save.stored_bytes;
    }
  }
  for (const StepEvent& event : outcome.uninterrupted.steps) plain_steps.push_back(event.compute_ms);
  if (stalls.empty()) return;
  const double step_ms = median(plain_steps);
  const double durable_ms = median(durables);
  const double rate = static_cast<double>(raw) / durable_ms / 1e6;
  const double alone = mean_step_ms({&outcome.uninterrupted});
  const double with = mean_step_ms(saving);
  const double undisturbed = mean_undisturbed_ms(saving);

  const Table table(style);
  table.title("What it cost");
  table.row("state", "%.1f MB, %.1f MB on disk", static_cast<double>(raw) / 1e6, static_cast<double>(stored) / 1e6);
  table.row("compression", "%.3f : 1 (codec %s, lossless)", static_cast<double>(raw) / static_cast<double>(stored),
            outcome.codec.c_str());
  table.row("saves", "%zu, %s, mode %s", stalls.size(), outcome.when.c_str(), outcome.mode.c_str());
  table.row("stall of a save", "median %.1f ms, at most %.1f ms: %.1f %% of a step of %.0f ms", median(stalls),
            most(stalls), 100 * median(stalls) / step_ms, step_ms);
  table.row("until durable", "median %.0f ms, at most %.0f ms, while training goes on", durable_ms, most(durables));
  table.row("until committed", "median %.0f ms, at most %.0f ms", median(committed), most(committed));
  table.row("throughput", "%.2f GB of state a second; the idle disk writes %.2f GB/s", rate, outcome.disk_gb_per_s);
  table.row("warming the pool up", "%.0f ms, once a process, before training", warm_up_ms);
  if (undisturbed > 0) {
    table.row("the run slowed down by", "%.1f %%: %.1f ms a step, against %.1f while no save was in flight",
              100 * (with / undisturbed - 1), with, undisturbed);
  }
  table.row("the uninterrupted run", "%.1f ms a step, in another process minutes earlier", alone);
}

}  // namespace

bool print_report(const Outcome& outcome) {
  const Style style;
  const Comparison comparison = compare(outcome);
  print_curve(outcome, style);
  print_processes(outcome, style);
  print_costs(outcome, style);

  const bool same = comparison.losses_differ == 0 && comparison.state_same && comparison.resumed_where_stopped;
  std::printf("\n%s%s%s  %lld losses compared (%lld steps were done twice), %lld differ; final state %s\n",
              same ? style.good : style.bad, same ? "Bit for bit the same." : "NOT THE SAME.", style.off,
              static_cast<long long>(comparison.losses), static_cast<long long>(comparison.repeated),
              static_cast<long long>(comparison.losses_differ), comparison.state_same ? "identical" : "DIFFERENT");
  if (outcome.interrupted.front().preempted) {
    std::printf("  resumed %s the step at which it stopped\n", comparison.resumed_where_stopped ? "from" : "NOT from");
  }
  std::printf("%s  %-20s%s\n  %-20s%s%s\n", style.dim, "uninterrupted", outcome.uninterrupted.final_digest.c_str(),
              name_of_interrupted(outcome), outcome.interrupted.back().final_digest.c_str(), style.off);
  std::printf("\nLook at the checkpoints with  milepost ls %s\n", outcome.directory.c_str());
  return same;
}

}  // namespace main_job
