// What a training process tells the job that started it, a line an event, on its standard output.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace main_job {

struct StepEvent {
  std::int64_t step = 0;
  float loss = 0;
  double compute_ms = 0;  // forward, backward, update; and fence(), in lazy mode
  double stall_ms = 0;    // inside save()
};

struct SavedEvent {
  std::int64_t step = 0;
  double stall_ms = 0;
  double durable_ms = 0;
  double committed_ms = 0;
  std::uint64_t raw_bytes = 0;
  std::uint64_t stored_bytes = 0;
};

// The process was told to stop, and did.
struct PreemptedEvent {
  std::int64_t step = 0;  // saved last
  double finish_ms = 0;   // from the notice to the end of the step that it was at
  double save_ms = 0;     // from there until the step was committed
  double left_s = 0;      // then, until the deadline
  std::string reason;     // "SIGTERM"
};

// One process, from its start to its end, as far as it got.
struct RunLog {
  std::optional<std::int64_t> resumed_from;  // none: from the beginning
  double restore_ms = 0;
  double warm_up_ms = 0;
  std::vector<StepEvent> steps;
  std::vector<SavedEvent> saves;
  std::optional<PreemptedEvent> preempted;
  std::string final_digest;  // empty unless it finished
};

// Written by the training process. They flush: the process may be killed at any time.
void log_resumed(std::int64_t step, double restore_ms);
void log_warm_up(double ms);
void log_step(const StepEvent& event);
void log_save_begun(std::int64_t step);
void log_saved(const SavedEvent& event);
void log_preempted(const PreemptedEvent& event);
void log_final(const std::string& digest);

// Takes one line into the log. Returns the step of a save that has just begun, if the line says so.
std::optional<std::int64_t> take_line(const std::string& line, RunLog& log);

}  // namespace main_job
