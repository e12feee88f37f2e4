// Something else where a file or a directory of the step should be.
#include "tests/engine/hostile/hostile_step.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace milepost::testing {
namespace {

namespace fs = std::filesystem;

void make_socket(const fs::path& path) {
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = path.string();
  if (name.size() >= sizeof address.sun_path) throw std::logic_error("too long a path for a socket: " + name);
  std::memcpy(address.sun_path, name.c_str(), name.size());
  const int bound = ::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::close(listener);
  if (bound != 0) throw std::logic_error("no socket: " + name);
}

// What only root may make is a directory for others.
void make_device(const fs::path& path, unsigned major, unsigned minor) {
  if (::mknod(path.c_str(), S_IFCHR | 0666, makedev(major, minor)) != 0) fs::create_directory(path);
}

void make_sparse(const fs::path& path, std::uintmax_t bytes) {
  std::fclose(std::fopen(path.c_str(), "a"));
  fs::resize_file(path, bytes);
}

struct Entry {
  const char* name;
  std::function<void(const fs::path& at, const fs::path& good, const fs::path& outside)> make;
};

// `at` is free; `good` is the same place in a copy of the step outside.
const std::vector<Entry> entries = {
    {"a link to a good copy outside", [](auto& at, auto& good, auto&) { fs::create_symlink(good, at); }},
    {"a relative link to a good copy outside",
     [](auto& at, auto& good, auto&) { fs::create_symlink(good.lexically_relative(at.parent_path()), at); }},
    {"a link to itself", [](auto& at, auto&, auto&) { fs::create_symlink(at.filename(), at); }},
    {"a link to nowhere", [](auto& at, auto&, auto&) { fs::create_symlink("nowhere", at); }},
    {"a link to a system file", [](auto& at, auto&, auto&) { fs::create_symlink("/etc/passwd", at); }},
    {"a link to an endless device", [](auto& at, auto&, auto&) { fs::create_symlink("/dev/zero", at); }},
    {"a link through proc", [](auto& at, auto&, auto&) { fs::create_symlink("/proc/self/root/etc/passwd", at); }},
    {"a pipe", [](auto& at, auto&, auto&) { ::mkfifo(at.c_str(), 0666); }},
    {"a socket", [](auto& at, auto&, auto&) { make_socket(at); }},
    {"an endless device", [](auto& at, auto&, auto&) { make_device(at, 1, 5); }},
    {"a device that blocks", [](auto& at, auto&, auto&) { make_device(at, 5, 0); }},
};

void add(std::vector<HostileCase>& cases, const std::string& place, const std::string& name, const std::string& refusal,
         std::function<void(const fs::path& at, const fs::path& good, const fs::path& outside)> make) {
  cases.push_back({place + " is " + name, refusal, {}, [place, make](const fs::path& root, const fs::path& outside) {
                     fs::remove_all(root / place);
                     make(root / place, outside / place, outside);
                   }});
}

}  // namespace

void add_hostile_entries(std::vector<HostileCase>& cases) {
  for (const char* const file : {HostileStep::record, HostileStep::manifest, HostileStep::table, HostileStep::data}) {
    // A directory without a step record is no step.
    const std::string refusal = file == HostileStep::record ? "step 1: " : file;
    for (const Entry& entry : entries) add(cases, file, entry.name, refusal, entry.make);
    add(cases, file, "a directory", refusal, [](auto& at, auto&, auto&) { fs::create_directory(at); });
    add(cases, file, "empty", refusal, [](auto& at, auto&, auto&) { make_sparse(at, 0); });
    add(cases, file, "a terabyte of nothing", refusal,
        [](auto& at, auto&, auto&) { make_sparse(at, std::uintmax_t{1} << 40); });
    add(cases, file, "a good gigabyte", refusal, [](auto& at, auto& good, auto&) {
      fs::copy_file(good, at);
      make_sparse(at, std::uintmax_t{1} << 30);
    });
  }
  for (const char* const directory : {"1", "1/state"}) {
    const std::string refusal = std::string(directory) == "1" ? "step 1: " : "1/state/manifest.json";
    for (const Entry& entry : entries) add(cases, directory, entry.name, refusal, entry.make);
    add(cases, directory, "a file", refusal, [](auto& at, auto&, auto&) { make_sparse(at, 10); });
    add(cases, directory, "empty", refusal, [](auto& at, auto&, auto&) { fs::create_directory(at); });
  }
  add(cases, "1/state", "that of another step", "1/state/manifest.json", [](auto& at, auto& good, auto&) {
    fs::copy(good, at);
    std::ofstream(at / "manifest.json") << "{}";
  });
}

}  // namespace milepost::testing
