// Asio's signal_set installs a handler of its own that wakes the set's io_context, forgets the handler
// that was there, and leaves the default behind when the last set goes. So, for the first watch of a signal:
//
//   1. look up the application's action;
//   2. add the signal to the Asio set: Asio's handler is in place;
//   3. put a link in front: our handler, which calls Asio's, then the application's.
//
// and for the last watch the way back. Between 2 and 3 a signal reaches Asio alone, and on the way
// back it meets the default for as long: Asio gives no way to close these gaps, of a microsecond each.
//
// A handler of the application's that was installed over ours may keep calling ours for ever, so a
// link that was covered when its watch went is not used again: the next one takes another function.
#include "milepost/io/signal_watch.h"

#include "milepost/io/signal_guard.h"
#include "milepost/io/try.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace milepost {
namespace {

namespace asio = boost::asio;

using Action = struct sigaction;
using PlainHandler = void (*)(int);
using InfoHandler = void (*)(int, siginfo_t*, void*);

constexpr int signal_end = NSIG;
constexpr std::size_t links_max = 32;

// A handler of either kind, SIG_DFL or SIG_IGN, as a number: they are compared, and kept in atomics.
using Address = std::uintptr_t;
Address address_of(PlainHandler handler) { return reinterpret_cast<Address>(handler); }
Address address_of(InfoHandler handler) { return reinterpret_cast<Address>(handler); }
Address handler_of(const Action& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 ? address_of(action.sa_sigaction) : address_of(action.sa_handler);
}
bool is_function(Address handler) { return handler != address_of(SIG_DFL) && handler != address_of(SIG_IGN); }

// What our handler reads: atomics only, because it may run in any thread at any time.
struct Link {
  std::atomic<Address> previous{0};
  std::atomic<bool> takes_info{false};  // of the previous: SA_SIGINFO
  std::atomic<bool> once{false};        // SA_RESETHAND: the default comes after it
  std::atomic<Address> asio{0};         // 0: nobody hears of it any more
  std::atomic<pid_t> process{0};
};
std::array<std::array<Link, signal_end>, links_max> links;
static_assert(std::atomic<Address>::is_always_lock_free && std::atomic<pid_t>::is_always_lock_free);

void die_by_default(int signal) {
  std::signal(signal, SIG_DFL);
  raise(signal);
  sigset_t it;
  sigemptyset(&it);
  sigaddset(&it, signal);
  pthread_sigmask(SIG_UNBLOCK, &it, nullptr);  // blocked while its handler runs, and perhaps after it
}

void handle(Link& link, int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const Address previous = link.once.load() ? link.previous.exchange(address_of(SIG_DFL)) : link.previous.load();
  const Address asio = getpid() == link.process.load() ? link.asio.load() : 0;
  if (asio != 0) reinterpret_cast<PlainHandler>(asio)(signal);
  if (is_function(previous)) {
    if (link.takes_info.load()) {
      reinterpret_cast<InfoHandler>(previous)(signal, info, context);
    } else {
      reinterpret_cast<PlainHandler>(previous)(signal);
    }
  } else if (previous == address_of(SIG_DFL) && asio == 0) {
    die_by_default(signal);
  }
  errno = saved_errno;
}

template <std::size_t n> void handle_by_link(int signal, siginfo_t* info, void* context) {
  handle(links[n][static_cast<std::size_t>(signal)], signal, info, context);
}

template <std::size_t... n> constexpr std::array<InfoHandler, sizeof...(n)> make_handlers(std::index_sequence<n...>) {
  return {handle_by_link<n>...};
}
constexpr auto handlers = make_handlers(std::make_index_sequence<links_max>());

// What is installed for one signal.
struct Installation {
  int watches = 0;
  std::size_t link = 0;
  Action application{};  // before us
  Action asio{};

