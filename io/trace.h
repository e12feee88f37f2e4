// A trace of what the threads do, as Chrome trace events: a JSON file that ui.perfetto.dev and chrome://tracing show,
// with a track for each thread, one for transfers in flight, and one for each counter.
//
// While no trace is being written all of this costs one relaxed atomic load a call. Events are gathered in a
// buffer of bounded size, which is written whenever it is full, at flush() and stop(), and when the process
// exits. After each of these the file is a complete JSON document, so that one whose process was killed lacks
// only its last moments. All functions may be called from several threads at once.
//
// The format: "Trace Event Format", by the authors of Chrome's tracing; slices are complete events (X), spans
// nestable asynchronous ones (b, e).
#pragma once

#include "milepost/io/error.h"

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace milepost {

namespace trace_detail {
extern std::atomic<bool> on;
void counter(const char* name, std::uint64_t value) noexcept;
}  // namespace trace_detail

class Trace {
 public:
  // Writes a new trace to `path`, replacing what is there; "%p" in it stands for the process id. A trace that
  // is being written ends first. Disk errors later on end the trace silently.
  static Result<void> start(const std::string& path);
  // Once a process, as the environment variable MILEPOST_TRACE says, if it is set.
  static Result<void> start_from_environment();
  static void flush();
  static void stop();
  static bool is_on() { return trace_detail::on.load(std::memory_order_relaxed); }
};

struct TraceArg {
  std::string_view name;
  std::variant<std::int64_t, std::string_view> value;  // long strings are cut

  template <std::integral T>
  TraceArg(std::string_view arg_name, T number) : name(arg_name), value(static_cast<std::int64_t>(number)) {}
  TraceArg(std::string_view arg_name, std::string_view text) : name(arg_name), value(text) {}
};
using TraceArgs = std::initializer_list<TraceArg>;

// What the calling thread does from here to the end of the scope. `name` lives as long as the program.
class TraceSlice {
 public:
  explicit TraceSlice(const char* name, TraceArgs args = {}) {
    if (Trace::is_on()) begin(name, args);
  }
  ~TraceSlice() { end(); }
  TraceSlice(const TraceSlice&) = delete;
  TraceSlice& operator=(const TraceSlice&) = delete;

  // Ends it before the scope does.
  void end() {
    if (name_ != nullptr) emit();
  }

 private:
  void begin(const char* name, TraceArgs args) noexcept;
  void emit() noexcept;

  const char* name_ = nullptr;  // null: not traced
  std::int64_t begin_ns_ = 0;
  std::string args_;
};

// Something that begins in one thread and ends in any, such as a transfer. Not copyable, not for two threads at once.
class TraceSpan {
 public:
  TraceSpan() = default;
  explicit TraceSpan(const char* name, TraceArgs args = {}) {
    if (Trace::is_on()) begin(name, args);
  }
  ~TraceSpan() { end(); }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

  // For a span that was made without a name.
  void begin(const char* name, TraceArgs args) noexcept;
  void end() {
    if (name_ != nullptr) emit();
  }

 private:
  void emit() noexcept;

  const char* name_ = nullptr;  // null: not traced
  std::uint64_t id_ = 0;
};

// A value that is drawn over time.
inline void trace_counter(const char* name, std::uint64_t value) {
  if (Trace::is_on()) trace_detail::counter(name, value);
}

// Names the calling thread, for its track and for ps, top and perf; at most 15 bytes.
void name_thread(const char* name);

}  // namespace milepost
