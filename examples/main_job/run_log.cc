#include "examples/main_job/run_log.h"

#include <cstdio>
#include <sstream>

namespace main_job {
namespace {

template <class... Args> void say(const char* format, Args... args) {
  std::printf(format, args...);
  std::fflush(stdout);
}

}  // namespace

void log_resumed(std::int64_t step, double restore_ms) {
  say("resumed %lld %f\n", static_cast<long long>(step), restore_ms);
}
void log_warm_up(double ms) { say("warm_up %f\n", ms); }
// The loss as a hexadecimal float: every bit of it.
void log_step(const StepEvent& e) {
  say("step %lld %a %f %f\n", static_cast<long long>(e.step), static_cast<double>(e.loss), e.compute_ms, e.stall_ms);
}
void log_save_begun(std::int64_t step) { say("save %lld\n", static_cast<long long>(step)); }
void log_saved(const SavedEvent& e) {
  say("saved %lld %f %f %f %llu %llu\n", static_cast<long long>(e.step), e.stall_ms, e.durable_ms, e.committed_ms,
      static_cast<unsigned long long>(e.raw_bytes), static_cast<unsigned long long>(e.stored_bytes));
}
void log_preempted(const PreemptedEvent& e) {
  say("preempted %lld %f %f %f %s\n", static_cast<long long>(e.step), e.finish_ms, e.save_ms, e.left_s,
      e.reason.c_str());
}
void log_final(const std::string& digest) { say("final %s\n", digest.c_str()); }

std::optional<std::int64_t> take_line(const std::string& line, RunLog& log) {
  std::istringstream in(line);
  std::string kind;
  in >> kind;
  if (kind == "resumed") {
    std::int64_t step = 0;
    in >> step >> log.restore_ms;
    log.resumed_from = step;
  } else if (kind == "warm_up") {
    in >> log.warm_up_ms;
  } else if (kind == "step") {
    StepEvent event;
    std::string loss;  // streams do not read hexadecimal floats
    in >> event.step >> loss >> event.compute_ms >> event.stall_ms;
    event.loss = std::stof(loss);
    log.steps.push_back(event);
  } else if (kind == "save") {
    std::int64_t step = 0;
    in >> step;
    return step;
  } else if (kind == "saved") {
    SavedEvent event;
    in >> event.step >> event.stall_ms >> event.durable_ms >> event.committed_ms >> event.raw_bytes >>
        event.stored_bytes;
    log.saves.push_back(event);
  } else if (kind == "preempted") {
    PreemptedEvent event;
    in >> event.step >> event.finish_ms >> event.save_ms >> event.left_s >> std::ws;
    std::getline(in, event.reason);
    log.preempted = event;
  } else if (kind == "final") {
    in >> log.final_digest;
  }
  return std::nullopt;
}

}  // namespace main_job