  // The application has signal sets of its own; Asio's handler serves them all.
  bool asio_was_there() const { return handler_of(application) == handler_of(asio); }
  bool is_in_front(const Action& current) const {
    return link < links_max && handler_of(current) == address_of(handlers[link]);
  }
};
std::mutex installation_mutex;
std::array<Installation, signal_end> installations;  // guarded by installation_mutex

Action current_action(int signal) {
  Action action{};
  sigaction(signal, nullptr, &action);  // can only fail for a signal that there is not
  return action;
}

void put_link_in_front(int signal, const Installation& installation) {
  const Action& before = installation.application;
  Link& link = links[installation.link][static_cast<std::size_t>(signal)];
  link.previous = installation.asio_was_there() ? address_of(SIG_IGN) : handler_of(before);
  link.takes_info = (before.sa_flags & SA_SIGINFO) != 0;
  link.once = (before.sa_flags & SA_RESETHAND) != 0;
  link.asio = handler_of(installation.asio);
  link.process = getpid();

  Action ours{};
  ours.sa_flags = SA_RESTART | SA_ONSTACK;
  if (is_function(handler_of(before))) ours = before;
  ours.sa_flags = (ours.sa_flags | SA_SIGINFO) & ~SA_RESETHAND;
  ours.sa_sigaction = handlers[installation.link];
  sigaction(signal, &ours, nullptr);
}

Result<void> install(int signal, asio::signal_set& set) {
  const std::lock_guard lock(installation_mutex);
  Installation& installation = installations[static_cast<std::size_t>(signal)];
  if (installation.link == links_max) {
    return Error(ErrorCode::failed_precondition, "the handler of " + signal_name(signal) + " was replaced " +
                                                     std::to_string(links_max) + " times: it is not watched again");
  }
  if (installation.watches > 0 && links[installation.link][static_cast<std::size_t>(signal)].process != getpid()) {
    return Error(ErrorCode::failed_precondition,
                 signal_name(signal) + " is watched by the process that this one was forked from");
  }
  const Action before = current_action(signal);
  boost::system::error_code failure;
  set.add(signal, failure);
  if (failure) {
    return Error(ErrorCode::invalid_argument, signal_name(signal) + " cannot be watched: " + failure.message(),
                 failure.value());
  }
  if (installation.watches++ > 0) return {};
  installation.application = before;
  installation.asio = current_action(signal);
  put_link_in_front(signal, installation);
  return {};
}

void uninstall(int signal, asio::signal_set& set) {
  const std::lock_guard lock(installation_mutex);
  Installation& installation = installations[static_cast<std::size_t>(signal)];
  boost::system::error_code ignored;
  if (--installation.watches > 0) {
    set.remove(signal, ignored);
    return;
  }
  const Action top = current_action(signal);
  const bool covered = !installation.is_in_front(top);
  Link& link = links[installation.link][static_cast<std::size_t>(signal)];
  const bool is_spent = link.once && !is_function(link.previous);
  if (covered) ++installation.link;
  set.remove(signal, ignored);
  const bool other_sets = handler_of(current_action(signal)) == handler_of(top);  // Asio let it be
  if (covered) {
    if (!other_sets) sigaction(signal, &top, nullptr);
  } else if (other_sets) {
    sigaction(signal, &installation.asio, nullptr);
  } else if (!installation.asio_was_there() && !is_spent) {
    sigaction(signal, &installation.application, nullptr);
  }
  if (!other_sets) link.asio = 0;
}

bool is_fault(int signal) {
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
    if (signal == fault) return true;
  }
  return false;
}

}  // namespace

struct SignalWatch::State {
  ~State() {
    context.stop();
    if (thread.joinable()) thread.join();
    for (const int signal : signals) uninstall(signal, set);
  }

  void wait() {
    set.async_wait([this](const boost::system::error_code& failure, int signal) {
      if (failure) return;
      on_signal(signal);
      wait();
    });
  }

  std::function<void(int)> on_signal;
  asio::io_context context{1};
  asio::signal_set set{context};
  std::vector<int> signals;  // installed
  std::thread thread;
};

SignalWatch::SignalWatch(std::unique_ptr<State> state) : state_(std::move(state)) {}
SignalWatch::~SignalWatch() = default;

Result<std::unique_ptr<SignalWatch>> SignalWatch::start(const std::vector<int>& signals,
                                                        std::function<void(int)> on_signal) {
  try {
    auto state = std::make_unique<State>();
    state->on_signal = std::move(on_signal);
    for (const int signal : signals) {
      if (signal < 1 || signal >= signal_end || is_fault(signal)) {
        return Error(ErrorCode::invalid_argument, signal_name(signal) + " cannot be watched: no signal, or a fault");
      }
      if (std::find(state->signals.begin(), state->signals.end(), signal) != state->signals.end()) continue;
      MILEPOST_TRY(install(signal, state->set));
      state->signals.push_back(signal);
    }
    state->wait();
    const BlockAllSignals inherited_by_the_thread;
    state->thread = std::thread([context = &state->context] { context->run(); });
    return std::unique_ptr<SignalWatch>(new SignalWatch(std::move(state)));
  } catch (const std::exception& failure) {
    return Error(ErrorCode::unavailable, std::string("watch signals: ") + failure.what());
  }
}

Result<void> SignalWatch::check() const {
  const std::lock_guard lock(installation_mutex);
  for (const int signal : state_->signals) {
    if (installations[static_cast<std::size_t>(signal)].is_in_front(current_action(signal))) continue;
    return Error(ErrorCode::failed_precondition,
                 "the handler of " + signal_name(signal) +
                     " was replaced: it is heard of only if the new handler calls the one it found");
  }
  return {};
}

std::string signal_name(int signal) {
  const char* const name = sigabbrev_np(signal);
  return name ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

}  // namespace milepost
