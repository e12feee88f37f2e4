#include "milepost/io/trace.h"

#include "milepost/io/unique_fd.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <unordered_set>

namespace milepost {

std::atomic<bool> trace_detail::on{false};

namespace {

constexpr std::size_t trace_buffer_bytes = 64 << 10;
constexpr std::size_t text_bytes_max = 240;
constexpr std::string_view closing = "\n]\n";

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::int64_t thread_id() {
  thread_local const std::int64_t id = ::gettid();
  return id;
}

void append_quoted(std::string& out, std::string_view text) {
  if (text.size() > text_bytes_max) {
    std::size_t end = text_bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not within a character
    text = text.substr(0, end);
  }
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  out += '"';
}

// An event that there is no memory for is left out.
template <class Function> void with_luck(const Function& fn) noexcept {
  try {
    fn();
  } catch (const std::bad_alloc&) {
  }
}

std::string args_json(TraceArgs args) {
  std::string json = "{";
  for (const TraceArg& arg : args) {
    if (json.size() > 1) json += ',';
    append_quoted(json, arg.name);
    json += ':';
    if (const auto* number = std::get_if<std::int64_t>(&arg.value)) {
      json += std::to_string(*number);
    } else {
      append_quoted(json, std::get<std::string_view>(arg.value));
    }
  }
  json += '}';
  return json;
}

// Microseconds with three decimals, the unit of the format.
void append_us(std::string& out, std::int64_t ns) {
  char text[32];
  std::snprintf(text, sizeof(text), "%lld.%03d", static_cast<long long>(ns / 1000), static_cast<int>(ns % 1000));
  out += text;
}

std::string event(char kind, std::string_view name, std::int64_t ns) {
  std::string text = "{\"ph\":\"";
  text += kind;
  text += "\",\"pid\":" + std::to_string(::getpid()) + ",\"tid\":" + std::to_string(thread_id()) + ",\"ts\":";
  append_us(text, ns);
  text += ",\"name\":";
  append_quoted(text, name);
  return text;
}

// The file being written.
class Writer {
 public:
  Result<void> start(std::string path) {
    if (const std::size_t at = path.find("%p"); at != std::string::npos)
      path.replace(at, 2, std::to_string(::getpid()));
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!fd) return Error::from_errno(errno, "open " + path);
    const std::lock_guard lock(mutex_);
    stop_locked();
    fd_ = std::move(fd);
    written_ = 0;
    named_.clear();
    buffer_ = "[";
    trace_detail::on = true;
    write_out();
    return {};
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    stop_locked();
  }

  void flush() {
    const std::lock_guard lock(mutex_);
    if (fd_) write_out();
  }

  // Around a fork: the file is the parent's, and the child is to find the mutex free.
  void before_fork() { mutex_.lock(); }
  void after_fork_in_parent() { mutex_.unlock(); }
  void after_fork_in_child() {
    trace_detail::on = false;
    fd_ = UniqueFd();
    buffer_.clear();
    mutex_.unlock();
  }

  void add(std::string_view event_text) {
    const std::lock_guard lock(mutex_);
    if (!fd_) return;
    if (named_.insert(thread_id()).second) {
      char name[16] = "";
      ::pthread_getname_np(::pthread_self(), name, sizeof(name));
      add_locked(event('M', "thread_name", 0) + ",\"args\":" + args_json({{"name", std::string_view(name)}}) + '}');
    }
    add_locked(event_text);
  }

 private:
  void add_locked(std::string_view event_text) {
    if (buffer_.size() + event_text.size() > trace_buffer_bytes) write_out();
    buffer_.reserve(buffer_.size() + event_text.size() + 2 + closing.size());  // all of it, or nothing
    buffer_ += written_ + buffer_.size() > 1 ? ",\n" : "\n";
    buffer_ += event_text;
  }

  // The array is closed behind what is written; the next write begins where the closing does.
  void write_out() {
    const std::size_t bytes = buffer_.size();
    buffer_ += closing;
    for (std::size_t done = 0; done < buffer_.size();) {
      const ssize_t result =
          ::pwrite(fd_.get(), buffer_.data() + done, buffer_.size() - done, static_cast<off_t>(written_ + done));
      if (result < 0 && errno == EINTR) continue;
      if (result <= 0) {
        trace_detail::on = false;
        fd_ = UniqueFd();
        break;
      }
      done += static_cast<std::size_t>(result);
    }
    written_ += bytes;
    buffer_.clear();
  }

  void stop_locked() {
    trace_detail::on = false;
    if (fd_) write_out();
    fd_ = UniqueFd();
  }

  std::mutex mutex_;
  // Guarded by mutex_.
  UniqueFd fd_;  // empty: nothing is being written
  std::uint64_t written_ = 0;
  std::string buffer_;
  std::unordered_set<std::int64_t> named_;  // threads whose name is in the file
};

// Never destroyed: threads may trace until the process is gone.
Writer& writer() {
  static Writer* const instance = [] {
    std::atexit(Trace::flush);
    ::pthread_atfork([] { writer().before_fork(); }, [] { writer().after_fork_in_parent(); },
                     [] { writer().after_fork_in_child(); });
    return new Writer;
  }();
  return *instance;
}

}  // namespace

Result<void> Trace::start(const std::string& path) { return writer().start(path); }

Result<void> Trace::start_from_environment() {
  static const Result<void> outcome = []() -> Result<void> {
    const char* const path = std::getenv("MILEPOST_TRACE");
    if (path == nullptr || *path == '\0') return {};
    auto started = start(path);
    if (started.has_error()) return started.error().within("MILEPOST_TRACE");
    return {};
  }();
  return outcome;
}

void Trace::flush() {
  if (is_on()) with_luck([] { writer().flush(); });
}

void Trace::stop() { writer().stop(); }

void TraceSlice::begin(const char* name, TraceArgs args) noexcept {
  with_luck([&] {
    if (args.size() > 0) args_ = args_json(args);
    name_ = name;
    begin_ns_ = now_ns();
  });
}

void TraceSlice::emit() noexcept {
  const std::int64_t end_ns = now_ns();
  const char* const name = std::exchange(name_, nullptr);
  with_luck([&] {
    std::string text = event('X', name, begin_ns_);
    text += ",\"dur\":";
    append_us(text, end_ns - begin_ns_);
    if (!args_.empty()) text += ",\"args\":" + args_;
    writer().add(text + '}');
  });
}

void TraceSpan::begin(const char* name, TraceArgs args) noexcept {
  static std::atomic<std::uint64_t> last_id{0};
  id_ = ++last_id;
  with_luck([&] {
    writer().add(event('b', name, now_ns()) + ",\"cat\":\"milepost\",\"id\":" + std::to_string(id_) +
                 ",\"args\":" + args_json(args) + '}');
    name_ = name;
  });
}

void TraceSpan::emit() noexcept {
  const char* const name = std::exchange(name_, nullptr);
  with_luck(
      [&] { writer().add(event('e', name, now_ns()) + ",\"cat\":\"milepost\",\"id\":" + std::to_string(id_) + '}'); });
}

void trace_detail::counter(const char* name, std::uint64_t value) noexcept {
  with_luck([&] { writer().add(event('C', name, now_ns()) + ",\"args\":" + args_json({{"value", value}}) + '}'); });
}

void name_thread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

}  // namespace milepost
