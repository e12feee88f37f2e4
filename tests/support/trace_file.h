// Reads a trace back, strictly.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace milepost::testing {

class TraceFile {
 public:
  using Event = nlohmann::json;

  // Throws if the file is not JSON.
  explicit TraceFile(const std::string& path) : events_(nlohmann::json::parse(std::ifstream(path))) {}

  std::vector<Event> all(const std::string& phase, const std::string& name = "") const {
    std::vector<Event> found;
    for (const Event& event : events_) {
      if (event.at("ph") == phase && (name.empty() || event.at("name") == name)) found.push_back(event);
    }
    return found;
  }

  std::set<std::string> names(const std::string& phase) const {
    std::set<std::string> names;
    for (const Event& event : all(phase)) names.insert(event.at("name"));
    return names;
  }

  // Whether of any two slices of a thread one holds the other, or they do not touch.
  bool slices_nest() const {
    std::map<std::int64_t, std::vector<std::pair<double, double>>> of_thread;
    for (const Event& event : all("X")) {
      const double begin = event.at("ts");
      of_thread[event.at("tid")].emplace_back(begin, -(begin + event.at("dur").get<double>()));
    }
    constexpr double rounding = 0.0015;
    for (auto& [thread, slices] : of_thread) {
      std::sort(slices.begin(), slices.end());
      std::vector<double> open;  // the ends of the slices around
      for (const auto& [begin, minus_end] : slices) {
        while (!open.empty() && open.back() <= begin + rounding) open.pop_back();
        if (!open.empty() && -minus_end > open.back() + rounding) return false;
        open.push_back(-minus_end);
      }
    }
    return true;
  }

  // Whether each span that begins ends once, later.
  bool spans_end() const {
    std::map<std::int64_t, double> begun;
    for (const Event& event : all("b")) begun[event.at("id")] = event.at("ts");
    for (const Event& event : all("e")) {
      const auto it = begun.find(event.at("id"));
      if (it == begun.end() || event.at("ts") < it->second) return false;
      begun.erase(it);
    }
    return begun.empty();
  }

 private:
  nlohmann::json events_;
};

}  // namespace milepost::testing
